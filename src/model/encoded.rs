//! Types of the partition crate as a record writes them: a partition knows no format but its own.

use hardneg_partition::anchors::Margins;
use hardneg_partition::key::{Hardness, HardnessFunction};
use hardneg_partition::{BackgroundSpec, ScoreUpdate};
use serde::{Deserialize, Serialize};

/// [`Hardness`] as it is written.
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

/// [`BackgroundSpec`] as it is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "BackgroundSpec")]
pub(crate) enum BackgroundSpecDef {
    Sampled { size: usize },
    Dense { ids: u64 },
}

/// [`ScoreUpdate`] as it is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ScoreUpdate")]
pub(crate) enum ScoreUpdateDef {
    Last,
    Max,
    Ema { weight: f32 },
}

/// [`Margins`] as they are written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Margins")]
pub(crate) struct MarginsDef {
    absolute: Option<f32>,
    relative: Option<f32>,
}
