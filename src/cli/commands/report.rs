//! `hardneg report`: streams the scores of a file to a pool.

use std::{io::IsTerminal as _, path::PathBuf, time::Duration};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::sync::mpsc;

use crate::cli::{
    exit::Usage,
    flags::connection::Connection,
    input::{self, Chunk, Extra, Format, Wanted},
    output::{counts, counts_json, grouped, note, print, print_json, properties},
};
use crate::client::{ScoreBatch, ScoreStreamOptions, StreamSummary, pb};

/// The contract's limit on the rows of a batch.
const MAX_BATCH_ROWS: u32 = 65_536;
/// Chunks that are read from the file before the network is ready for them.
const CHUNKS_AHEAD: usize = 4;

const EXAMPLES: &str = "\
Examples:
  hardneg report scores.csv --pool faces            columns id,score and optionally step
  hardneg report scores.npy --pool faces            structured array with id and score, or N x 2 floats
  hardneg report scores.parquet --pool faces --model-version 3 --strata class --groups image
  hardneg report scores.csv --pool faces --run-id retrain-7
  hardneg report pairs.parquet --pool queries --anchors query --positive-scores positive --labels document
  score-my-model | hardneg report - --pool faces    CSV from standard input";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    /// The file; `-` reads CSV from standard input
    file: PathBuf,
    /// The pool
    #[arg(long)]
    pool: String,
    /// The file's format [default: by the file's name]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Number of rows in a batch
    #[arg(long, default_value_t = 8_192, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BATCH_ROWS)))]
    batch_size: u32,
    /// The training step of rows without a step column
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    /// The training run that counts the steps, for a pool that ages by steps: the same for all workers, and a new one when the
    /// training starts again or resumes [default: made of torchrun's environment variables]
    #[arg(long, value_name = "TEXT")]
    run_id: Option<String>,
    /// The version of the model that computed the scores
    #[arg(long, value_name = "N", default_value_t = 0)]
    model_version: u32,
    #[command(flatten)]
    columns: Columns,
    /// The name of this worker in the reports
    #[arg(long, value_name = "NAME")]
    worker_id: Option<String>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// Optional columns, each by its name in the file.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Further columns of the file")]
struct Columns {
    /// The column with each sample's stratum (class, source or similar): a number
    #[arg(long, value_name = "COLUMN")]
    strata: Option<String>,
    /// The column with each sample's group (image, clip or similar), of the pool's kind of id; 0 or empty means none
    #[arg(long, value_name = "COLUMN")]
    groups: Option<String>,
    /// The column with the anchor that each sample is a negative of
    #[arg(long, value_name = "COLUMN")]
    anchors: Option<String>,
    /// The column with the score of that anchor's positive; values may be empty or NaN
    #[arg(long, value_name = "COLUMN")]
    positive_scores: Option<String>,
    /// The column with each sample's label: a number, 0 means none (anchored pools)
    #[arg(long, value_name = "COLUMN")]
    labels: Option<String>,
    /// The column with each anchor's label: a number, 0 means none (anchored pools)
    #[arg(long, value_name = "COLUMN")]
    anchor_labels: Option<String>,
    /// The column with the score of a reference model, which is subtracted; values may be empty
    #[arg(long, value_name = "COLUMN")]
    reference_scores: Option<String>,
}

impl Columns {
    fn wanted(&self, spec: &pb::PoolSpec) -> Wanted {
        let named = [
            (Extra::Strata, &self.strata),
            (Extra::Groups, &self.groups),
            (Extra::Anchors, &self.anchors),
            (Extra::PositiveScores, &self.positive_scores),
            (Extra::ReferenceScores, &self.reference_scores),
            (Extra::Labels, &self.labels),
            (Extra::AnchorLabels, &self.anchor_labels),
        ];
        let anchor_kind = spec.anchored.as_ref().map(pb::AnchoredSpec::anchor_id_kind);
        Wanted {
            string_keys: spec.id_kind() == pb::IdKind::String,
            string_anchors: anchor_kind == Some(pb::IdKind::String),
            extras: named.into_iter().filter_map(|(extra, name)| Some((extra, name.clone()?))).collect(),
        }
    }
}

