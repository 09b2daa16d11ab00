//! Flags for a mining policy, its balance and its curriculum.

use clap::Args;

use super::values::{Normalization, Range, Scheduled, Shortfall, Strategy, StratumLimit, count};
use crate::client::pb;
use pb::window::Kind;

/// A mining policy.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Policy")]
pub(in crate::cli) struct PolicyArgs {
    /// How hard samples are chosen [default: proportional]
    #[arg(long, value_enum, value_name = "NAME")]
    strategy: Option<Strategy>,
    /// Exponent of proportional and rank, 0 to 16 [default: 1]
    #[arg(long, value_name = "X")]
    alpha: Option<f64>,
    /// Expected share of samples from the background, 0 to 1 [default: 0.25]
    #[arg(long, value_name = "X")]
    random_fraction: Option<f64>,
    /// Exponent of the importance weights, 0 to 1 [default: 1, unbiased]
    #[arg(long, value_name = "X")]
    beta: Option<f64>,
    /// How the weights are scaled [default: none]
    #[arg(long, value_enum, value_name = "NAME")]
    normalization: Option<Normalization>,
    /// What happens when there are too few hard samples [default: fill]
    #[arg(long, value_enum, value_name = "NAME")]
    shortfall: Option<Shortfall>,
    /// Only hard samples with a raw score in this range
    #[arg(long, value_name = "MIN..MAX", allow_hyphen_values = true)]
    score_window: Option<Range<f32>>,
    /// Only hard samples of these ranks, 0 the hardest, MAX excluded
    #[arg(long, value_name = "MIN..MAX")]
    rank_window: Option<Range<u64>>,
    /// Only hard samples in these quantiles, 1 the hardest
    #[arg(long, value_name = "MIN..MAX")]
    quantile_window: Option<Range<f64>>,
    /// Only hard samples whose last report has this age, in seconds or steps
    #[arg(long, value_name = "MIN..MAX")]
    age_window: Option<Range<f64>>,
    /// Only hard samples that these versions of the model scored
    #[arg(long, value_name = "MIN..MAX")]
    version_window: Option<Range<u32>>,
    #[command(flatten)]
    balance: BalanceArgs,
    #[command(flatten)]
    curriculum: CurriculumArgs,
}

impl PolicyArgs {
    /// `base` with the values of the given flags; `None` when no flag was given. Windows, balance and curriculum each replace
    /// the whole value in `base`.
    pub(in crate::cli) fn over(&self, base: Option<pb::MiningPolicy>) -> Option<pb::MiningPolicy> {
        let windows = self.windows();
        let (balance, curriculum) = (self.balance.balance(), self.curriculum.curriculum());
        let untouched = self.strategy.is_none()
            && self.alpha.is_none()
            && self.random_fraction.is_none()
            && self.beta.is_none()
            && self.normalization.is_none()
            && self.shortfall.is_none()
            && windows.is_empty()
            && balance.is_none()
            && curriculum.is_none();
        if untouched {
            return None;
        }
        let mut policy = base.unwrap_or_default();
        if let Some(strategy) = self.strategy {
            policy.set_strategy(strategy.into());
        }
        policy.alpha = self.alpha.or(policy.alpha);
        policy.random_fraction = self.random_fraction.or(policy.random_fraction);
        policy.beta = self.beta.or(policy.beta);
        if let Some(normalization) = self.normalization {
            policy.set_normalization(normalization.into());
        }
        if let Some(shortfall) = self.shortfall {
            policy.set_shortfall(shortfall.into());
        }
        if !windows.is_empty() {
            policy.windows = windows;
        }
        policy.balance = balance.or(policy.balance);
        policy.curriculum = curriculum.or(policy.curriculum);
        Some(policy)
    }

    fn windows(&self) -> Vec<pb::Window> {
        let kinds = [
            self.score_window.map(|range| Kind::Score(pb::ScoreWindow { min: range.min, max: range.max })),
            self.rank_window.map(|range| {
                Kind::Rank(pb::RankWindow { min: range.min.unwrap_or_default(), max: range.max })
            }),
            self.quantile_window.map(|range| {
                Kind::Quantile(pb::QuantileWindow { min: range.min.unwrap_or_default(), max: range.max })
            }),
            self.age_window
                .map(|range| Kind::Age(pb::AgeWindow { min: range.min.unwrap_or_default(), max: range.max })),
            self.version_window.map(|range| {
                Kind::ModelVersion(pb::VersionWindow { min: range.min.unwrap_or_default(), max: range.max })
            }),
        ];
        kinds.into_iter().flatten().map(|kind| pb::Window { kind: Some(kind) }).collect()
    }
}

