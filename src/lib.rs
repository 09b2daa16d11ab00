//! hardneg serves hard negatives to distributed trainers over gRPC.
//!
//! Features, all on by default: `client`, the generated stubs and a thin client; `server`, the service; `dashboard`, its page for people;
//! `cli`, the command line, with `top` and `parquet` for the commands that need more. ARCHITECTURE.md shows the rooms of the crate and how
//! a call passes through them.

#[cfg(feature = "server")]
mod activity;
#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
mod api;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod model;
#[cfg(feature = "server")]
mod permits;
#[cfg(feature = "server")]
pub mod pool;
pub mod proto;
#[cfg(feature = "server")]
mod rpc_metrics;
#[cfg(feature = "server")]
mod sampler;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(any(feature = "server", feature = "top"))]
mod units;
