//! Flags that several commands share, and the parsers of their values.

pub(super) mod connection;
pub(super) mod policy;
pub(super) mod pool_arg;
#[cfg(feature = "server")]
mod serve_args;
pub(super) mod spec;
pub(super) mod spec_parts;
pub(super) mod values;
