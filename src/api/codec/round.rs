//! Decodes and encodes rounds.

use crate::model::batch::Round;
use crate::proto::v1 as pb;

/// The round that a request names. The pool layer checks its ranges.
pub(super) fn decode(message: pb::Round) -> Round {
    Round {
        number: message.number,
        rank: message.rank,
        world_size: message.world_size,
        run_id: message.run_id.into(),
    }
}

/// The round that a batch is a share of.
pub(super) fn encode(round: &Round) -> pb::Round {
    pb::Round {
        number: round.number,
        rank: round.rank,
        world_size: round.world_size,
        run_id: round.run_id.as_ref().to_owned(),
    }
}
