//! Values of flags: names of the contract's enums, ranges, durations.

use std::{str::FromStr, time::Duration};

use clap::ValueEnum;

use crate::client::pb;

/// A duration such as `500ms`, `10s` or `5m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a duration such as 500ms, 10s or 5m".to_owned())
}

/// A whole number; digits may be grouped by underscores, and end in k, M or G (powers of 1000).
pub(super) fn count(text: &str) -> Result<u64, String> {
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
pub(super) struct Range<T> {
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

/// A flag's names for an enum of the contract, in lower case without its prefix.
macro_rules! value_enum {
    ($(#[$meta:meta])* $name:ident for $proto:ident { $($(#[$doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub(super) enum $name { $($(#[$doc])* $variant),* }

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
        /// The hardest; deterministic
        Top,
        /// Proportional to weight^alpha
        Proportional,
        /// Proportional to rank^-alpha: robust to outliers
        Rank,
        /// All alike
        Uniform,
        /// The longest unreported
        Stalest,
    }
}
value_enum! {
    /// How weights are scaled.
    Normalization for Normalization {
        /// mean(w x f) estimates the mean of f
        None,
        /// Divided by the batch's largest
        Max,
        /// Divided by the batch's mean
        Mean,
    }
}
value_enum! {
    /// What happens with too few hard samples.
    Shortfall for Shortfall {
        /// A smaller batch
        Short,
        /// The background fills the batch
        Fill,
        /// An error
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
        /// The harder of the two is kept
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

/// How columns travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Encoding {
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

/// `SOURCE_HARD` as `hard`, and so on.
pub(super) fn short_name(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
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
