//! Encodes the figures that show how far mining is from uniform sampling.

use crate::activity::BiasFigures;
use crate::proto::v1 as pb;

/// Encodes the figures.
pub(crate) fn encode(bias: &BiasFigures) -> pb::BiasFigures {
    pb::BiasFigures {
        strata: bias
            .strata
            .iter()
            .map(|s| pb::StratumShare { stratum: s.stratum, reported: s.reported, served: s.served })
            .collect(),
        strata_total_variation: bias.strata_total_variation,
        strata_kl: bias.strata_kl,
        serves_gini: bias.serves_gini,
        effective_sample_share: bias.effective_sample_share,
        lift: bias.lift,
        served_age_quantiles: bias.served_age_quantiles.clone(),
        served_score_quantiles: bias.served_score_quantiles.clone(),
        background_score_quantiles: bias.background_score_quantiles.clone(),
    }
}