pub(super) async fn run(connection: &Connection, args: Args) -> anyhow::Result<()> {
    let mut options = connection.options();
    options.worker_id.clone_from(&args.worker_id);
    options.run_id.clone_from(&args.run_id);
    let client = crate::client::Client::connect_with(&connection.server, options).await?;
    let pool = client.get_pool(&args.pool).await?;
    let spec = pool.spec.unwrap_or_default();
    let reader = {
        let (path, format) = (args.file.clone(), args.format);
        let wanted = args.columns.wanted(&spec);
        // Reading the header of a FIFO or of standard input blocks until it arrives.
        tokio::task::spawn_blocking(move || input::open(&path, format, wanted))
            .await?
            .with_context(|| name(&args))?
    };
    let total_rows = reader.total_rows();
    let by_steps = spec
        .decay
        .is_some_and(|decay| matches!(decay.half_life, Some(pb::decay::HalfLife::HalfLifeSteps(_))));
    let progress = progress_bar(total_rows);
    let mut chunks = read_ahead(reader, args.batch_size as usize);
    let mut stream = client.score_stream(ScoreStreamOptions::default());
    let mut rows = 0;
    let mut problem = None;
    while let Some(chunk) = chunks.recv().await {
        let batch =
            chunk.with_context(|| name(&args)).and_then(|chunk| to_batch(&args, chunk, pool.uid, by_steps));
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                problem = Some(error);
                break;
            }
        };
        let batch_rows = batch.rows() as u64;
        // The ack is not needed: the stream's summary counts the outcomes of all batches.
        stream.send(batch).await?;
        rows += batch_rows;
        progress.inc(batch_rows);
    }
    // Rows before a malformed row are reported, and the summary counts them.
    let summary = stream.finish().await?;
    progress.finish_and_clear();
    if problem.is_none() || rows > 0 {
        show(rows, &summary, args.json)?;
    }
    match (problem, summary.first_rejection) {
        (Some(problem), _) => Err(problem),
        (None, None) if summary.stale > 0 => anyhow::bail!(
            "{} of {} batches were stale: over half of their rows are older than what is stored; a training that starts again or \
             resumes needs a new --run-id",
            summary.stale,
            summary.batches
        ),
        (None, None) => Ok(()),
        (None, Some(first)) => anyhow::bail!(
            "{} of {} batches were rejected; the first: {first}",
            summary.rejected,
            summary.batches
        ),
    }
}

fn to_batch(args: &Args, chunk: Chunk, pool_uid: u64, by_steps: bool) -> anyhow::Result<ScoreBatch> {
    let step = chunk.step.or(args.step);
    if by_steps && step.is_none() {
        let problem = "this pool ages by steps: add a column `step`, or give --step";
        return Err(Usage(problem.into()).into());
    }
    let encoding = pb::ColumnEncoding::LittleEndian;
    let mut batch = ScoreBatch::with_encoding(&args.pool, chunk.ids, chunk.scores, encoding)?;
    let extras = chunk.extras;
    if !extras.strata.is_empty() {
        batch = batch.strata(extras.strata)?;
    }
    if let Some(groups) = extras.groups {
        batch = batch.groups(groups)?;
    }
    if let Some(anchors) = extras.anchors {
        batch = batch.anchors(anchors)?;
    }
    if !extras.positive_scores.is_empty() {
        batch = batch.positive_scores(&extras.positive_scores)?;
    }
    if !extras.labels.is_empty() {
        batch = batch.labels(extras.labels)?;
    }
    if !extras.anchor_labels.is_empty() {
        batch = batch.anchor_labels(extras.anchor_labels)?;
    }
    if !extras.reference_scores.is_empty() {
        batch = batch.reference_scores(&extras.reference_scores)?;
    }
    Ok(batch.step(step.unwrap_or_default()).model_version(args.model_version).pool_uid(pool_uid))
}

fn name(args: &Args) -> String {
    if args.file.as_os_str() == "-" { "standard input".to_owned() } else { args.file.display().to_string() }
}

/// Reads the file on its own thread, at most `CHUNKS_AHEAD` chunks ahead of the stream.
fn read_ahead(mut reader: Box<dyn input::Reader>, max_rows: usize) -> mpsc::Receiver<anyhow::Result<Chunk>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        while let Some(chunk) = reader.next_chunk(max_rows).transpose() {
            let failed = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || failed {
                break;
            }
        }
    });
    receiver
}

fn progress_bar(total_rows: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let (bar, template) = match total_rows {
        Some(rows) => {
            (ProgressBar::new(rows), "{wide_bar} {human_pos}/{human_len} rows, {per_sec}, {eta} left")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} rows, {per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn show(rows: u64, summary: &StreamSummary, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_json(&json!({
            "rows": rows,
            "batches": summary.batches,
            "rejected_batches": summary.rejected,
            "duplicate_batches": summary.duplicates,
            "stale_batches": summary.stale,
            "reconnects": summary.reconnects,
            "counts": counts_json(&summary.counts),
            "clamped": summary.clamped,
            "floored": summary.floored,
        }));
    }
    let mut lines = vec![("rows", grouped(rows)), ("batches", grouped(summary.batches))];
    let optional = [
        ("rejected_batches", summary.rejected),
        ("duplicate_batches", summary.duplicates),
        ("stale_batches", summary.stale),
        ("reconnects", summary.reconnects),
    ];
    let weights = [("clamped", summary.clamped), ("floored", summary.floored)];
    for (name, count) in optional.into_iter().chain(counts(&summary.counts)).chain(weights) {
        if count > 0 {
            lines.push((name, grouped(count)));
        }
    }
    print(&properties(&lines))?;
    if summary.floored > 0 {
        note(
            "floored: all scores below 0 have the same weight in this pool; --hardness exponential distinguishes them",
        );
    }
    Ok(())
}
