//! Mines negatives: checks, a permit, the draws of all anchors, and their columns.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Instant;

use tracing::Instrument as _;

use crate::model::anchored_spec::AnchoredSpec;
use crate::model::batch::{PoolSizes, Source};
use crate::model::error::{PoolError, Violation};
use crate::model::filter_counts::FilterCounts;
use crate::model::negative_policy::{NegativePolicy, NegativeStrategy};
use crate::model::negatives::{
    ANCHORS_MAX, EXCLUDE_MAX, Labels, MinedNegatives, NUM_NEGATIVES_MAX, NegativesRequest, ROWS_MAX,
};
use crate::model::policy::Shortfall;
use crate::model::report::Ids;
use crate::model::spec::{IdKind, PoolSpec};
use crate::pool::Pool;
use crate::pool::admission::Patience;
use crate::pool::anchored::Anchored;
use crate::pool::spans;
use crate::sampler::anchored::draw::{Draw, Progress};
use crate::sampler::anchored::draw_budget::DrawBudget;
use crate::sampler::anchored::filter::{Filter, View};
use crate::sampler::anchored::members::Members;
use crate::sampler::anchored::split_counts::hard_wanted;
use crate::sampler::anchored::strategy::{self, Scene};
use crate::sampler::flat::background::Background;
use crate::store::Store;
use crate::store::anchored::AnchorRows;
use crate::store::hash::{background_hash, placement_hash};
use crate::store::key::Key;

/// Maximum number of anchors, and about the number of stored negatives, in one chunk: about a millisecond of work before the task yields.
const ANCHORS_PER_PIECE: usize = 1_024;
const NEGATIVES_PER_PIECE: usize = 16_384;
/// Samples of the background whose labels one call reads.
const IDS_PER_READ: usize = 16_384;
/// About the number of arrivals that are examined before the task yields.
const STEPS_PER_YIELD: u64 = 32_768;
/// Maximum number of attempts: a draw whose background was replaced during the draw begins again.
const ATTEMPTS_MAX: usize = 3;

/// Everything that the draws of one request depend on.
struct Request<'a> {
    anchored: &'a Anchored,
    /// Holds the background.
    store: &'a dyn Store,
    anchors: Vec<u64>,
    /// Negatives wanted, one number per anchor.
    wanted: Vec<usize>,
    negatives_per_anchor: usize,
    /// The policy as it was asked for, with the margins of the pool.
    asked: &'a NegativePolicy,
    /// The policy as it is applied.
    policy: &'a NegativePolicy,
    excluded: HashSet<u64>,
    anchors_are_samples: bool,
    lower_is_harder: bool,
    now: Key,
    stamp_now: u32,
    by_steps: bool,
    named: bool,
    named_anchors: bool,
    labelled: bool,
    seed: u64,
}

impl Pool {
    /// Mines negatives of anchors.
    ///
    /// # Errors
    /// `Invalid` naming the field, `FailedPrecondition` (`POOL_NOT_ANCHORED`, `SHORTFALL`), `Exhausted` while the server mines all
    /// that it may at once.
    pub async fn mine_negatives(
        &self,
        request: NegativesRequest,
        patience: Patience,
    ) -> Result<MinedNegatives, PoolError> {
        let anchored = self.as_anchored("MineNegatives")?;
        let spec = self.spec();
        let Some(of_anchors) = &spec.anchored else {
            return Err(PoolError::Internal("spec"));
        };
        // The checks depend on the margins of the pool too.
        let policy = request.policy.over(of_anchors.margins);
        let request = NegativesRequest { policy, ..request };
        check(of_anchors, &request)?;
        let most = request.num_negatives_per_anchor.iter().copied().fold(request.num_negatives, u32::max);
        let span = spans::mine_negatives(&self.id, request.anchors.len(), most);
        let mining = pin!(self.mine_checked(anchored, &spec, of_anchors, request, patience));
        mining.instrument(span).await
    }

