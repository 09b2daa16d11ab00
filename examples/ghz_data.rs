//! Writes the request bodies that `deploy/ghz/run.sh` sends: length-prefixed protobuf messages with raw little-endian columns,
//! log-normal scores of random ids.
//!
//! `cargo run --release --example ghz_data -- DIR [IDS] [ROWS] [MESSAGES]`

use hardneg::proto::v1 as pb;
use prost::Message;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::path::Path;

const POOL: &str = "pools/ghz";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: u64| args.get(i).map_or(Ok(default), |a| a.parse());
    let dir = Path::new(args.first().ok_or("usage: ghz_data DIR [IDS] [ROWS] [MESSAGES]")?);
    let (ids, rows, messages) = (number(1, 1_000_000)?, number(2, 4096)?, number(3, 64)?);
    std::fs::create_dir_all(dir)?;
    let mut rng = SmallRng::seed_from_u64(1);
    let batches: Vec<pb::ScoreBatch> = (0..messages).map(|_| batch(&mut rng, ids, rows)).collect();
    let reports = batches.iter().map(|b| pb::ReportScoresRequest { batch: Some(b.clone()) });
    write(&dir.join("report.bin"), reports)?;
    // One call of StreamScores sends them all.
    let stream = batches.iter().take(16).map(|b| pb::StreamScoresRequest { batch: Some(b.clone()) });
    write(&dir.join("stream.bin"), stream)?;
    let mine = pb::MineBatchRequest {
        pool: POOL.into(),
        batch_size: 256,
        encoding: pb::ColumnEncoding::LittleEndian.into(),
        ..Default::default()
    };
    write(&dir.join("mine.bin"), std::iter::once(mine))?;
    Ok(())
}

/// A batch whose encoding holds no `{{`: ghz reads even binary data as a template first.
fn batch(rng: &mut SmallRng, ids: u64, rows: u64) -> pb::ScoreBatch {
    loop {
        let ids: Vec<u8> = (0..rows).flat_map(|_| rng.random_range(0..ids).to_le_bytes()).collect();
        let scores: Vec<u8> = (0..rows)
            .flat_map(|_| {
                let normal: f32 = (0..4).map(|_| rng.random::<f32>()).sum::<f32>() - 2.0;
                (normal * 3.46).exp2().to_le_bytes()
            })
            .collect();
        let clean = |bytes: &[u8]| !bytes.windows(2).any(|pair| pair == b"{{");
        if clean(&ids) && clean(&scores) {
            return pb::ScoreBatch {
                pool: POOL.into(),
                ids: Some(pb::IdColumn { encoding: Some(pb::id_column::Encoding::U64Le(ids.into())) }),
                scores: Some(pb::FloatColumn {
                    encoding: Some(pb::float_column::Encoding::F32Le(scores.into())),
                    ..Default::default()
                }),
                ..Default::default()
            };
        }
    }
}

fn write(path: &Path, messages: impl Iterator<Item = impl Message>) -> std::io::Result<()> {
    let bytes: Vec<u8> = messages.flat_map(|m| m.encode_length_delimited_to_vec()).collect();
    std::fs::write(path, bytes)
}
