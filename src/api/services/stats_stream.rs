//! WatchPoolStats: a pool's figures and what it is doing, at an interval.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::api::codec::{activity, bias, duration, stats};
use crate::model::error::PoolError;
use crate::permits::Permit;
use crate::pool::Pool;
use crate::proto::v1 as pb;

/// The time between two answers: the default, the shortest and the longest.
const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_MIN: Duration = Duration::from_millis(500);
const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// The interval that was asked for.
///
/// # Errors
/// `Invalid` naming `interval`.
pub(super) fn interval_of(asked: Option<prost_types::Duration>) -> Result<Duration, PoolError> {
    let Some(asked) = asked else { return Ok(INTERVAL) };
    let asked = duration("interval", asked)?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&asked) {
        return Ok(asked);
    }
    Err(PoolError::invalid("interval", format!("{asked:?} is not in {INTERVAL_MIN:?}..={INTERVAL_MAX:?}")))
}

struct Watch {
    pool: Arc<Pool>,
    every: Interval,
    drain: CancellationToken,
    /// The time of the last tick that was sent.
    told: Option<SystemTime>,
    _permit: Permit,
}

/// Yields the answers; the first comes at once.
pub(super) fn answers(
    pool: Arc<Pool>,
    every: Duration,
    drain: CancellationToken,
    permit: Permit,
) -> impl Stream<Item = Result<pb::WatchPoolStatsResponse, Status>> + Send {
    let mut every = interval(every);
    // A client that reads slowly gets fewer answers, not a burst of old ones.
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch { pool, every, drain, told: None, _permit: permit };
    futures_util::stream::try_unfold(watch, |mut watch| async move {
        tokio::select! {
            biased;
            () = watch.drain.cancelled() => return Err(PoolError::Stopping.into()),
            () = watch.pool.closed() => return Err(PoolError::NotFound(watch.pool.id().to_owned()).into()),
            _ = watch.every.tick() => {}
        }
        let seen = watch.pool.activity().await?;
        let answer = pb::WatchPoolStatsResponse {
            stats: Some(pb::PoolStats {
                bias: Some(bias::encode(&seen.bias)),
                ..stats::encode(watch.pool.id(), watch.pool.uid(), &seen.stats)
            }),
            activity: Some(activity::encode(&seen, watch.told)),
        };
        watch.told = seen.ticks.last().map(|tick| tick.time).or(watch.told);
        Ok::<_, Status>(Some((answer, watch)))
    })
}