    async fn mine_checked(
        &self,
        anchored: &Anchored,
        spec: &PoolSpec,
        of_anchors: &AnchoredSpec,
        request: NegativesRequest,
        patience: Patience,
    ) -> Result<MinedNegatives, PoolError> {
        let anchors = self.resolve_anchors(of_anchors, request.anchors, "anchors")?;
        let excluded = self.hashes(spec.id_kind, &request.exclude, "exclude_ids")?.iter().copied().collect();
        let _place = self.server.admission.mine(patience).await?;
        let begun = Instant::now();
        let now = self.clock.now();
        let asked = request.policy;
        let policy = asked.clone().applied();
        let wanted = match &request.num_negatives_per_anchor[..] {
            [] => vec![request.num_negatives as usize; anchors.len()],
            each => each.iter().map(|wanted| *wanted as usize).collect(),
        };
        let mined = Request {
            anchored,
            store: &*self.store,
            anchors,
            wanted,
            negatives_per_anchor: of_anchors.negatives_per_anchor as usize,
            asked: &asked,
            policy: &policy,
            excluded,
            anchors_are_samples: of_anchors.anchors_are_samples,
            lower_is_harder: spec.hardness.lower_is_harder,
            now: Key(now.decay_units as u32),
            stamp_now: now.stamp,
            by_steps: spec.decay.by_steps(),
            named: spec.id_kind == IdKind::Name,
            named_anchors: of_anchors.anchor_id_kind == IdKind::Name,
            labelled: request.labels,
            seed: request.seed.unwrap_or_else(rand::random),
        }
        .mine(self.limits.max_scan_rows as u64)
        .await?;
        anchored.filtered.add(&mined.filtered);
        self.recorder.mines.record(begun.elapsed());
        self.count_negatives(&mined);
        Ok(mined)
    }
}

/// Checks sizes, and the ranges of the policy with the margins of the pool.
fn check(spec: &AnchoredSpec, request: &NegativesRequest) -> Result<(), PoolError> {
    let mut bad = request.policy.violations(spec.negatives_per_anchor);
    let anchors = request.anchors.len();
    if !(1..=ANCHORS_MAX).contains(&anchors) {
        bad.push(Violation::new("anchors", format!("{anchors} anchors, not 1 to {ANCHORS_MAX}")));
    }
    let found = number_violation(request);
    bad.extend(found.map(|(field, wrong)| Violation::new(field, wrong)));
    if request.exclude.len() > EXCLUDE_MAX {
        let wrong = format!("{} ids, over {EXCLUDE_MAX}", request.exclude.len());
        bad.push(Violation::new("exclude_ids", wrong));
    }
    if bad.is_empty() { Ok(()) } else { Err(PoolError::Invalid(bad)) }
}

/// What is wrong with the numbers of wanted negatives, with the name of the field.
fn number_violation(request: &NegativesRequest) -> Option<(String, String)> {
    const EACH: &str = "num_negatives_per_anchor";
    let (anchors, wanted, each) =
        (request.anchors.len(), request.num_negatives, &request.num_negatives_per_anchor);
    if each.is_empty() {
        if !(1..=NUM_NEGATIVES_MAX).contains(&wanted) {
            return Some(("num_negatives".into(), format!("{wanted} is not in 1..={NUM_NEGATIVES_MAX}")));
        }
        let is_over = anchors * wanted as usize > ROWS_MAX;
        let wrong = || format!("{anchors} anchors x {wanted} negatives are over {ROWS_MAX}");
        return is_over.then(|| ("num_negatives".into(), wrong()));
    }
    if wanted != 0 {
        return Some((EACH.into(), format!("num_negatives is {wanted}: give one of the two")));
    }
    if each.len() != anchors {
        return Some((EACH.into(), format!("has {} numbers for {anchors} anchors", each.len())));
    }
    if let Some(at) = each.iter().position(|wanted| *wanted > NUM_NEGATIVES_MAX) {
        return Some((format!("{EACH}[{at}]"), format!("{} is over {NUM_NEGATIVES_MAX}", each[at])));
    }
    let sum: usize = each.iter().map(|wanted| *wanted as usize).sum();
    (sum > ROWS_MAX).then(|| (EACH.into(), format!("{sum} negatives of all anchors are over {ROWS_MAX}")))
}

