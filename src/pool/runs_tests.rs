//! Tests of [`super`].

use proptest::prelude::*;

use super::*;
use crate::model::report::Sender;

const RULES: Rules = Rules { half_life: 10.0, max_step_jump: 100 };
const PROCESSES_MAX: usize = 3;

fn sender(process: u64) -> Sender {
    Sender { worker_id: "w".into(), epoch: process, sequence: 0 }
}

/// A report of `process`, applied; its tick.
fn report(runs: &mut Runs, run_id: &str, step: u64, process: u64) -> Result<i64, PoolError> {
    let ticket = runs.admit(Entry { run_id, step, sender: &sender(process) }, RULES)?;
    runs.settle(&ticket, true);
    Ok(ticket.tick)
}

fn refused(runs: &mut Runs, run_id: &str, step: u64, process: u64) -> String {
    let before = format!("{runs:?}");
    let error = report(runs, run_id, step, process).expect_err("it should be refused").to_string();
    assert_eq!(format!("{runs:?}"), before, "a refused report leaves a trace");
    error
}

fn current(runs: &Runs) -> (String, u64, u64, u64) {
    let run = runs.current().expect("a run");
    (run.run_id.to_string(), run.first_step, run.step, run.tick)
}

#[test]
fn a_new_run_continues_at_the_tick_of_the_pool() {
    let mut runs = Runs::new(PROCESSES_MAX);
    assert_eq!((runs.tick(), runs.current()), (None, None));
    assert_eq!(report(&mut runs, "a", 1_000, 1).unwrap(), 0);
    assert_eq!(report(&mut runs, "a", 1_050, 1).unwrap(), 50);
    assert_eq!(report(&mut runs, "a", 990, 1).unwrap(), -10, "a step before the first of the run");
    assert_eq!(current(&runs), ("a".into(), 1_000, 1_050, 50));
    assert_eq!(report(&mut runs, "b", 0, 2).unwrap(), 50);
    assert_eq!(report(&mut runs, "b", 7, 2).unwrap(), 57);
    assert_eq!(report(&mut runs, "b", 0, 2).unwrap(), 50, "0 is a step of a run that has a name");
    assert_eq!(current(&runs), ("b".into(), 0, 7, 57));
    assert_eq!(report(&mut runs, "c", u64::MAX, 2).unwrap(), 57, "a run begins at any step");
}

#[test]
fn a_report_of_another_run_gets_an_error_with_both_run_ids() {
    let mut runs = Runs::new(PROCESSES_MAX);
    report(&mut runs, "", 5, 1).unwrap();
    report(&mut runs, "a", 5, 1).unwrap();
    assert!(refused(&mut runs, "", 6, 1).contains("no run_id, and the pool's current run is `a`"));
    report(&mut runs, "b", 5, 1).unwrap();
    let told = refused(&mut runs, "a", 6, 1);
    assert!(told.contains("run `a` has ended") && told.contains("current run is `b`"), "{told}");
    assert!(runs.check_not_ended("a").is_err() && runs.check_not_ended("b").is_ok());
    assert!(runs.check_not_ended("unseen").is_ok() && runs.check_not_ended("").is_ok());
}

#[test]
fn a_process_that_starts_again_without_a_new_run_is_behind() {
    for run in ["", "a"] {
        let mut runs = Runs::new(PROCESSES_MAX);
        report(&mut runs, run, 100, 1).unwrap();
        report(&mut runs, run, 90, 2).expect("a half-life behind and no more");
        let told = refused(&mut runs, run, 89, 3);
        assert!(told.contains("is 89,") && told.contains("highest step 100"), "{told}");
        assert_eq!(report(&mut runs, run, 20, 1).unwrap(), -80, "known: row by row");
        refused(&mut runs, run, 89, 3);
        report(&mut runs, run, 95, 3).unwrap();
        assert_eq!(report(&mut runs, run, 89, 3).unwrap(), -11);
        // A run remembers three processes: the fourth takes the place of the first.
        report(&mut runs, run, 100, 4).unwrap();
        refused(&mut runs, run, 20, 1);
        report(&mut runs, run, 20, 3).unwrap();
    }
}

