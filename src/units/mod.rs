//! Numbers as people read and write them.

#[cfg(any(feature = "dashboard", feature = "top"))]
mod shown;
#[cfg(feature = "server")]
mod written;

#[cfg(any(feature = "dashboard", feature = "top"))]
pub(crate) use shown::{bytes, count, latency, span};
#[cfg(feature = "server")]
pub(crate) use written::{byte_count, duration, parse_bytes, parse_duration, parse_integer, show_bytes};
