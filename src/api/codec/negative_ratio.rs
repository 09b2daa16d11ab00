//! Derives a batch size from the number of positives of a training step.

use crate::model::error::PoolError;
use crate::proto::v1 as pb;

/// Negatives for each positive where the request does not say (Liu et al. 2016, SSD).
const NEGATIVES_PER_POSITIVE: f64 = 3.0;

/// max(min_size, ceil(negatives_per_positive x positives)), or `batch_size` where there is no ratio.
///
/// # Errors
/// `Invalid` naming the field below `prefix`: both given, a ratio that is not a positive number, a size over `rows_max`.
pub(super) fn batch_size(
    batch_size: u32,
    ratio: Option<pb::NegativeRatio>,
    rows_max: usize,
    prefix: &str,
) -> Result<u32, PoolError> {
    let Some(ratio) = ratio else {
        if batch_size as usize > rows_max {
            return Err(PoolError::invalid(
                format!("{prefix}batch_size"),
                format!("{batch_size} is over this server's max_batch_rows {rows_max}"),
            ));
        }
        return Ok(batch_size);
    };
    let field = format!("{prefix}negative_ratio");
    if batch_size != 0 {
        return Err(PoolError::invalid(field, format!("batch_size is {batch_size}: give one of the two")));
    }
    let per_positive = match ratio.negatives_per_positive {
        0.0 => NEGATIVES_PER_POSITIVE,
        given => given,
    };
    if !(per_positive.is_finite() && per_positive > 0.0) {
        return Err(PoolError::invalid(
            format!("{field}.negatives_per_positive"),
            format!("{per_positive} is not a finite number above 0"),
        ));
    }
    let min_size = ratio.min_size;
    let wanted = per_positive * f64::from(ratio.positives);
    // 0.1 x 30 is a little over 3 in floating point, but the caller means 3.
    let size = (wanted * (1.0 - 4.0 * f64::EPSILON)).ceil().max(f64::from(min_size));
    if size > rows_max as f64 {
        return Err(PoolError::invalid(
            field,
            format!(
                "max({min_size}, {per_positive} x {}) is {size}, over this server's max_batch_rows {rows_max}",
                ratio.positives
            ),
        ));
    }
    Ok(size as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_from_what_is_meant() {
        let size = |positives, negatives_per_positive, min_size| {
            let ratio = pb::NegativeRatio { positives, negatives_per_positive, min_size };
            batch_size(0, Some(ratio), 65_536, "").ok()
        };
        assert_eq!(size(10, 0.0, 0), Some(30), "3 by default");
        assert_eq!((size(30, 0.1, 0), size(10, 0.7, 0), size(3, 0.4, 0)), (Some(3), Some(7), Some(2)));
        assert_eq!((size(0, 3.0, 0), size(0, 3.0, 16), size(10, 3.0, 16)), (Some(0), Some(16), Some(30)));
        assert_eq!(
            (size(21_845, 3.0, 0), size(65_537, 1.0, 0), size(0, 1.0, 65_537)),
            (Some(65_535), None, None)
        );
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(size(1, bad, 0), None);
        }
    }
}
