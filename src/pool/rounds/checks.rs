//! Checks of requests with a round: their fields, and that the ranks of one round agree.

use xxhash_rust::xxh3::xxh3_64;

use super::{ROUND_SIZE_MAX, WORLD_SIZE_MAX};
use crate::model::batch::{MineRequest, Round};
use crate::model::error::{PoolError, Violation};
use crate::model::run::{RUN_ID_BYTES_MAX, run_id_violation};

/// Checks the fields of a round in a request.
pub(in crate::pool) fn violations(request: &MineRequest, round: &Round) -> Vec<Violation> {
    let mut bad = Vec::new();
    let Round { rank, world_size, ref run_id, .. } = *round;
    if !(1..=WORLD_SIZE_MAX).contains(&world_size) {
        bad.push(Violation::new("round.world_size", format!("{world_size} is not in 1..={WORLD_SIZE_MAX}")));
    } else if rank >= world_size {
        bad.push(Violation::new("round.rank", format!("{rank} is not below world_size {world_size}")));
    }
    let size = u64::from(request.batch_size) * u64::from(world_size);
    if size > ROUND_SIZE_MAX {
        bad.push(Violation::new(
            "round.world_size",
            format!(
                "{world_size} ranks x batch_size {} are {size} samples, over {ROUND_SIZE_MAX}",
                request.batch_size
            ),
        ));
    }
    bad.extend(run_id_violation("round.run_id", run_id));
    if !request.request_id.is_empty() {
        bad.push(Violation::new("request_id", "must be empty in a round, which remembers its batch itself"));
    }
    if request.dry_run {
        bad.push(Violation::new(
            "dry_run",
            "must be false in a round: it would be served to the ranks later",
        ));
    }
    bad
}

/// Whether a request may have a share of the round that the request `first` has begun.
pub(super) fn check_same(first: &MineRequest, request: &MineRequest, round: &Round) -> Result<(), PoolError> {
    // There is no `..`, so that a new field must be considered here.
    let MineRequest {
        batch_size,
        policy,
        exclude,
        seed,
        step,
        lease,
        round: began,
        wait: _,
        request_id: _,
        dry_run: _,
        may_be_empty: _,
    } = first;
    let world_size = began.as_ref().map_or(0, |began| began.world_size);
    let numbers = |first, this| Some((first, this));
    let differs = [
        ("round.world_size", world_size != round.world_size, numbers(world_size, round.world_size)),
        ("batch_size", *batch_size != request.batch_size, numbers(*batch_size, request.batch_size)),
        ("policy", *policy != request.policy, None),
        ("exclude_ids", *exclude != request.exclude, None),
        ("seed", *seed != request.seed, None),
        ("step", *step != request.step, None),
        ("lease", *lease != request.lease, None),
    ];
    let Some((field, _, numbers)) = differs.into_iter().find(|(_, differs, _)| *differs) else {
        return Ok(());
    };
    let numbers =
        numbers.map_or_else(String::new, |(first, this)| format!(": it was {first}, and is {this} here"));
    Err(PoolError::FailedPrecondition {
        reason: "ROUND_MISMATCH",
        message: format!(
            "round {} of run `{}` was begun with another {field}{numbers}",
            round.number, round.run_id
        ),
    })
}

pub(super) fn expired(round: &Round, forgotten: u64) -> PoolError {
    PoolError::FailedPrecondition {
        reason: "ROUND_EXPIRED",
        message: format!(
            "rounds up to {forgotten} of run `{}` are over (round {} was asked for): a run that starts again needs another run_id",
            round.run_id, round.number
        ),
    }
}

/// Seed of the permutations of a round.
pub(super) fn seed(pool_uid: u64, round: &Round) -> u64 {
    let mut bytes = Vec::with_capacity(16 + RUN_ID_BYTES_MAX);
    bytes.extend(pool_uid.to_le_bytes());
    bytes.extend(round.number.to_le_bytes());
    bytes.extend(round.run_id.as_bytes());
    xxh3_64(&bytes)
}