/// Limits on strata and groups.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Balance")]
pub(in crate::cli) struct BalanceArgs {
    /// The largest fraction of a batch that one stratum may take, above 0 to 1
    #[arg(long, value_name = "X", conflicts_with = "equal_shares")]
    max_stratum_fraction: Option<f64>,
    /// The limit of one stratum, as samples (7=10) or as a fraction of the batch (7=0.25); may be repeated
    #[arg(long, value_name = "STRATUM=LIMIT", conflicts_with = "equal_shares")]
    stratum_cap: Vec<StratumLimit>,
    /// Give every stratum the same share of the batch
    #[arg(long)]
    equal_shares: bool,
    /// The least number of samples of each stratum
    #[arg(long, value_name = "N")]
    min_per_stratum: Option<u32>,
    /// The most samples of one group of near-duplicates
    #[arg(long, value_name = "N")]
    max_per_group: Option<u32>,
}

impl BalanceArgs {
    /// The balance of the given flags; `None` when no flag was given.
    pub(in crate::cli) fn balance(&self) -> Option<pb::Balance> {
        let balance = pb::Balance {
            max_stratum_fraction: self.max_stratum_fraction.unwrap_or_default(),
            stratum_caps: self.stratum_cap.iter().map(|limit| limit.0).collect(),
            equal_shares: self.equal_shares,
            min_per_stratum: self.min_per_stratum.unwrap_or_default(),
            max_per_group: self.max_per_group.unwrap_or_default(),
        };
        (balance != pb::Balance::default()).then_some(balance)
    }
}

/// Fields of the policy that change with the training step.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Curriculum")]
pub(in crate::cli) struct CurriculumArgs {
    /// Batches before this step are uniform
    #[arg(long, value_parser = count, value_name = "STEPS")]
    warmup_steps: Option<u64>,
    /// Change alpha, random-fraction, beta, quantile-min or quantile-max over steps, as in alpha=0..2@1000..10000; append
    /// `:sqrt` to change it fastest at the beginning; may be repeated
    #[arg(long, value_name = "FIELD=FROM..TO@BEGIN..END")]
    schedule: Vec<Scheduled>,
}

impl CurriculumArgs {
    /// The curriculum of the given flags; `None` when no flag was given.
    pub(in crate::cli) fn curriculum(&self) -> Option<pb::Curriculum> {
        if self.warmup_steps.is_none() && self.schedule.is_empty() {
            return None;
        }
        let mut curriculum =
            pb::Curriculum { warmup_steps: self.warmup_steps.unwrap_or_default(), ..Default::default() };
        for scheduled in &self.schedule {
            scheduled.apply(&mut curriculum);
        }
        Some(curriculum)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    impl PolicyArgs {
        /// Only `--alpha` given.
        pub(in crate::cli::flags) fn with_alpha(alpha: f64) -> Self {
            Self { alpha: Some(alpha), ..Self::default() }
        }
    }

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        balance: BalanceArgs,
        #[command(flatten)]
        curriculum: CurriculumArgs,
    }

    fn parse(flags: &str) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(["flags"].into_iter().chain(flags.split_whitespace()))
    }

    #[test]
    fn a_part_without_flags_is_off() {
        let flags = parse("").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((flags.balance.balance(), flags.curriculum.curriculum()), (None, None));
        assert!(parse("--equal-shares --stratum-cap 1=5").is_err());
    }

    #[test]
    fn flags_become_parts_of_a_policy() {
        let flags = parse(
            "--stratum-cap 7=10 --stratum-cap 0=0.25 --max-per-group 2 \
             --warmup-steps 1k --schedule alpha=0..2@1000..10000 --schedule quantile-max=0.5..1@0..500:sqrt",
        );
        let flags = flags.unwrap_or_else(|error| panic!("{error}"));
        let balance = flags.balance.balance().unwrap();
        assert_eq!(balance.max_per_group, 2);
        use pb::stratum_cap::Limit;
        let caps: Vec<_> = balance.stratum_caps.iter().map(|cap| (cap.stratum, cap.limit)).collect();
        assert_eq!(caps, [(7, Some(Limit::MaxCount(10))), (0, Some(Limit::MaxFraction(0.25)))]);
        let curriculum = flags.curriculum.curriculum().unwrap();
        assert_eq!(curriculum.warmup_steps, 1_000);
        let alpha = curriculum.alpha.unwrap();
        assert_eq!((alpha.from, alpha.to, alpha.begin_step, alpha.end_step), (0.0, 2.0, 1_000, 10_000));
        assert_eq!(alpha.shape(), pb::ScheduleShape::Linear);
        assert_eq!(curriculum.quantile_max.unwrap().shape(), pb::ScheduleShape::Sqrt);
        assert_eq!(curriculum.beta, None);
        for wrong in ["alpha", "alpha=0..2", "alpha=0@1..2", "gamma=0..1@0..5", "beta=0..1@0..5:cube"] {
            assert!(parse(&format!("--schedule {wrong}")).is_err(), "{wrong}");
        }
    }
}
