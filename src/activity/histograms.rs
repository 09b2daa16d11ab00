//! Histograms of stored and served samples, with the same bounds so that they can be compared.

use std::collections::BTreeMap;

/// Number of bars of the histogram of scores.
const SCORE_BARS: usize = 32;
/// Number of bars of the histogram of ages. Their bounds double from 1 on, and the last bar has no upper bound.
const AGE_BARS: usize = 20;
/// Number of bars of the histogram of serves: 0 to 7 serves, and more.
const SERVES_BARS: usize = 9;
/// Maximum number of model versions listed, the newest ones.
const VERSIONS_MAX: usize = 8;
/// Share of the scores at each end that does not determine the range of the bars, so that one outlier does not squeeze all others into one
/// bar.
const TRIM: f64 = 0.001;

/// The figures of one stored or served sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Raw score; NaN if never reported.
    pub score: f32,
    /// Seconds or steps since the report; NaN if never reported.
    pub age: f32,
    /// Version of the model of the last report.
    pub model_version: u32,
    /// Number of serves since the last report.
    pub serves: u16,
    /// Stratum of the sample.
    pub stratum: u32,
}

/// A histogram of stored samples and one of served samples, with the same bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Bounds of the bars: one more than there are bars. The first bar also counts samples below it, the last one samples above it.
    pub bounds: Vec<f64>,
    /// Number of samples of the hard store in each bar.
    pub stored: Vec<u64>,
    /// Number of samples served lately in each bar.
    pub served: Vec<u64>,
}

/// Number of samples of one model version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionCount {
    /// The model version.
    pub version: u32,
    /// Number of samples of the hard store.
    pub stored: u64,
    /// Number of samples served lately.
    pub served: u64,
}

/// Histograms of stored and served samples, from a sample of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Number of samples of the hard store that were read: all of them, or a few thousand drawn uniformly.
    pub stored_samples: u64,
    /// Number of served samples that were read: the last ones, at most 4,096.
    pub served_samples: u64,
    /// Histograms by raw score.
    pub scores: Histogram,
    /// Histograms by age: seconds or steps since the last report. The bounds double.
    pub ages: Histogram,
    /// Histograms by number of serves since the last report: 0 to 7, and more. A served sample includes the serve itself.
    pub serves: Histogram,
    /// Counts by version of the model of the last report: the newest versions, the newest first.
    pub versions: Vec<VersionCount>,
}

impl Figures {
    /// The histograms of `stored` and `served` samples.
    #[must_use]
    pub fn of(stored: &[Sample], served: &[Sample]) -> Self {
        let ages: Vec<f64> = std::iter::once(0.0).chain((0..AGE_BARS as i32).map(|n| 2f64.powi(n))).collect();
        let serves: Vec<f64> = (0..=SERVES_BARS).map(|n| n as f64).collect();
        let both = |bounds: Vec<f64>, value: fn(&Sample) -> f64| Histogram {
            stored: count(&bounds, stored.iter().map(value)),
            served: count(&bounds, served.iter().map(value)),
            bounds,
        };
        Self {
            stored_samples: stored.len() as u64,
            served_samples: served.len() as u64,
            scores: both(score_bounds(stored, served), |s| f64::from(s.score)),
            ages: trimmed(both(ages, |s| f64::from(s.age))),
            serves: both(serves, |s| f64::from(s.serves)),
            versions: versions(stored, served),
        }
    }
}

/// Bounds of bars of equal width over the range of both, without the extremes.
fn score_bounds(stored: &[Sample], served: &[Sample]) -> Vec<f64> {
    let mut scores: Vec<f32> =
        stored.iter().chain(served).map(|s| s.score).filter(|score| score.is_finite()).collect();
    if scores.is_empty() {
        return Vec::new();
    }
    scores.sort_unstable_by(f32::total_cmp);
    let trim = (scores.len() as f64 * TRIM) as usize;
    let (low, high) = (f64::from(scores[trim]), f64::from(scores[scores.len() - 1 - trim]));
    // If all scores are equal, the range is 1 wide around the score.
    let (low, high) = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
    (0..=SCORE_BARS).map(|i| low + (high - low) * i as f64 / SCORE_BARS as f64).collect()
}

