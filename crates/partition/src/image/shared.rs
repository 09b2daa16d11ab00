//! Parts that the images of both kinds of partition have: the hardness function, and the reports that were applied.

use super::{ImageError, Reader, Writer};
use crate::dedupe::{Dedupe, Recent, Seen, WORDS};
use crate::key::{Hardness, HardnessFunction};

/// The maximal number of workers that a partition may remember.
pub(crate) const WORKERS_MAX: u64 = 1 << 20;
/// Bytes of a worker without a gap: the two halves of its hash, epoch, highest sequence, and length of the run.
const WORKER_BYTES: usize = 34;

pub(crate) fn write_hardness(out: &mut Writer, hardness: &Hardness) {
    let (kind, parameter) = match hardness.function {
        HardnessFunction::Power { offset } => (0, offset),
        HardnessFunction::Exponential { temperature } => (1, temperature),
    };
    out.u8(kind);
    out.u32(parameter.to_bits());
    out.flag(hardness.lower_is_harder);
}

pub(crate) fn read_hardness(body: &mut Reader<'_>) -> Result<Hardness, ImageError> {
    let (kind, parameter) = (body.u8()?, f32::from_bits(body.u32()?));
    let function = match kind {
        _ if !(parameter.is_finite() && parameter > 0.0) => {
            return Err(ImageError::Contradiction("a hardness whose parameter is out of range"));
        }
        0 => HardnessFunction::Power { offset: parameter },
        1 => HardnessFunction::Exponential { temperature: parameter },
        _ => return Err(ImageError::Contradiction("a hardness of no kind")),
    };
    Ok(Hardness { function, lower_is_harder: body.flag()? })
}

/// Writes the applied sequences of each worker: the highest, and the length of the run, or 0 and a window.
pub(crate) fn write_dedupe(out: &mut Writer, dedupe: &Dedupe) {
    out.u64(dedupe.len() as u64);
    for (worker, epoch, seen) in dedupe.all() {
        out.u64(worker as u64);
        out.u64((worker >> 64) as u64);
        out.u64(epoch);
        out.u64(seen.highest());
        match seen.recent() {
            Recent::Run(run) => out.u16(*run),
            Recent::Window(window) => {
                out.u16(0);
                out.column(window.words());
            }
        }
    }
}

/// Reads into `dedupe`, which is empty, what [`write_dedupe`] wrote.
pub(crate) fn read_dedupe(
    body: &mut Reader<'_>,
    dedupe: &mut Dedupe,
    workers_max: usize,
) -> Result<(), ImageError> {
    let workers = body.count(WORKER_BYTES)?;
    if workers > workers_max {
        return Err(ImageError::Contradiction("more workers than are remembered"));
    }
    dedupe.reserve(workers);
    for _ in 0..workers {
        let worker = u128::from(body.u64()?) | u128::from(body.u64()?) << 64;
        let (epoch, highest, run) = (body.u64()?, body.u64()?, body.u16()?);
        let seen = match run {
            0 => {
                let mut words = [0; WORDS];
                words.iter_mut().zip(body.column(WORDS)?).for_each(|(word, bits)| *word = bits);
                Seen::of_window(highest, words)
            }
            _ => Seen::of_run(highest, run),
        };
        let Some(seen) = seen else {
            return Err(ImageError::Contradiction("sequences of a worker that do not fit their highest"));
        };
        if !dedupe.restore(worker, epoch, seen) {
            return Err(ImageError::Contradiction("a worker twice"));
        }
    }
    Ok(())
}
