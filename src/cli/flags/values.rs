//! Values of flags: names of the contract's enums, ranges, durations.

use std::{str::FromStr, time::Duration};

use anyhow::Context as _;
use clap::ValueEnum;

use super::pool_arg::PoolArg;
use crate::client::{Client, Ids, pb};

/// A duration such as `500ms`, `10s` or `5m`.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a duration such as 500ms, 10s or 5m".to_owned())
}

/// A whole number; digits may be grouped by underscores, and end in k, M or G (powers of 1000).
pub(in crate::cli) fn count(text: &str) -> Result<u64, String> {
    let text = text.replace('_', "");
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1_000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text.as_str(), 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "expected a whole number such as 4096, 100k or 10M".to_owned())
}

/// `MIN..MAX`, `MIN..` or `..MAX`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) struct Range<T> {
    pub min: Option<T>,
    pub max: Option<T>,
}

impl<T: FromStr> FromStr for Range<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected MIN..MAX, MIN.. or ..MAX".to_owned();
        let (min, max) = text.split_once("..").ok_or_else(wrong)?;
        let bound = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| wrong()),
        };
        let range = Self { min: bound(min)?, max: bound(max)? };
        if range.min.is_none() && range.max.is_none() {
            return Err(wrong());
        }
        Ok(range)
    }
}

/// `STRATUM=LIMIT`: a whole number is a number of samples, any other number a fraction of the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) struct StratumLimit(pub pb::StratumCap);

impl FromStr for StratumLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use pb::stratum_cap::Limit;

        let wrong = || "expected STRATUM=LIMIT, as 7=10 samples or 7=0.25 of the batch".to_owned();
        let (stratum, limit) = text.split_once('=').ok_or_else(wrong)?;
        let limit = match limit.parse::<u32>() {
            Ok(samples) => Limit::MaxCount(samples),
            Err(_) => Limit::MaxFraction(limit.parse().map_err(|_| wrong())?),
        };
        Ok(Self(pb::StratumCap { stratum: stratum.parse().map_err(|_| wrong())?, limit: Some(limit) }))
    }
}

/// `FIELD=FROM..TO@BEGIN..END`, optionally followed by `:sqrt`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) struct Scheduled {
    field: ScheduledField,
    schedule: pb::Schedule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScheduledField {
    Alpha,
    RandomFraction,
    Beta,
    QuantileMin,
    QuantileMax,
}

impl Scheduled {
    pub(in crate::cli) fn apply(self, curriculum: &mut pb::Curriculum) {
        let field = match self.field {
            ScheduledField::Alpha => &mut curriculum.alpha,
            ScheduledField::RandomFraction => &mut curriculum.random_fraction,
            ScheduledField::Beta => &mut curriculum.beta,
            ScheduledField::QuantileMin => &mut curriculum.quantile_min,
            ScheduledField::QuantileMax => &mut curriculum.quantile_max,
        };
        *field = Some(self.schedule);
    }
}

impl FromStr for Scheduled {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected FIELD=FROM..TO@BEGIN..END, as alpha=0..2@1000..10000".to_owned();
        let (field, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (rest, shape) = rest.split_once(':').unwrap_or((rest, "linear"));
        let shape = match shape {
            "linear" => pb::ScheduleShape::Linear,
            "sqrt" => pb::ScheduleShape::Sqrt,
            _ => return Err("the shape is linear or sqrt".to_owned()),
        };
        let (values, steps) = rest.split_once('@').ok_or_else(wrong)?;
        let both = |range: Range<f64>| range.min.zip(range.max);
        let (from, to) = values.parse().ok().and_then(both).ok_or_else(wrong)?;
        let steps: Range<u64> = steps.parse().map_err(|_| wrong())?;
        let (begin_step, end_step) = steps.min.zip(steps.max).ok_or_else(wrong)?;
        Ok(Self {
            field: <ScheduledField as ValueEnum>::from_str(field, false).map_err(|_| wrong())?,
            schedule: pb::Schedule { shape: shape.into(), from, to, begin_step, end_step },
        })
    }
}

/// A flag's names for an enum of the contract, in lower case without its prefix.
macro_rules! value_enum {
    ($(#[$meta:meta])* $name:ident for $proto:ident { $($(#[$doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub(in crate::cli) enum $name { $($(#[$doc])* $variant),* }

        impl From<$name> for pb::$proto {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant),* }
            }
        }
    };
}

