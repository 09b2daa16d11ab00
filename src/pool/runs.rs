//! Training runs of a pool that ages by steps, and the ticks that the pool counts (docs/methods.md 2.4).
//!
//! A run counts its steps from 0, or from those of a checkpoint, but the ages of stored samples must not jump. So the pool counts ticks: a
//! step of the current run is the tick t0 + step - s0, where t0 is the highest tick of the pool when the run began, and s0 is the first
//! step of the run. No report of an earlier run is later than the first step of a run, and nothing ages while no run reports.
//!
//! A pool has one current run. A report that names an unseen run begins it and ends the previous one, whose later reports are refused. A
//! report is admitted before it is applied, and if it fails, its changes here are undone: a run of which no report was applied has never
//! begun.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::model::error::PoolError;
use crate::model::run::{Entry, RunError, RunLandmark, RunLandmarks, RunState, run_id_violation};

/// Maximum number of ended runs whose ids are remembered; the one that ended first is forgotten first.
const ENDED_MAX: usize = 1024;
/// A tick further than this behind the highest is refused, because stamps, which are ticks modulo 2^32, would compare it as later.
const TICK_LAG_MAX: i64 = 1 << 31;

/// The settings of steps in the spec of the pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Half-life in steps; above 0.
    pub(super) half_life: f64,
    /// A report is refused if its step is further than this ahead of the highest step of the run.
    pub(super) max_step_jump: u64,
}

/// An admitted report. It is in progress until it is settled.
#[derive(Debug)]
pub(super) struct Ticket {
    run_id: Arc<str>,
    step: u64,
    process: u64,
    /// The tick of the report.
    pub(super) tick: i64,
}

/// The runs of one pool. The ids of ended runs and the processes of the current run are bounded, and so are reports in progress.
#[derive(Debug)]
pub(super) struct Runs {
    /// The current run is the last one. Those below it become current again if no report of it is applied.
    runs: Vec<Run>,
    /// Ids of runs that have ended for good, in the order in which they ended.
    ended: VecDeque<Arc<str>>,
    /// Maximum number of processes of a run that are remembered.
    processes_max: usize,
}

#[derive(Debug)]
struct Run {
    id: Arc<str>,
    /// s0.
    first_step: u64,
    /// t0.
    first_tick: i64,
    /// The highest step of the applied reports.
    applied: Option<u64>,
    /// Number of reports in progress, by step.
    under_way: BTreeMap<u64, u32>,
    processes: Processes,
}

impl Runs {
    /// No run yet. At most `processes_max` processes of a run will be remembered.
    pub(super) fn new(processes_max: usize) -> Self {
        Self { runs: Vec::new(), ended: VecDeque::new(), processes_max }
    }

    /// The state of the runs to be saved, without reports in progress.
    pub(super) fn landmarks(&self) -> RunLandmarks {
        // A run above it has no applied report, and may turn out never to have begun.
        let settled = self.runs.iter().rev().find_map(|run| run.applied.map(|step| (run, step)));
        RunLandmarks {
            current: settled.map(|(run, step)| RunLandmark {
                run_id: run.id.to_string(),
                first_step: run.first_step,
                first_tick: run.first_tick,
                step,
            }),
            ended: self.ended.iter().map(ToString::to_string).collect(),
        }
    }

    /// The runs from their saved state; `None` if the state is not valid.
    pub(super) fn restore(landmarks: &RunLandmarks, processes_max: usize) -> Option<Self> {
        let RunLandmarks { current, ended } = landmarks;
        let is_id = |id: &str| run_id_violation("", id).is_none();
        let current_id = current.as_ref().map(|run| run.run_id.as_str());
        let distinct: HashSet<&str> = ended.iter().map(String::as_str).chain(current_id).collect();
        let is_sound = ended.len() <= ENDED_MAX
            && ended.iter().all(|id| is_id(id) && !id.is_empty())
            && current_id.is_none_or(is_id)
            && (current.is_some() || ended.is_empty())
            && distinct.len() == ended.len() + usize::from(current.is_some());
        let restored = |run: &RunLandmark| {
            let applied = Some(run.step);
            Run { applied, ..Run::new(&run.run_id, run.first_step, run.first_tick) }
        };
        is_sound.then(|| Self {
            runs: current.iter().map(restored).collect(),
            ended: ended.iter().map(|id| id.as_str().into()).collect(),
            processes_max,
        })
    }

    /// The highest tick of the pool; `None` before the first report.
    pub(super) fn tick(&self) -> Option<i64> {
        self.runs.last().map(Run::highest_tick)
    }

    /// The current run; `None` before the first report.
    pub(super) fn current(&self) -> Option<RunState> {
        let run = self.runs.last()?;
        Some(RunState {
            run_id: run.id.clone(),
            first_step: run.first_step,
            step: run.highest(),
            tick: run.highest_tick().unsigned_abs(),
        })
    }

    /// Checks that a run has not ended.
    ///
    /// # Errors
    /// [`RunError::Ended`].
    pub(super) fn check_not_ended(&self, run_id: &str) -> Result<(), RunError> {
        let Some((current, below)) = self.runs.split_last() else { return Ok(()) };
        if *current.id == *run_id {
            return Ok(());
        }
        match below.iter().map(|run| &run.id).chain(&self.ended).find(|id| ***id == *run_id) {
            Some(id) => Err(RunError::Ended { run_id: id.clone(), current: current.id.clone() }),
            None => Ok(()),
        }
    }

