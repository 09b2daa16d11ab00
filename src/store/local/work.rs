//! An operation on the partitions of a pool: the change of each, and its reply.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::machine::Machine;
use super::queue::{ROWS_PER_LOCK, Task};

/// The changes of partitions at one position.
pub(super) struct Work<M: Machine> {
    position: u64,
    parts: Vec<Option<Part<M>>>,
}

/// The change of one partition.
struct Part<M: Machine> {
    state: Mutex<State<M>>,
    is_done: AtomicBool,
}

enum State<M: Machine> {
    Queued(M::Change),
    Running(M::Job),
    Done(M::Reply),
    /// Between two of the other states, and after the reply was taken.
    Empty,
}

impl<M: Machine> State<M> {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Empty)
    }
}

impl<M: Machine> Work<M> {
    /// An operation with one change for each partition that it concerns.
    pub(super) fn new(position: u64, changes: Vec<Option<M::Change>>) -> Arc<Self> {
        let part =
            |change| Part { state: Mutex::new(State::Queued(change)), is_done: AtomicBool::new(false) };
        let parts = changes.into_iter().map(|change| change.map(part)).collect();
        Arc::new(Self { position, parts })
    }

    /// Takes the replies of the partitions that it concerned, once it is done.
    pub(super) fn replies(&self) -> Vec<(usize, M::Reply)> {
        let reply = |(number, part): (usize, &Option<Part<M>>)| match part.as_ref()?.state.lock().take() {
            State::Done(reply) => Some((number, reply)),
            State::Queued(_) | State::Running(_) | State::Empty => None,
        };
        self.parts.iter().enumerate().filter_map(reply).collect()
    }
}

impl<M: Machine> Task<M> for Work<M> {
    fn concerns(&self, number: usize) -> bool {
        self.parts[number].is_some()
    }

    fn is_done(&self, number: usize) -> bool {
        self.parts[number].as_ref().is_none_or(|part| part.is_done.load(Ordering::Acquire))
    }

    fn advance(&self, number: usize, partition: &mut M) -> usize {
        let Some(part) = &self.parts[number] else {
            return 0;
        };
        let mut state = part.state.lock();
        let mut job = match state.take() {
            State::Queued(change) => partition.begin(self.position, change),
            State::Running(job) => job,
            done => {
                *state = done;
                return 0;
            }
        };
        let before = M::done(&job);
        let reply = partition.step(&mut job, ROWS_PER_LOCK);
        let rows = M::done(&job) - before;
        *state = match reply {
            Some(reply) => {
                part.is_done.store(true, Ordering::Release);
                State::Done(reply)
            }
            None => State::Running(job),
        };
        rows
    }
}