#[test]
fn steps_keep_within_bounds() {
    let mut runs = Runs::new(PROCESSES_MAX);
    report(&mut runs, "", 0, 1).unwrap();
    report(&mut runs, "", 0, 1).expect("training has not begun");
    report(&mut runs, "", 100, 1).unwrap();
    assert!(refused(&mut runs, "", 0, 1).contains("training has begun"));
    assert!(refused(&mut runs, "", 201, 1).contains("max_step_jump 100"));
    report(&mut runs, "b", 1 << 40, 1).unwrap();
    assert!(refused(&mut runs, "b", (1 << 40) - (1 << 31), 1).contains("2^31"));
    report(&mut runs, "b", (1 << 40) - (1 << 31) + 1, 1).unwrap();
}

#[test]
fn a_run_without_an_applied_report_has_never_begun() {
    let mut runs = Runs::new(PROCESSES_MAX);
    let admit = |runs: &mut Runs, run_id, step| {
        runs.admit(Entry { run_id, step, sender: &sender(1) }, RULES).expect("admitted")
    };
    let first = admit(&mut runs, "a", 3);
    runs.settle(&first, false);
    assert_eq!(runs.current(), None);
    report(&mut runs, "a", 3, 1).unwrap();
    let before = format!("{runs:?}");
    let (b, b_again) = (admit(&mut runs, "b", 50), admit(&mut runs, "b", 55));
    refused(&mut runs, "a", 4, 1);
    runs.settle(&b, false);
    assert_eq!(current(&runs), ("b".into(), 50, 55, 5), "the second is still under way");
    runs.settle(&b_again, false);
    assert_eq!(format!("{runs:?}"), before);
    report(&mut runs, "a", 4, 1).expect("it has not ended");
    // Two runs begin at once over it, and the later one's report is the first that is applied.
    let (b, c) = (admit(&mut runs, "b", 50), admit(&mut runs, "c", 60));
    runs.settle(&c, true);
    runs.settle(&b, true);
    assert_eq!(current(&runs), ("c".into(), 60, 60, 1));
    refused(&mut runs, "a", 5, 1);
    refused(&mut runs, "b", 51, 1);
}

#[test]
fn ended_runs_are_remembered_up_to_a_number() {
    let mut runs = Runs::new(PROCESSES_MAX);
    for run in 0..=ENDED_MAX + 1 {
        report(&mut runs, &format!("run-{run}"), 1, 1).unwrap();
    }
    assert_eq!(runs.ended.len(), ENDED_MAX);
    refused(&mut runs, "run-1", 2, 1);
    report(&mut runs, "run-0", 2, 1).expect("forgotten");
}

#[test]
fn ids_are_short_and_printable() {
    assert_eq!(run_id_violation("f", &"é".repeat(64)), None);
    assert!(run_id_violation("f", &"x".repeat(129)).unwrap().description.contains("129 bytes, over 128"));
    for bad in ["a\nb", "\u{1b}[2J", "\u{7f}", "\0"] {
        assert!(run_id_violation("f", bad).unwrap().description.contains("control"));
    }
}

/// What happens to the runs of a pool, one report after the other.
#[derive(Clone, Debug)]
struct Event {
    run: usize,
    step: u64,
    process: u64,
    is_applied: bool,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // Runs come one after the other, with some late reports of earlier ones.
    let event = (0..4usize, 0..60u64, 0..4u64, 0..5u32);
    proptest::collection::vec(event, 1..120).prop_map(|events| {
        let place = |at: usize, late: usize| (at / 20).saturating_sub(usize::from(late == 3));
        events
            .into_iter()
            .enumerate()
            .map(|(at, (late, step, process, applied))| Event {
                run: place(at, late),
                step,
                process,
                is_applied: applied > 0,
            })
            .collect()
    })
}

fn name(run: usize) -> String {
    if run == 0 { String::new() } else { format!("r{run}") }
}

/// The plainest model: all that was applied, looked through anew for each report.
#[derive(Debug, Default)]
struct Naive {
    /// Run, step, process and tick, in order.
    applied: Vec<(String, u64, u64, i64)>,
}

impl Naive {
    fn tick(&self) -> i64 {
        self.applied.iter().map(|applied| applied.3).max().unwrap_or(0)
    }