/// The number of values in each bar. NaN is in no bar.
fn count(bounds: &[f64], values: impl Iterator<Item = f64>) -> Vec<u64> {
    let bars = bounds.len().saturating_sub(1);
    let mut counts = vec![0; bars];
    for value in values.filter(|value| !value.is_nan() && bars > 0) {
        // A value on a bound belongs to the bar above it.
        let above = bounds.partition_point(|bound| *bound <= value);
        counts[above.saturating_sub(1).min(bars - 1)] += 1;
    }
    counts
}

/// The histograms without the bars at the end that are empty in both.
fn trimmed(mut histogram: Histogram) -> Histogram {
    let used = |counts: &[u64]| counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    let bars = used(&histogram.stored).max(used(&histogram.served)).max(1);
    histogram.stored.truncate(bars);
    histogram.served.truncate(bars);
    histogram.bounds.truncate(bars + 1);
    histogram
}

fn versions(stored: &[Sample], served: &[Sample]) -> Vec<VersionCount> {
    let mut counts: BTreeMap<u32, VersionCount> = BTreeMap::new();
    let known = |sample: &&Sample| !sample.score.is_nan();
    for sample in stored.iter().filter(known) {
        counts.entry(sample.model_version).or_default().stored += 1;
    }
    for sample in served.iter().filter(known) {
        counts.entry(sample.model_version).or_default().served += 1;
    }
    counts
        .into_iter()
        .rev()
        .take(VERSIONS_MAX)
        .map(|(version, count)| VersionCount { version, ..count })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(score: f32, age: f32, serves: u16, model_version: u32) -> Sample {
        Sample { score, age, model_version, serves, stratum: 0 }
    }

    #[test]
    fn every_sample_is_in_one_bar_and_an_outlier_does_not_squeeze_the_rest() {
        let mut stored: Vec<Sample> =
            (0..2000).map(|i| sample(i as f32 / 2000.0, i as f32, (i % 20) as u16, i / 250)).collect();
        stored.push(sample(1e9, 0.0, 0, 0));
        let served = [sample(0.5, 3.0, 1, 7), sample(f32::NAN, f32::NAN, 1, 0)];
        let figures = Figures::of(&stored, &served);
        assert_eq!((figures.stored_samples, figures.served_samples), (2001, 2));
        for histogram in [&figures.scores, &figures.ages, &figures.serves] {
            assert_eq!(histogram.stored.iter().sum::<u64>(), 2001);
            assert_eq!(histogram.bounds.len(), histogram.stored.len() + 1);
            assert_eq!(histogram.served.len(), histogram.stored.len());
        }
        assert_eq!(
            figures.scores.served.iter().sum::<u64>(),
            1,
            "a sample that was never reported has no score"
        );
        assert!(figures.scores.bounds.last().unwrap() < &1.0);
        assert_eq!(figures.ages.bounds[..4], [0.0, 1.0, 2.0, 4.0]);
        assert_eq!(figures.ages.stored[..4], [2, 1, 2, 4], "bars 0 (two samples), 1, 2..4, 4..8");
        assert_eq!(figures.ages.bounds.last(), Some(&2048.0), "no empty bars at the end");
        assert_eq!(figures.serves.stored.len(), 9);
        assert_eq!(figures.serves.stored[8], 1200, "8 and more");
        let versions: Vec<u32> = figures.versions.iter().map(|v| v.version).collect();
        assert_eq!(versions, [7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!((figures.versions[0].stored, figures.versions[0].served), (250, 1));
    }

    #[test]
    fn empty_input_and_equal_scores_have_valid_histograms() {
        let empty = Figures::of(&[], &[]);
        assert!(empty.scores.bounds.is_empty() && empty.scores.stored.is_empty());
        assert_eq!(empty.ages.stored, [0]);
        let alike = Figures::of(&[sample(3.0, 0.0, 0, 1); 5], &[]);
        assert_eq!(alike.scores.stored.iter().sum::<u64>(), 5);
        assert_eq!((alike.scores.bounds[0], alike.scores.bounds[SCORE_BARS]), (2.5, 3.5));
    }
}