    /// The tick of a report in the current run; `None`: the report would begin a run.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub(super) fn check(&self, entry: Entry<'_>, rules: Rules) -> Result<Option<i64>, PoolError> {
        let Entry { run_id, step, .. } = entry;
        let Some(run) = self.runs.last() else { return Ok(None) };
        if *run.id != *run_id {
            if run_id.is_empty() {
                return Err(RunError::Missing { current: run.id.clone() }.into());
            }
            self.check_not_ended(run_id)?;
            return Ok(None);
        }
        let highest = run.highest();
        let invalid = |problem: String| Err(PoolError::invalid("batch.step", problem));
        if step > highest.saturating_add(rules.max_step_jump) {
            return invalid(format!(
                "step {step} is more than max_step_jump {} ahead of the run's highest, {highest}",
                rules.max_step_jump
            ));
        }
        if step == 0 && highest > 0 && run_id.is_empty() {
            return invalid("is 0: this pool ages by steps, and training has begun".to_owned());
        }
        let is_behind = highest.saturating_sub(step) as f64 > rules.half_life;
        if is_behind && !run.processes.have(entry.process()) {
            return Err(RunError::StepBehind { step, highest, current: run.id.clone() }.into());
        }
        let tick = run.tick_of(step);
        if run.highest_tick().saturating_sub(tick) >= TICK_LAG_MAX {
            return invalid(format!("step {step} is 2^31 or more behind the run's highest, {highest}"));
        }
        Ok(Some(tick))
    }

    /// Admits a report, which begins its run if that is unseen. The caller must settle it.
    ///
    /// # Errors
    /// `Run`; `Invalid` naming `batch.step` where it jumps, is 0 though training has begun (in a run without a name), or is 2^31
    /// ticks behind. Nothing has changed then.
    pub(super) fn admit(&mut self, entry: Entry<'_>, rules: Rules) -> Result<Ticket, PoolError> {
        let tick = match self.check(entry, rules)? {
            Some(tick) => tick,
            None => {
                let first_tick = self.tick().unwrap_or(0);
                self.runs.push(Run::new(entry.run_id, entry.step, first_tick));
                first_tick
            }
        };
        let run = self.runs.last_mut().ok_or(PoolError::Internal("the run of a report"))?;
        *run.under_way.entry(entry.step).or_default() += 1;
        Ok(Ticket { run_id: run.id.clone(), step: entry.step, process: entry.process(), tick })
    }

    /// Settles a report. If it was applied, its run has begun for good, and its step counts. If not, it leaves no trace.
    pub(super) fn settle(&mut self, ticket: &Ticket, is_applied: bool) {
        // A run that has ended for good meanwhile is not in the list, and its reports do not count any more.
        let Some(place) = self.runs.iter().position(|run| run.id == ticket.run_id) else { return };
        let run = &mut self.runs[place];
        if let Some(reports) = run.under_way.get_mut(&ticket.step) {
            *reports -= 1;
            if *reports == 0 {
                run.under_way.remove(&ticket.step);
            }
        }
        if is_applied {
            run.applied = run.applied.max(Some(ticket.step));
            run.processes.enter(ticket.process, self.processes_max);
            self.ended.extend(self.runs.drain(..place).map(|run| run.id).filter(|id| !id.is_empty()));
            self.ended.drain(..self.ended.len().saturating_sub(ENDED_MAX));
        } else if run.applied.is_none() && run.under_way.is_empty() {
            self.runs.remove(place);
        }
    }
}

impl RunLandmark {
    /// The pool's highest tick.
    #[must_use]
    pub fn tick(&self) -> i64 {
        tick_of(self.first_tick, self.first_step, self.step).max(self.first_tick)
    }
}

/// t0 + step - s0.
fn tick_of(first_tick: i64, first_step: u64, step: u64) -> i64 {
    let tick = i128::from(first_tick) + i128::from(step) - i128::from(first_step);
    tick.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

impl Run {
    fn new(id: &str, first_step: u64, first_tick: i64) -> Self {
        Self {
            id: id.into(),
            first_step,
            first_tick,
            applied: None,
            under_way: BTreeMap::new(),
            processes: Processes::default(),
        }
    }

    /// The highest step that was applied or is in progress.
    fn highest(&self) -> u64 {
        let under_way = self.under_way.last_key_value().map(|(step, _)| *step);
        under_way.max(self.applied).unwrap_or(self.first_step)
    }

    fn tick_of(&self, step: u64) -> i64 {
        tick_of(self.first_tick, self.first_step, step)
    }

    /// The tick of the highest step, which is at least the tick at which the run began.
    fn highest_tick(&self) -> i64 {
        self.tick_of(self.highest()).max(self.first_tick)
    }
}

/// The processes that have reported in a run, as hashes. The one that reported first is forgotten first.
#[derive(Debug, Default)]
struct Processes {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Processes {
    fn have(&self, process: u64) -> bool {
        self.known.contains(&process)
    }

    fn enter(&mut self, process: u64, most: usize) {
        if self.known.insert(process) {
            self.order.push_back(process);
            if self.order.len() > most
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