    /// Its tick, or why it is refused.
    fn tick_of(&self, run: &str, step: u64, process: u64) -> Result<i64, &'static str> {
        let Some(current) = self.applied.last().map(|applied| &applied.0) else { return Ok(0) };
        if run != current {
            let known = self.applied.iter().any(|applied| applied.0 == run);
            return match run {
                "" => Err("no run_id"),
                _ if known => Err("has ended"),
                _ => Ok(self.tick()),
            };
        }
        let of_run: Vec<_> = self.applied.iter().filter(|applied| applied.0 == run).collect();
        let highest = of_run.iter().map(|applied| applied.1).max().unwrap();
        // Of the last three that were new.
        let mut processes: Vec<u64> = Vec::new();
        for applied in &of_run {
            if !processes.contains(&applied.2) {
                processes.push(applied.2);
                if processes.len() > PROCESSES_MAX {
                    processes.remove(0);
                }
            }
        }
        if step > highest + RULES.max_step_jump {
            return Err("max_step_jump");
        }
        if run.is_empty() && step == 0 && highest > 0 {
            return Err("training has begun");
        }
        if (highest as f64 - step as f64) > RULES.half_life && !processes.contains(&process) {
            return Err("half-life behind");
        }
        let first = of_run[0];
        Ok(first.3 + step as i64 - first.1 as i64)
    }
}

proptest! {
    #[test]
    fn agrees_with_the_plainest_model(events in events()) {
        let (mut runs, mut naive) = (Runs::new(PROCESSES_MAX), Naive::default());
        for Event { run, step, process, is_applied } in events {
            let run = name(run);
            let before = format!("{runs:?}");
            let expected = naive.tick_of(&run, step, process);
            let from = sender(process);
            match (runs.admit(Entry { run_id: &run, step, sender: &from }, RULES), expected) {
                (Ok(ticket), Ok(tick)) => {
                    prop_assert_eq!(ticket.tick, tick);
                    runs.settle(&ticket, is_applied);
                    if is_applied {
                        naive.applied.push((run, step, process, tick));
                    } else {
                        prop_assert_eq!(format!("{runs:?}"), before);
                    }
                }
                (Err(error), Err(why)) => {
                    prop_assert!(error.to_string().contains(why), "{} is not {}", error, why);
                    prop_assert_eq!(format!("{runs:?}"), before);
                }
                (got, expected) => prop_assert!(false, "{:?} instead of {:?}", got, expected),
            }
            prop_assert_eq!(runs.tick().unwrap_or(0), naive.tick());
        }
    }

    /// Reports overlap: many are under way at once, and they end in any order.
    #[test]
    fn ticks_never_go_back(events in events(), ends in proptest::collection::vec(0..8usize, 120)) {
        let mut runs = Runs::new(PROCESSES_MAX);
        let mut under_way = Vec::new();
        let (mut highest_applied, mut applied_of): (i64, HashSet<String>) = (0, HashSet::new());
        let mut settle = |runs: &mut Runs, (ticket, is_applied): (Ticket, bool)| {
            runs.settle(&ticket, is_applied);
            if is_applied {
                highest_applied = highest_applied.max(ticket.tick);
                applied_of.insert(ticket.run_id.to_string());
            }
            prop_assert!(runs.tick().unwrap_or(0) >= highest_applied);
            Ok(())
        };
        for (Event { run, step, process, is_applied }, end) in events.into_iter().zip(ends) {
            let (run, from) = (name(run), sender(process));
            let (tick, depth) = (runs.tick(), runs.runs.len());
            if let Ok(ticket) = runs.admit(Entry { run_id: &run, step, sender: &from }, RULES) {
                prop_assert!(runs.tick() >= tick);
                if runs.runs.len() > depth {
                    prop_assert_eq!(ticket.tick, tick.unwrap_or(0), "nothing ages where a run begins");
                }
                under_way.push((ticket, is_applied));
            }
            if end < under_way.len() {
                settle(&mut runs, under_way.swap_remove(end))?;
            }
        }
        for report in under_way {
            settle(&mut runs, report)?;
        }
        let left: Vec<&Run> = runs.runs.iter().collect();
        prop_assert!(left.len() <= 1, "all is settled: {:?}", left);
        match left.first() {
            Some(run) => {
                prop_assert!(run.under_way.is_empty() && run.applied.is_some());
                prop_assert!(applied_of.contains(&*run.id));
            }
            None => prop_assert!(applied_of.is_empty()),
        }
    }
}
