//! The batches that are being applied, by sender. A resend of one waits for the outcome of the first copy, and gets the same answer or
//! error. So no resend is answered as a duplicate while the first copy may still fail.

use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::watch;

use crate::model::error::PoolError;
use crate::model::report::{Ack, Sender};

type Outcome = Result<Ack, PoolError>;

/// The batches in progress in one pool; at most as many as there are callers.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    batches: Mutex<HashMap<Sender, watch::Receiver<Option<Outcome>>>>,
}

/// Whether a batch is the first copy or a resend.
pub(super) enum Turn<'a> {
    /// The first copy with this sender and sequence. The caller applies it and reports the outcome to the ticket.
    First(Ticket<'a>),
    /// A copy of a batch that is being applied.
    Resend(First),
}

impl UnderWay {
    /// Whether a batch is being applied.
    pub(super) fn has(&self, sender: &Sender) -> bool {
        self.batches.lock().contains_key(sender)
    }

    /// Enters a batch. It leaves when its ticket is dropped.
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

/// The ticket of a batch that is being applied. If it is dropped without an outcome, the resends learn that there will be none.
pub(super) struct Ticket<'a> {
    under_way: &'a UnderWay,
    sender: Sender,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Ticket<'_> {
    /// Reports the outcome to the resends.
    pub(super) fn finish(self, outcome: &Outcome) {
        self.outcome.send_replace(Some(outcome.clone()));
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.under_way.batches.lock().remove(&self.sender);
    }
}

/// The handle by which a resend waits for the first copy.
pub(super) struct First(watch::Receiver<Option<Outcome>>);

impl First {
    /// Waits for the outcome; `None` if the first copy was dropped without one.
    pub(super) async fn outcome(mut self) -> Option<Outcome> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}
