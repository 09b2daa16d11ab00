//! An operation on the partitions of a pool: what each has to do, and what it replied.

use hardneg_partition::{Change, Job, Op, Partition, Reply};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::queue::{ROWS_PER_LOCK, Task};

/// Changes of partitions at one position.
#[derive(Debug)]
pub(super) struct Work {
    parts: Vec<Option<Part>>,
}

/// What one partition has to do.
#[derive(Debug)]
struct Part {
    state: Mutex<State>,
    is_done: AtomicBool,
}

#[derive(Debug)]
enum State {
    Queued(Op),
    Running(Job),
    Done(Reply),
}

impl Work {
    /// One change for each partition that has any.
    pub(super) fn new(position: u64, changes: Vec<Option<Change>>) -> Arc<Self> {
        let part = |change| Part {
            state: Mutex::new(State::Queued(Op { position, change })),
            is_done: AtomicBool::new(false),
        };
        Arc::new(Self { parts: changes.into_iter().map(|change| change.map(part)).collect() })
    }

    /// The replies of the partitions that it concerned, once it is done.
    pub(super) fn replies(&self) -> Vec<(usize, Reply)> {
        let reply = |(number, part): (usize, &Option<Part>)| {
            let mut state = part.as_ref()?.state.lock();
            match std::mem::replace(&mut *state, State::Done(Reply::Done)) {
                State::Done(reply) => Some((number, reply)),
                State::Queued(_) | State::Running(_) => None,
            }
        };
        self.parts.iter().enumerate().filter_map(reply).collect()
    }
}

impl Task<Partition> for Work {
    fn concerns(&self, number: usize) -> bool {
        self.parts[number].is_some()
    }

    fn is_done(&self, number: usize) -> bool {
        self.parts[number].as_ref().is_none_or(|part| part.is_done.load(Ordering::Acquire))
    }

    fn advance(&self, number: usize, partition: &mut Partition) -> usize {
        let Some(part) = &self.parts[number] else {
            return 0;
        };
        let mut state = part.state.lock();
        let mut job = match std::mem::replace(&mut *state, State::Done(Reply::Done)) {
            State::Queued(op) => partition.begin(op),
            State::Running(job) => job,
            State::Done(reply) => {
                *state = State::Done(reply);
                return 0;
            }
        };
        let before = job.done();
        let reply = partition.step(&mut job, ROWS_PER_LOCK);
        let rows = job.done() - before;
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
