//! Who reports, and who must have finished before an id that was set aside is gone for good.
//!
//! A report looks at the quarantine before it reaches the store. One that looked just before an id was set aside would bring it
//! back after its removal; so whoever sets aside waits for the reports that were on their way then, and only removes after
//! them. Later reports need not wait: they see the id set aside.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::{Notify, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Reports pass together; releases and removals alone.
#[derive(Debug, Default)]
pub(super) struct Gate {
    alone: RwLock<()>,
    tickets: Mutex<Tickets>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Tickets {
    next: u64,
    /// Of the reports on their way.
    open: BTreeSet<u64>,
}

/// A report on its way: it may bring to the store what it saw outside the quarantine.
#[derive(Debug)]
pub(in crate::pool) struct Passage<'a> {
    gate: &'a Gate,
    ticket: Option<u64>,
    _shared: RwLockReadGuard<'a, ()>,
}

impl Gate {
    pub(super) async fn enter(&self) -> Passage<'_> {
        let shared = self.alone.read().await;
        let mut tickets = self.tickets.lock();
        let ticket = tickets.next;
        tickets.next += 1;
        tickets.open.insert(ticket);
        drop(tickets);
        Passage { gate: self, ticket: Some(ticket), _shared: shared }
    }

    /// Nobody else reports meanwhile.
    pub(super) async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.alone.write().await
    }
}

impl Passage<'_> {
    /// Resolves once every report that was on its way at this call has reached the store. This one counts as having done so,
    /// or two that wait would wait for each other.
    pub(super) async fn outlast_others(&mut self) {
        self.arrive();
        let gate = self.gate;
        let barrier = gate.tickets.lock().next;
        loop {
            let left = gate.left.notified();
            tokio::pin!(left);
            // Registered before the look, so that no departure is missed.
            left.as_mut().enable();
            if gate.tickets.lock().open.first().is_none_or(|oldest| *oldest >= barrier) {
                return;
            }
            left.await;
        }
    }

    fn arrive(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.tickets.lock().open.remove(&ticket);
            self.gate.left.notify_waiters();
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.arrive();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn who_sets_aside_waits_for_the_reports_before_it_and_for_none_after() {
        let gate = Gate::default();
        let short = Duration::from_millis(20);
        let (before, mut setting_aside) = (gate.enter().await, gate.enter().await);
        assert!(timeout(short, setting_aside.outlast_others()).await.is_err());
        let after = gate.enter().await;
        drop(before);
        // `after` came later than the first call, and before this one: the barrier is of the call.
        assert!(timeout(short, setting_aside.outlast_others()).await.is_err());
        let mut both = [gate.enter().await, gate.enter().await];
        drop(after);
        let [a, b] = &mut both;
        // Two that set aside at a time do not wait for each other.
        timeout(short, async { tokio::join!(a.outlast_others(), b.outlast_others()) }).await.unwrap();
    }

    #[tokio::test]
    async fn a_release_is_alone() {
        let gate = Gate::default();
        let short = Duration::from_millis(20);
        let passage = gate.enter().await;
        assert!(timeout(short, gate.alone()).await.is_err());
        drop(passage);
        let alone = gate.alone().await;
        assert!(timeout(short, gate.enter()).await.is_err());
        drop(alone);
        assert!(timeout(short, gate.enter()).await.is_ok());
    }
}
