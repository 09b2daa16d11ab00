//! The quarantine's rule, and the samples in it.

use prost::Message as _;

use crate::pool::error::PoolError;
use crate::pool::quarantine::{QuarantinePage, QuarantineRule, Quarantined};
use crate::proto::v1 as pb;

/// The rule that a message describes; its ranges are checked with the spec.
pub(super) fn decode(message: pb::Quarantine) -> QuarantineRule {
    let default = QuarantineRule::default();
    QuarantineRule {
        quantile: if message.quantile == 0.0 { default.quantile } else { message.quantile },
        reports: if message.reports == 0 { default.reports } else { message.reports },
        capacity: if message.capacity == 0 { default.capacity } else { message.capacity },
    }
}

/// The rule with every default filled in.
pub(super) fn encode(rule: QuarantineRule) -> pb::Quarantine {
    pb::Quarantine { quantile: rule.quantile, reports: rule.reports, capacity: rule.capacity }
}

/// The id that a page begins after; `None` for the first page.
///
/// # Errors
/// `Invalid` naming `page_token`.
pub(in crate::grpc) fn decode_token(token: &str) -> Result<Option<u64>, PoolError> {
    if token.is_empty() {
        return Ok(None);
    }
    let well_formed =
        token.len() == 16 && token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let after = u64::from_str_radix(token, 16).ok().filter(|_| well_formed);
    after.map(Some).ok_or_else(|| PoolError::invalid("page_token", "is none that this method returned"))
}

fn encode_token(last: u64) -> String {
    format!("{last:016x}")
}

/// A page; one that would be over `bytes_max` ends earlier, and goes on with the next.
pub(in crate::grpc) fn encode_page(page: &QuarantinePage, bytes_max: usize) -> pb::ListQuarantinedResponse {
    let mut samples: Vec<pb::QuarantinedSample> = Vec::with_capacity(page.samples.len());
    let mut bytes = 0;
    for sample in &page.samples {
        let sample = encode_sample(sample);
        bytes += sample.encoded_len() + 4;
        if bytes > bytes_max && !samples.is_empty() {
            break;
        }
        samples.push(sample);
    }
    let more = page.more || samples.len() < page.samples.len();
    pb::ListQuarantinedResponse {
        next_page_token: samples
            .last()
            .filter(|_| more)
            .map_or_else(String::new, |last| encode_token(last.id)),
        samples,
        total: page.total,
    }
}

fn encode_sample(sample: &Quarantined) -> pb::QuarantinedSample {
    pb::QuarantinedSample {
        id: sample.id,
        name: sample.name.as_ref().map_or_else(String::new, ToString::to_string),
        score: sample.score,
        threshold: sample.threshold,
        reports: sample.reports,
        quarantine_time: Some(sample.time.into()),
        model_version: sample.model_version,
        stratum: sample.stratum,
    }
}
