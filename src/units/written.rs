//! Byte sizes and durations as people write them.

use std::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Parses a number of bytes such as `16 MiB`, `64KiB` or `1000`. Digits may be grouped by underscores.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(name, factor)| Some((text.strip_suffix(name)?, *factor)))
        .unwrap_or((text, 1));
    parse_integer(digits.trim())
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "expected bytes, for example 16 MiB".to_owned())
}

/// Parses a whole number. Digits may be grouped by underscores.
pub(crate) fn parse_integer(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| "expected a whole number".to_owned())
}

/// Parses a duration such as `10s`, `5m` or `1h 30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|_| "expected a duration, for example 500ms, 10s or 5m".to_owned())
}

/// Writes a number of bytes in the largest binary unit in which it is whole.
pub(crate) fn show_bytes(bytes: u64) -> String {
    UNITS[..3]
        .iter()
        .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
        .map_or_else(|| bytes.to_string(), |(name, factor)| format!("{} {name}", bytes / factor))
}

/// Serde: a duration as a string.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Serde: a number of bytes as a number, or as a string with a unit.
pub(crate) mod byte_count {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(value: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(*value as u64)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        let bytes = match Either::deserialize(deserializer)? {
            Either::Number(bytes) => bytes,
            Either::Text(text) => super::parse_bytes(&text).map_err(D::Error::custom)?,
        };
        usize::try_from(bytes).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_parsed_and_shown_with_units() {
        for (text, bytes) in
            [("16 MiB", 16 << 20), ("1GiB", 1 << 30), ("10 kB", 10_000), ("1_000", 1_000), ("7 B", 7)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5 MiB", "99999999999 GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(show_bytes(128 << 10), "128 KiB");
        assert_eq!(show_bytes(1_001), "1001");
        assert_eq!(show_bytes(0), "0");
    }
}
