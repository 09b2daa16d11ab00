//! Retries: which calls may be sent again, and how long to wait before.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::ClientOptions;

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Whether a call may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// It is sent again when the server was unavailable, because a second arrival has no further effect.
    Safe,
    /// It is not sent again, because a second arrival would have another effect or another response.
    Never,
}

impl Retry {
    /// The wait before the next attempt, or `None` to give up. `attempts` have been made.
    pub(super) fn delay(self, status: &Status, attempts: u32, options: &ClientOptions) -> Option<Duration> {
        if self == Self::Never || attempts > options.retries || !is_transient(status) {
            return None;
        }
        Some(backoff(status, attempts))
    }
}

/// Whether the same call may succeed later.
pub(super) fn is_transient(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => true,
        // Only if the server gives a retry delay: without one the limit does not recover by itself.
        Code::ResourceExhausted => status.get_details_retry_info().is_some(),
        // hyper reports a connection that broke during a call as one of these codes, with a cause.
        Code::Unknown | Code::Cancelled | Code::Internal => std::error::Error::source(status).is_some(),
        _ => false,
    }
}

/// The delay that the server asks for, else exponential backoff of which half is random, so that workers do not retry at the same time.
pub(super) fn backoff(status: &Status, attempts: u32) -> Duration {
    if let Some(delay) = status.get_details_retry_info().and_then(|info| info.retry_delay) {
        return delay.min(BACKOFF_MAX * 5);
    }
    let ceiling = BACKOFF_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(BACKOFF_MAX);
    ceiling.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_is_away_is_asked_again() {
        let options = ClientOptions::default();
        let away = Status::unavailable("away");
        assert!(Retry::Safe.delay(&away, 1, &options).is_some());
        assert!(Retry::Safe.delay(&away, options.retries + 1, &options).is_none());
        assert!(Retry::Never.delay(&away, 1, &options).is_none());
        assert!(Retry::Safe.delay(&Status::not_found("x"), 1, &options).is_none());
        assert!(!is_transient(&Status::resource_exhausted("full")));
        assert!(!is_transient(&Status::internal("a bug")));
    }

    #[test]
    fn backoff_grows_to_a_ceiling() {
        let away = Status::unavailable("away");
        assert!(backoff(&away, 1) <= BACKOFF_FIRST);
        for attempts in [1, 5, 50, u32::MAX] {
            assert!(backoff(&away, attempts) <= BACKOFF_MAX);
        }
    }
}
