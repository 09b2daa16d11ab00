//! Rounds.

use crate::model::batch::Round;
use crate::proto::v1 as pb;

/// A round as asked for; the pool layer checks it.
pub(super) fn decode(message: pb::Round) -> Round {
    Round {
        number: message.number,
        rank: message.rank,
        world_size: message.world_size,
        run_id: message.run_id.into(),
    }
}

/// A round as served.
pub(super) fn encode(round: &Round) -> pb::Round {
    pb::Round {
        number: round.number,
        rank: round.rank,
        world_size: round.world_size,
        run_id: round.run_id.as_ref().to_owned(),
    }
}
