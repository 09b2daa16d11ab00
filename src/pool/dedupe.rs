//! Batches that are being applied, by who sent them: a resend of one gets its answer, or its error, once that is known. So a resend is
//! never told that the batch has been applied while it may still fail.

use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::watch;

use crate::model::error::PoolError;
use crate::model::report::{Ack, Sender};

type Outcome = Result<Ack, PoolError>;

/// The batches under way of one pool: as many as there are callers.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    batches: Mutex<HashMap<Sender, watch::Receiver<Option<Outcome>>>>,
}

/// What a batch is.
pub(super) enum Turn<'a> {
    /// The first of its sender and sequence: it is to be applied, and its outcome told.
    First(Ticket<'a>),
    /// A copy of one that is being applied.
    Resend(First),
}

impl UnderWay {
    /// Whether a batch is being applied.
    pub(super) fn has(&self, sender: &Sender) -> bool {
        self.batches.lock().contains_key(sender)
    }

    /// Enters a batch, until its ticket goes.
    pub(super) fn enter(&self, sender: &Sender) -> Turn<'_> {
        let mut batches = self.batches.lock();
        if let Some(first) = batches.get(sender) {
            return Turn::Resend(First(first.clone()));
        }
        let (outcome, first) = watch::channel(None);
        batches.insert(sender.clone(), first);
        Turn::First(Ticket { under_way: self, sender: sender.clone(), outcome })
    }
}

/// Of a batch that is being applied. Dropped without an outcome, it tells the resends that nothing will come of it.
pub(super) struct Ticket<'a> {
    under_way: &'a UnderWay,
    sender: Sender,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Ticket<'_> {
    /// Tells the resends.
    pub(super) fn finish(self, outcome: &Outcome) {
        self.outcome.send_replace(Some(outcome.clone()));
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.under_way.batches.lock().remove(&self.sender);
    }
}

/// The first copy of a batch, seen from a resend.
pub(super) struct First(watch::Receiver<Option<Outcome>>);

impl First {
    /// Its outcome; `None` where whoever applied it went away before there was one.
    pub(super) async fn outcome(mut self) -> Option<Outcome> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}
