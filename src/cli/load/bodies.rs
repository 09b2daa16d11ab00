//! Request bodies for other load generators, such as ghz: protobuf messages, each preceded by its length.

use std::{fs, io, path::Path};

use prost::Message;

use super::{Args, batches, batches::Ids, mine_request};
use crate::client::pb;

/// Number of batches in a call of StreamScores.
const STREAM_BATCHES: usize = 16;
/// Number of different reports, which are sent in turn.
const REPORTS: usize = 64;
/// The bytes with which a template of ghz begins; ghz looks for them in binary data too.
const TEMPLATE: &[u8] = b"{{";

/// Writes `report.bin`, `stream.bin` and `mine.bin` for a pool of integer ids.
///
/// # Errors
/// Errors of the file system, and an invalid name of the pool.
pub(super) fn write(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let mut reports: Vec<pb::ReportScoresRequest> = Vec::with_capacity(REPORTS);
    for seed in args.seed.. {
        let rows = args.batch_size as usize;
        let batches = batches::make(&args.pool, args.ids, rows, Ids::Random, seed, args.encoding.into())?;
        let clean = batches
            .into_iter()
            .map(|batch| batch.of_run(args.run_id.as_deref().unwrap_or_default()).into_message("load", 0, 0))
            .map(|batch| pb::ReportScoresRequest { batch: Some(batch) })
            .filter(|report| !report.encode_to_vec().windows(TEMPLATE.len()).any(|bytes| bytes == TEMPLATE));
        reports.extend(clean.take(REPORTS - reports.len()));
        if reports.len() == REPORTS {
            break;
        }
    }
    let stream: Vec<pb::StreamScoresRequest> = reports
        .iter()
        .take(STREAM_BATCHES)
        .map(|report| pb::StreamScoresRequest { batch: report.batch.clone() })
        .collect();
    let mine = mine_request(args).into_message();
    fs::create_dir_all(folder)?;
    save(&folder.join("report.bin"), &reports)?;
    save(&folder.join("stream.bin"), &stream)?;
    save(&folder.join("mine.bin"), &[mine])?;
    Ok(())
}

fn save(path: &Path, messages: &[impl Message]) -> io::Result<()> {
    let bytes: Vec<u8> = messages.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
    fs::write(path, bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn read<M: Message + Default>(path: &Path) -> Vec<M> {
        let bytes = fs::read(path).unwrap();
        let mut rest = &bytes[..];
        std::iter::from_fn(|| (!rest.is_empty()).then(|| M::decode_length_delimited(&mut rest).unwrap()))
            .collect()
    }

    #[test]
    fn the_bodies_are_requests_and_no_templates() {
        let folder = tempfile::tempdir().unwrap();
        let args = Cli::parse_from(["load", "--pool", "ghz", "--batch-size", "4096", "--alpha", "2"]).args;
        write(&args, folder.path()).unwrap();
        let reports: Vec<pb::ReportScoresRequest> = read(&folder.path().join("report.bin"));
        let stream: Vec<pb::StreamScoresRequest> = read(&folder.path().join("stream.bin"));
        let mines: Vec<pb::MineBatchRequest> = read(&folder.path().join("mine.bin"));
        assert_eq!((reports.len(), stream.len(), mines.len()), (64, 16, 1));
        for batch in reports.into_iter().map(|report| report.batch.unwrap()) {
            assert_eq!((&*batch.pool, batch.sequence), ("pools/ghz", 0), "never taken for a resend");
            assert!(!batch.encode_to_vec().windows(2).any(|bytes| bytes == TEMPLATE));
        }
        assert_eq!((mines[0].batch_size, mines[0].policy.as_ref().unwrap().alpha), (256, Some(2.0)));
    }
}
