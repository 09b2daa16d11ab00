//! Encodes samples that GetSamples looked up.

use super::duration_message;
use crate::pool::calls::samples::{Sample, SamplePlace};
use crate::proto::v1 as pb;

/// Encodes one sample.
pub(crate) fn encode(sample: &Sample) -> pb::Sample {
    let place = match sample.place {
        SamplePlace::Hard => pb::SamplePlace::Hard,
        SamplePlace::Background => pb::SamplePlace::Background,
        SamplePlace::Quarantine => pb::SamplePlace::Quarantine,
        SamplePlace::Blocked => pb::SamplePlace::Blocked,
        SamplePlace::Nowhere => pb::SamplePlace::Nowhere,
    };
    pb::Sample {
        place: place.into(),
        score: sample.score,
        weight_log2: sample.weight_log2,
        age: sample.age,
        model_version: sample.model_version,
        serves: sample.serves.into(),
        in_background: sample.in_background,
        stratum: sample.stratum,
        group: sample.group,
        lease_left: sample.lease_left.map(duration_message),
    }
}
