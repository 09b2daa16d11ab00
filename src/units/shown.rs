//! Numbers as people read them.

/// A number with three digits and a metric prefix, such as `1.25M`.
#[must_use]
pub(crate) fn count(value: f64) -> String {
    const PREFIXES: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    // A number that would round up to 1000 of a prefix is written with the next prefix.
    match PREFIXES.iter().find(|(factor, _)| value.abs() >= factor * 0.9995) {
        Some((factor, prefix)) => format!("{}{prefix}", digits(value / factor)),
        None if value.fract() == 0.0 => format!("{value:.0}"),
        None => digits(value),
    }
}

/// A number of bytes with three digits and a metric unit, such as `35.0 MB`.
#[must_use]
pub(crate) fn bytes(value: u64) -> String {
    match count(value as f64) {
        text if text.ends_with(|c: char| c.is_ascii_digit()) => format!("{text} B"),
        text => {
            let (number, prefix) = text.split_at(text.len() - 1);
            format!("{number} {prefix}B")
        }
    }
}

/// A latency given in seconds, such as `430 µs`, `1.20 ms` or `2.50 s`.
#[must_use]
pub(crate) fn latency(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() => "–".to_owned(),
        s if s < 0.9995e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 0.9995 => format!("{} ms", digits(s * 1e3)),
        s => format!("{} s", digits(s)),
    }
}

/// A time span given in seconds, such as `12 s`, `3 min`, `5.2 h` or `2.0 d`.
#[must_use]
pub(crate) fn span(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() => "–".to_owned(),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

/// A number from 0.01 to 1,000 with three significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_three_digits_and_a_unit() {
        for (value, text) in
            [(0.0, "0"), (7.0, "7"), (999.0, "999"), (999.9, "1.00k"), (1_250_000.0, "1.25M"), (0.25, "0.25")]
        {
            assert_eq!(count(value), text);
        }
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(35_000_000), "35.0 MB");
        assert_eq!(latency(430e-6), "430 µs");
        assert_eq!(latency(0.0012), "1.20 ms");
        assert_eq!(latency(0.99999), "1.00 s");
        assert_eq!(latency(f64::NAN), "–");
        assert_eq!(span(5.25), "5.2 s");
        assert_eq!(span(300.0), "5 min");
    }
}
