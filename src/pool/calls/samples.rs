//! Looks samples up by id: what is stored of each, and why it is served or not.

use std::time::Duration;

use crate::model::error::PoolError;
use crate::model::moment;
use crate::model::report::Ids;
use crate::pool::Pool;
use crate::store::Row;
use crate::store::quarantine::{Found, Quarantined};

/// Where a sample is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SamplePlace {
    /// In the hard store.
    Hard,
    /// In the background only.
    Background,
    /// Set aside.
    Quarantine,
    /// Not stored, because the id is blocked: its rows are refused.
    Blocked,
    /// Not stored.
    #[default]
    Nowhere,
}

/// A sample as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Where it is.
    pub place: SamplePlace,
    /// The score as stored (in quarantine: as reported); `None` if there is none.
    pub score: Option<f32>,
    /// log2 of its present weight without serve penalty; `None` if it is not in the hard store.
    pub weight_log2: Option<f32>,
    /// Seconds or steps since its report.
    pub age: Option<f64>,
    /// Version of the model that scored it.
    pub model_version: u32,
    /// Serves since its report.
    pub serves: u16,
    /// Its stratum.
    pub stratum: u32,
    /// Its group; 0: none.
    pub group: u64,
    /// Remaining time of its lease; `None`: it has no lease.
    pub lease_left: Option<Duration>,
    /// Whether it is a member of the serving background.
    pub in_background: bool,
}

impl Pool {
    /// Looks samples up, in the order of `ids`.
    ///
    /// # Errors
    /// `Invalid` naming `ids`; `Unavailable`.
    pub async fn samples(&self, ids: Ids) -> Result<Vec<Sample>, PoolError> {
        let spec = self.spec();
        let (ids, _) = self.resolve(&spec, ids, "ids")?;
        self.expire().await?;
        let found = self.store.find(&ids).await?;
        let is_stored = |found: &Found| matches!(found, Found::Stored(_));
        let background =
            if found.iter().any(is_stored) { Some(self.store.census().await?.background) } else { None };
        let now = self.clock.now();
        let age = |stamp: u32| moment::age(now.stamp, stamp, spec.decay.by_steps());
        let sample = |row: &Row| Sample {
            place: if row.hard_key.is_some() { SamplePlace::Hard } else { SamplePlace::Background },
            score: Some(row.score).filter(|score| !score.is_nan()),
            weight_log2: row.hard_key.map(|key| now.log2_weight(key)),
            age: row.stamp.map(age),
            model_version: row.model_version,
            serves: row.serves,
            stratum: row.stratum,
            group: row.group,
            lease_left: None,
            in_background: background.as_ref().is_some_and(|background| background.contains(row.id)),
        };
        let set_aside = |record: &Quarantined| Sample {
            place: SamplePlace::Quarantine,
            score: Some(record.raw_score).filter(|score| !score.is_nan()),
            age: record.key_units.map(|_| age(record.stamp)),
            model_version: record.model_version,
            serves: record.serves,
            stratum: record.stratum,
            group: record.group,
            ..Sample::default()
        };
        let answer = |found: &Found| match found {
            Found::Stored(row) => sample(row),
            Found::SetAside(record) => set_aside(record),
            Found::Blocked => Sample { place: SamplePlace::Blocked, ..Sample::default() },
            Found::Absent => Sample::default(),
        };
        let mut samples: Vec<Sample> = found.iter().map(answer).collect();
        let now_millis = self.clock.now_millis();
        for (sample, until) in samples.iter_mut().zip(self.store.leases(&ids).await?) {
            let left = until.and_then(|until| until.checked_sub(now_millis)).filter(|left| *left > 0);
            sample.lease_left = left.map(Duration::from_millis);
        }
        Ok(samples)
    }
}
