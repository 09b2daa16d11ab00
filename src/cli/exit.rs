//! Exit codes, and the errors that only the command line has.

use std::io;

use crate::client::Error as ClientError;
#[cfg(feature = "server")]
use crate::config::ConfigError;

pub(super) const EXIT_FAILURE: u8 = 1;
pub(super) const EXIT_USAGE: u8 = 2;
#[cfg(feature = "server")]
pub(super) const EXIT_BIND: u8 = 3;
pub(super) const EXIT_UNAVAILABLE: u8 = 4;
/// 128 + SIGINT, the convention of shells.
#[cfg(feature = "server")]
pub(super) const EXIT_CUT_OFF: u8 = 130;

/// The address could not be bound.
#[cfg(feature = "server")]
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", match source.kind() {
    io::ErrorKind::AddrInUse => format!("the port is in use; stop the other server or choose another port with --{flag}"),
    _ => source.to_string(),
})]
pub(super) struct BindError {
    pub(super) address: std::net::SocketAddr,
    pub(super) flag: &'static str,
    pub(super) source: io::Error,
}

/// The server answers a health check, but is not serving.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotServing(pub(super) String);

/// Arguments that are valid one by one, but not together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub(super) String);

/// The exit code of an error: that of the first error in its chain of causes that has one.
pub(super) fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(cause) = cause.downcast_ref::<io::Error>()
            && cause.kind() == io::ErrorKind::BrokenPipe
        {
            return 0;
        }
        if let Some(cause) = cause.downcast_ref::<ClientError>() {
            return match cause {
                ClientError::InvalidServer { .. } => EXIT_USAGE,
                cause if cause.is_unavailable() => EXIT_UNAVAILABLE,
                _ => EXIT_FAILURE,
            };
        }
        if cause.is::<Usage>() {
            return EXIT_USAGE;
        }
        #[cfg(feature = "server")]
        if cause.is::<ConfigError>() {
            return EXIT_USAGE;
        }
        #[cfg(feature = "server")]
        if cause.is::<BindError>() {
            return EXIT_BIND;
        }
        if cause.is::<NotServing>() {
            return EXIT_UNAVAILABLE;
        }
    }
    EXIT_FAILURE
}

/// The chain of causes on one line, without causes whose text is already in it.
pub(super) fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = cause.to_string().replace(['\n', '\r'], " ");
        if text.is_empty() {
            text = words;
        } else if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        // These texts already contain their root cause; their causes are layers of the transport.
        if cause.is::<ClientError>() {
            break;
        }
        #[cfg(feature = "server")]
        if cause.is::<BindError>() || cause.is::<ConfigError>() {
            break;
        }
    }
    text
}
