//! The commands, one file each; `load` and `top` are larger and have folders of their own beside this one.

pub(super) mod block;
pub(super) mod health;
pub(super) mod mine;
pub(super) mod mine_negatives;
pub(super) mod pool;
pub(super) mod quarantine;
pub(super) mod report;
pub(super) mod serve;