impl Request<'_> {
    /// `rejections`: number of members of the background that all draws together may reject.
    async fn mine(&self, rejections: u64) -> Result<MinedNegatives, PoolError> {
        let mut budget = DrawBudget::new(rejections);
        let mut attempts = 0;
        loop {
            attempts += 1;
            if let Some(mined) = self.attempt(attempts == ATTEMPTS_MAX, &mut budget).await? {
                return Ok(mined);
            }
        }
    }

    /// One attempt at all draws; `None`: the background was replaced since the census, and this is not the last attempt.
    async fn attempt(
        &self,
        last: bool,
        budget: &mut DrawBudget,
    ) -> Result<Option<MinedNegatives>, PoolError> {
        budget.filtered = FilterCounts::default();
        let census = self.store.census().await?;
        let background = Background::of(&census);
        let mut members = Members::new(self.store, &background);
        let strategy = strategy::of(self.policy);
        let filter = Filter {
            policy: self.policy,
            strategy: &*strategy,
            excluded: &self.excluded,
            anchors_are_samples: self.anchors_are_samples,
            stamp_now: self.stamp_now,
            by_steps: self.by_steps,
        };
        let mut mined = self.empty(self.sizes(&background).await?);
        let most = self.wanted.iter().copied().fold(self.negatives_per_anchor, usize::max);
        let piece = (NEGATIVES_PER_PIECE / most).clamp(1, ANCHORS_PER_PIECE);
        for (number, anchors) in self.anchors.chunks(piece).enumerate() {
            let rows = self.anchored.store.fetch(anchors).await?;
            let first = number * piece;
            self.draw(&rows, first, &filter, &mut members, budget, &mut mined).await?;
            if members.is_overtaken() && !last {
                return Ok(None);
            }
            members.forget_many();
            tokio::task::yield_now().await;
        }
        mined.filtered = budget.filtered;
        self.name_background(&mut mined).await?;
        self.label_background(&mut mined).await?;
        Ok(Some(mined))
    }

    /// Draws for the anchors of `rows`, whose numbers in the request begin at `first`.
    async fn draw(
        &self,
        rows: &AnchorRows,
        first: usize,
        filter: &Filter<'_>,
        members: &mut Members<'_>,
        budget: &mut DrawBudget,
        mined: &mut MinedNegatives,
    ) -> Result<(), PoolError> {
        let mut draws: Vec<Draw<'_>> = rows
            .anchors
            .iter()
            .enumerate()
            .map(|(i, row)| {
                let scene =
                    Scene { positive: row.positive, lower_is_harder: self.lower_is_harder, now: self.now };
                // The seed depends on the position in the request, so an anchor that is named twice gets two independent draws. It is
                // hashed, because generators with neighbouring seeds share some of their state.
                let seed = background_hash((first + i) as u64, placement_hash(self.seed));
                let view = View::of(self.anchors[first + i], rows, row);
                Draw::new(view, &scene, filter, members, self.wanted[first + i], seed, budget)
            })
            .collect();
        let mut pause = budget.steps + STEPS_PER_YIELD;
        loop {
            let mut needed = Vec::new();
            for draw in &mut draws {
                if let Progress::Needs(numbers) = draw.run(filter, members, budget) {
                    needed.extend(numbers);
                }
                if budget.steps >= pause {
                    pause = budget.steps + STEPS_PER_YIELD;
                    tokio::task::yield_now().await;
                }
            }
            if needed.is_empty() {
                break;
            }
            members.read(needed).await?;
        }
        for (i, draw) in draws.iter().enumerate() {
            self.check_shortfall(draw, first + i)?;
            budget.filtered.unscored += self.unscored_places(draw, self.wanted[first + i]) as u64;
            self.append(draw, rows, filter, mined);
            mined.shortfall_count += (self.wanted[first + i] - draw.picks.len()) as u32;
        }
        Ok(())
    }

    /// The places that the background would have had, if the filters could judge samples without a score.
    fn unscored_places(&self, draw: &Draw<'_>, wanted: usize) -> usize {
        let hard = hard_wanted(self.asked, wanted);
        match self.asked.shortfall {
            _ if self.asked.admits_unscored() => 0,
            Shortfall::Fill => wanted - hard.min(draw.eligible),
            Shortfall::Short | Shortfall::Error => wanted - hard,
        }
    }

    /// ERROR: checks that every anchor has as many negatives as were asked for.
    fn check_shortfall(&self, draw: &Draw<'_>, number: usize) -> Result<(), PoolError> {
        let wanted = self.wanted[number];
        let asked = hard_wanted(self.policy, wanted);
        if self.policy.shortfall != Shortfall::Error {
            return Ok(());
        }
        if draw.eligible < asked {
            return Err(self.shortfall(
                number,
                format_args!(
                    "has {} eligible negatives of its own, {asked} were wanted (num_negatives {} at random_fraction {})",
                    draw.eligible, wanted, self.policy.random_fraction
                ),
            ));
        }
        let found = draw.picks.len();
        if found < wanted {
            let why = if draw.is_cut { "too many of it may not be served" } else { "it is too small" };
            return Err(self.shortfall(
                number,
                format_args!(
                    "has {found} negatives, {wanted} were wanted: the background has no more, {why}"
                ),
            ));
        }
        Ok(())
    }

    /// The error for an anchor that has too few negatives.
    fn shortfall(&self, number: usize, has: std::fmt::Arguments<'_>) -> PoolError {
        // Of a string anchor only the hash is known here.
        let anchor = if self.named_anchors { String::new() } else { format!(" ({})", self.anchors[number]) };
        PoolError::FailedPrecondition {
            reason: "SHORTFALL",
            message: format!("anchors[{number}]{anchor} {has}"),
        }
    }

    fn append(&self, draw: &Draw<'_>, rows: &AnchorRows, filter: &Filter<'_>, mined: &mut MinedNegatives) {
        for pick in &draw.picks {
            let own = pick.own.map(|at| &draw.view.negatives[at]);
            mined.ids.push(pick.id);
            mined.scores.push(own.map_or(f32::NAN, |n| n.score));
            mined.ages.push(own.map_or(f32::NAN, |n| filter.age(n) as f32));
            mined.sources.push(pick.source);
            if let Some(probabilities) = &mut mined.inclusion_probabilities {
                probabilities.push(pick.inclusion as f32);
            }
            let place = || pick.own.map(|at| draw.view.row.negatives.start + at);
            if let Some(labels) = &mut mined.labels {
                labels.negatives.push(place().and_then(|at| rows.labels.get(at)).copied().unwrap_or(0));
            }
            if let Some(names) = &mut mined.names {
                names.push(place().and_then(|at| rows.names.get(at)).cloned().unwrap_or_default());
            }
        }
        mined.offsets.push(mined.ids.len() as u32);
        mined.positive_scores.push(draw.view.row.positive);
        if let Some(labels) = &mut mined.labels {
            labels.anchors.push(draw.view.row.label);
        }
        mined.lacking.push(draw.lacking(self.policy) as u32);
        mined.unknown_anchor_count += u32::from(!draw.view.row.known);
        let is_missing = self.policy.measures_from_positive() && draw.view.row.positive.is_nan();
        mined.no_positive_count += u32::from(is_missing);
    }

    /// Adds the names of negatives from the background. Those that have left it meanwhile have no name any more, and are removed.
    async fn name_background(&self, mined: &mut MinedNegatives) -> Result<(), PoolError> {
        let Some(names) = &mut mined.names else {
            return Ok(());
        };
        let unnamed: Vec<usize> = (0..names.len()).filter(|i| names[*i].is_empty()).collect();
        let ids: Vec<u64> = unnamed.iter().map(|i| mined.ids[*i]).collect();
        let answers = self.store.attachments(&ids).await?;
        for (i, answer) in unnamed.into_iter().zip(answers) {
            if let Some(name) = answer.and_then(|a| a.name) {
                names[i] = name;
            }
        }
        let kept: Vec<bool> = names.iter().map(|name| !name.is_empty()).collect();
        let Some(lost) = kept.iter().position(|kept| !kept) else {
            return Ok(());
        };
        if self.policy.shortfall == Shortfall::Error {
            let number = mined.offsets.partition_point(|offset| *offset as usize <= lost) - 1;
            let has = format_args!("lost a negative of the background, which was removed during the request");
            return Err(self.shortfall(number, has));
        }
        mined.retain(&kept);
        Ok(())
    }

    /// Adds the labels of negatives from the background, if labels were asked for. Those that have left it meanwhile have none.
    async fn label_background(&self, mined: &mut MinedNegatives) -> Result<(), PoolError> {
        let Some(labels) = &mut mined.labels else {
            return Ok(());
        };
        // A negative of the anchor itself has a score, and its label already.
        let unlabelled: Vec<usize> = (0..mined.ids.len()).filter(|i| mined.scores[*i].is_nan()).collect();
        for rows in unlabelled.chunks(IDS_PER_READ) {
            let ids: Vec<u64> = rows.iter().map(|i| mined.ids[*i]).collect();
            for (i, row) in rows.iter().zip(self.store.get(&ids).await?) {
                labels.negatives[*i] = row.map_or(0, |row| row.stratum);
            }
        }
        Ok(())
    }

    /// The sizes of the pool at the census of the background.
    async fn sizes(&self, background: &Background<'_>) -> Result<PoolSizes, PoolError> {
        Ok(PoolSizes {
            hard: self.anchored.store.stats().await?.negatives,
            background: background.size as u64,
            distinct: background.distinct(),
            background_probability: background.mean_probability(),
            ..PoolSizes::of_anchored()
        })
    }

    fn empty(&self, sizes: PoolSizes) -> MinedNegatives {
        let weighed = self.policy.strategy != NegativeStrategy::Top;
        MinedNegatives {
            offsets: vec![0],
            ids: Vec::new(),
            names: self.named.then(Vec::new),
            scores: Vec::new(),
            inclusion_probabilities: weighed.then(Vec::new),
            sources: Vec::new(),
            ages: Vec::new(),
            positive_scores: Vec::new(),
            labels: self.labelled.then(Labels::default),
            policy: self.policy.clone(),
            seed: self.seed,
            shortfall_count: 0,
            lacking: Vec::new(),
            unknown_anchor_count: 0,
            no_positive_count: 0,
            sizes,
            filtered: FilterCounts::default(),
        }
    }
}

