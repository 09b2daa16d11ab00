//! The pool that a command is about.

use clap::Args;

use crate::client::PoolRef;

/// A pool by its name, and optionally its uid.
#[derive(Debug, Args)]
pub(in crate::cli) struct PoolArg {
    /// The pool
    pub(in crate::cli) pool: String,
    /// Fail unless the pool has this uid (`hardneg pool get` shows it), so if it was deleted and created again
    #[arg(long, value_name = "UID", default_value_t = 0, hide_default_value = true)]
    uid: u64,
}

impl PoolArg {
    pub(in crate::cli) fn reference(&self) -> PoolRef {
        PoolRef::from(&self.pool).with_uid(self.uid)
    }
}