value_enum! {
    /// How hard samples are chosen.
    Strategy for Strategy {
        /// The hardest samples, in order
        Top,
        /// Probability proportional to weight^alpha
        Proportional,
        /// Probability proportional to rank^-alpha: robust to outliers
        Rank,
        /// The same probability for all samples
        Uniform,
        /// The samples whose last report is oldest
        Stalest,
    }
}
value_enum! {
    /// How an anchor's negatives are chosen.
    NegativeStrategy for NegativeStrategy {
        /// The hardest negatives, in order
        Top,
        /// The same probability for all eligible negatives
        Random,
        /// Probability proportional to weight^alpha
        Proportional,
        /// Uniform among negatives that are just easier than the positive (FaceNet)
        SemiHard,
        /// Probability proportional to the inverse density of distances (Wu et al. 2017)
        DistanceWeighted,
    }
}
value_enum! {
    /// How weights are scaled.
    Normalization for Normalization {
        /// mean(w x f) estimates the mean of f
        None,
        /// Divided by the largest weight of the batch
        Max,
        /// Divided by the mean weight of the batch
        Mean,
    }
}
value_enum! {
    /// What happens when there are too few hard samples.
    Shortfall for Shortfall {
        /// The batch is smaller
        Short,
        /// Background samples fill the batch
        Fill,
        /// The call fails
        Error,
    }
}
value_enum! {
    /// What happens when an anchor has too few negatives.
    NegativeShortfall for Shortfall {
        /// The anchor gets fewer
        Short,
        /// Background samples fill up, if every filter holds for them
        Fill,
        /// As fill, also with samples that filters cannot judge, because they have no score for the anchor
        FillUnscored,
        /// The call fails
        Error,
    }
}
value_enum! {
    /// How a score becomes a weight.
    Hardness for HardnessFunction {
        /// max(score, 0) + offset: a loss or a probability
        Power,
        /// exp(score / temperature): a similarity or a logit
        Exponential,
    }
}
value_enum! {
    /// What a new report does to a stored score.
    ScoreUpdate for ScoreUpdateRule {
        /// The new score replaces the old
        Last,
        /// The harder of the two scores is kept
        Max,
        /// An exponential moving average
        Ema,
    }
}
value_enum! {
    /// Kinds of ids.
    IdKind for IdKind {
        /// Unsigned 64-bit integers
        U64,
        /// Strings of 1 to 256 bytes
        String,
    }
}

/// The encoding of columns in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Encoding {
    /// Raw little-endian bytes
    Bytes,
    /// Packed repeated values
    Packed,
}

impl From<Encoding> for pb::ColumnEncoding {
    fn from(value: Encoding) -> Self {
        match value {
            Encoding::Bytes => Self::LittleEndian,
            Encoding::Packed => Self::Packed,
        }
    }
}

/// Parses ids by the kind of ids that the pool has, which it asks the server for.
pub(in crate::cli) async fn ids_of_pool(
    client: &Client,
    pool: &PoolArg,
    words: Vec<String>,
) -> anyhow::Result<Ids> {
    let spec = client.get_pool(pool.reference()).await?.spec.unwrap_or_default();
    ids_of_kind(spec.id_kind(), words)
}

/// Parses ids of this kind. The kind must be known, since a string key may look like a number.
pub(in crate::cli) fn ids_of_kind(kind: pb::IdKind, words: Vec<String>) -> anyhow::Result<Ids> {
    if kind == pb::IdKind::String {
        return Ok(Ids::Keys(words));
    }
    let id = |word: &String| {
        word.parse().with_context(|| format!("`{word}` is not an integer; this pool has integer ids"))
    };
    Ok(Ids::U64(words.iter().map(id).collect::<anyhow::Result<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_one_bound_at_least() {
        let range: Range<u64> = "5..".parse().unwrap();
        assert_eq!((range.min, range.max), (Some(5), None));
        let range: Range<f32> = "-1.5..2".parse().unwrap();
        assert_eq!((range.min, range.max), (Some(-1.5), Some(2.0)));
        for bad in ["..", "5", "a..b", ""] {
            assert!(bad.parse::<Range<f32>>().is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_have_suffixes() {
        assert_eq!(count("10M"), Ok(10_000_000));
        assert_eq!(count("1_024"), Ok(1_024));
        assert!(count("M").is_err());
        assert!(count("").is_err());
        assert!(count("18446744073709551615G").is_err());
    }
}
