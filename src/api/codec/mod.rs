//! Translates between the messages of the contract and the types of the model. Each noun has a file.

pub(crate) mod activity;
pub(crate) mod anchored;
mod balance;
pub(crate) mod batch;
pub(crate) mod bias;
mod curriculum;
mod flow;
mod negative_ratio;
pub(crate) mod negatives;
pub(crate) mod policy;
pub(crate) mod quarantine;
pub(crate) mod report;
mod round;
pub(crate) mod samples;
pub(crate) mod selection;
pub(crate) mod spec;
pub(crate) mod stats;

use std::time::Duration;

use crate::model::error::PoolError;

/// The variant of an enum field.
///
/// # Errors
/// `Invalid` naming `field` when this version knows no such number.
fn variant<E: TryFrom<i32>>(field: &str, number: i32) -> Result<E, PoolError> {
    E::try_from(number).map_err(|_| {
        PoolError::invalid(field, format!("{number} is not a value of this enum in this version"))
    })
}

/// A duration that is not negative.
///
/// # Errors
/// `Invalid` naming `field`.
pub(crate) fn duration(field: &str, value: prost_types::Duration) -> Result<Duration, PoolError> {
    Duration::try_from(value).map_err(|_| {
        PoolError::invalid(
            field,
            format!("{}.{:09} s is negative or out of range", value.seconds, value.nanos.abs()),
        )
    })
}

/// Encodes a duration. The durations of the pool layer are at most 100 years.
fn duration_message(value: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: value.as_secs() as i64, nanos: value.subsec_nanos() as i32 }
}
