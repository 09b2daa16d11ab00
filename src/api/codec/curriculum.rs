//! Decodes and encodes curricula.

use super::variant;
use crate::model::curriculum::{Curriculum, Schedule, Shape};
use crate::model::error::PoolError;
use crate::proto::v1 as pb;

/// The curriculum that a message describes; errors name fields below `prefix`. The pool layer checks the ranges.
///
/// # Errors
/// `Invalid` naming the field.
pub(super) fn decode(prefix: &str, message: pb::Curriculum) -> Result<Curriculum, PoolError> {
    let schedule = |name: &str, message: Option<pb::Schedule>| -> Result<Option<Schedule>, PoolError> {
        let Some(message) = message else { return Ok(None) };
        let shape = match variant(&format!("{prefix}.{name}.shape"), message.shape)? {
            pb::ScheduleShape::Unspecified | pb::ScheduleShape::Linear => Shape::Linear,
            pb::ScheduleShape::Sqrt => Shape::Sqrt,
        };
        let pb::Schedule { from, to, begin_step, end_step, .. } = message;
        Ok(Some(Schedule { shape, from, to, begin_step, end_step }))
    };
    Ok(Curriculum {
        warmup_steps: message.warmup_steps,
        alpha: schedule("alpha", message.alpha)?,
        random_fraction: schedule("random_fraction", message.random_fraction)?,
        beta: schedule("beta", message.beta)?,
        quantile_min: schedule("quantile_min", message.quantile_min)?,
        quantile_max: schedule("quantile_max", message.quantile_max)?,
    })
}

/// Encodes a curriculum, so that decoding the message gives the same one.
pub(super) fn encode(curriculum: &Curriculum) -> pb::Curriculum {
    let schedule = |schedule: Option<Schedule>| {
        schedule.map(|Schedule { shape, from, to, begin_step, end_step }| pb::Schedule {
            shape: match shape {
                Shape::Linear => pb::ScheduleShape::Linear,
                Shape::Sqrt => pb::ScheduleShape::Sqrt,
            }
            .into(),
            from,
            to,
            begin_step,
            end_step,
        })
    };
    pb::Curriculum {
        warmup_steps: curriculum.warmup_steps,
        alpha: schedule(curriculum.alpha),
        random_fraction: schedule(curriculum.random_fraction),
        beta: schedule(curriculum.beta),
        quantile_min: schedule(curriculum.quantile_min),
        quantile_max: schedule(curriculum.quantile_max),
    }
}
