//! Serde definitions for types of the partition crate, which are part of records but do not implement serde themselves.

use hardneg_partition::anchors::Margins;
use hardneg_partition::key::{Hardness, HardnessFunction};
use hardneg_partition::{BackgroundSpec, ScoreUpdate};
use serde::{Deserialize, Serialize};

/// How [`Hardness`] is serialised.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Hardness")]
pub(crate) struct HardnessDef {
    #[serde(with = "HardnessFunctionDef")]
    function: HardnessFunction,
    lower_is_harder: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HardnessFunction")]
enum HardnessFunctionDef {
    Power { offset: f32 },
    Exponential { temperature: f32 },
}

/// How [`BackgroundSpec`] is serialised.
#[derive(Serialize, Deserialize)]
#[serde(remote = "BackgroundSpec")]
pub(crate) enum BackgroundSpecDef {
    Sampled { size: usize },
    Dense { ids: u64 },
}

/// How [`ScoreUpdate`] is serialised.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ScoreUpdate")]
pub(crate) enum ScoreUpdateDef {
    Last,
    Max,
    Ema { weight: f32 },
}

/// How [`Margins`] are serialised.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Margins")]
pub(crate) struct MarginsDef {
    absolute: Option<f32>,
    relative: Option<f32>,
}