impl MinedNegatives {
    /// Removes all rows but those to be kept.
    fn retain(&mut self, kept: &[bool]) {
        fn column<T>(values: &mut Vec<T>, kept: &[bool]) {
            let mut kept = kept.iter();
            values.retain(|_| kept.next().copied().unwrap_or(true));
        }
        self.shortfall_count += kept.iter().filter(|kept| !**kept).count() as u32;
        let mut before = vec![0; kept.len() + 1];
        for (i, kept) in kept.iter().enumerate() {
            before[i + 1] = before[i] + u32::from(*kept);
        }
        self.offsets.iter_mut().for_each(|offset| *offset = before[*offset as usize]);
        column(&mut self.ids, kept);
        column(&mut self.scores, kept);
        column(&mut self.sources, kept);
        column(&mut self.ages, kept);
        self.names.iter_mut().for_each(|names| column(names, kept));
        self.labels.iter_mut().for_each(|labels| column(&mut labels.negatives, kept));
        self.inclusion_probabilities.iter_mut().for_each(|p| column(p, kept));
    }
}

impl Pool {
    /// Resolves anchors to integers: integer anchors as they are, or the hashes of their names.
    pub(in crate::pool) fn resolve_anchors(
        &self,
        spec: &AnchoredSpec,
        anchors: Ids,
        field: &str,
    ) -> Result<Vec<u64>, PoolError> {
        self.resolve_kind(spec.anchor_id_kind, anchors, field).map(|(anchors, _)| anchors)
    }

    fn count_negatives(&self, mined: &MinedNegatives) {
        use crate::activity::stats::Counters;
        let hard = mined.count_from(Source::Hard) as u64;
        Counters::add(&self.counters.mined_batches, 1);
        Counters::add(&self.counters.served_hard, hard);
        Counters::add(&self.counters.served_background, mined.ids.len() as u64 - hard);
        Counters::add(&self.counters.shortfalls, u64::from(mined.shortfall_count > 0));
        Counters::add(&self.counters.proposals, mined.ids.len() as u64);
    }
}
