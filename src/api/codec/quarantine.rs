//! Decodes and encodes the quarantine's rule, the samples in quarantine and the blocked samples.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::model::error::PoolError;
use crate::model::quarantine::QuarantineRule;
use crate::pool::calls::quarantine::{BlockedPage, QuarantinePage};
use crate::proto::v1 as pb;
use crate::store::quarantine::Quarantined;

/// The rule that a message describes. The spec's checks cover its ranges.
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
pub(crate) fn decode_token(token: &str) -> Result<Option<u64>, PoolError> {
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

/// Encodes a page of samples in quarantine. A page that would be longer than `bytes_max` ends earlier; its token continues where it ends.
pub(crate) fn encode_page(page: &QuarantinePage, bytes_max: usize) -> pb::ListQuarantinedResponse {
    let (samples, next_page_token) =
        shorten(page.samples.iter().map(encode_sample), page.more, bytes_max, |sample| sample.id);
    pb::ListQuarantinedResponse { samples, next_page_token, total: page.total }
}

/// Encodes a page of blocked samples, with the same limit.
pub(crate) fn encode_blocked(page: BlockedPage, bytes_max: usize) -> pb::ListBlockedResponse {
    let sample = |(id, name): (u64, Option<Arc<str>>)| pb::BlockedSample { id, name: text(name.as_ref()) };
    let (samples, next_page_token) =
        shorten(page.ids.into_iter().map(sample), page.more, bytes_max, |sample| sample.id);
    pb::ListBlockedResponse { samples, next_page_token, total: page.total }
}

/// The first messages that fit into `bytes_max`, at least one, and the token of the next page, which is empty after the last page.
fn shorten<M: prost::Message>(
    messages: impl ExactSizeIterator<Item = M>,
    mut more: bool,
    bytes_max: usize,
    id_of: impl Fn(&M) -> u64,
) -> (Vec<M>, String) {
    let mut page: Vec<M> = Vec::with_capacity(messages.len());
    let mut bytes = 0;
    for message in messages {
        bytes += message.encoded_len() + 4;
        if bytes > bytes_max && !page.is_empty() {
            more = true;
            break;
        }
        page.push(message);
    }
    let token = page.last().filter(|_| more).map_or_else(String::new, |last| encode_token(id_of(last)));
    (page, token)
}

fn text(name: Option<&Arc<str>>) -> String {
    name.map_or_else(String::new, ToString::to_string)
}

fn encode_sample(sample: &Quarantined) -> pb::QuarantinedSample {
    let time = UNIX_EPOCH + Duration::from_millis(sample.set_aside_millis);
    pb::QuarantinedSample {
        id: sample.id,
        name: text(sample.name.as_ref()),
        score: sample.raw_score,
        threshold: sample.threshold,
        reports: sample.reports,
        quarantine_time: Some(time.into()),
        model_version: sample.model_version,
        stratum: sample.stratum,
    }
}
