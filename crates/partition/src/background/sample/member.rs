//! Members of a generation, and how reports update them.

use crate::hard::slots::{Attachment, Attributes};
use crate::key::{Hardness, Key};
use crate::op::{Columns, ScoreUpdate, Terms};
use crate::partition::updated_score;

/// One member. It has a copy of the sample's numbers, because the sample need not be in the hard store.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) score: f32,
    pub(super) stamp: u32,
    pub(super) model_version: u32,
    pub(super) serves: u16,
    /// The last serve since its last report was due to its membership, so the next report does not write its own key.
    pub(super) owes_serve: bool,
    pub(super) attributes: Attributes,
    pub(super) attachment: Option<Box<Attachment>>,
}

impl Member {
    #[inline]
    pub(super) fn update(&mut self, hardness: &Hardness, offer: &Offer<'_>) -> Taken {
        let Offer { rows, row, terms, .. } = offer;
        if terms.refuse_stale && (self.stamp.wrapping_sub(terms.stamp) as i32) > 0 {
            return Taken::Stale;
        }
        self.score = updated_score(hardness, terms.update, self.score, rows.scores[*row]);
        self.stamp = terms.stamp;
        self.model_version = terms.model_version;
        self.serves = 0;
        if let Some(attributes) = offer.attributes {
            self.attributes = attributes;
        }
        self.attach(offer);
        Taken::Member
    }

    #[inline]
    pub(super) fn attach(&mut self, offer: &Offer<'_>) {
        let Offer { rows, row, .. } = offer;
        if rows.names.is_empty() && rows.payloads.is_empty() {
            return;
        }
        let (name, payload) = (rows.names.get(*row), rows.payloads.get(*row));
        if name.is_some() || payload.is_some_and(|p| !p.is_empty()) {
            self.attachment.get_or_insert_default().update(name, payload);
        }
    }
}

/// A reported row that is offered to a generation.
pub(crate) struct Offer<'a> {
    pub(crate) rows: &'a Columns,
    pub(crate) row: usize,
    pub(crate) terms: &'a Terms,
    /// `None`: the stored attributes are kept.
    pub(crate) attributes: Option<Attributes>,
    /// The position that [`Sample::prefetch`](super::Sample::prefetch) returned. The member may have moved since.
    pub(crate) hint: u32,
    /// Whether the hard store holds the sample.
    pub(crate) in_hard: bool,
    /// The floor of the last fold. No key is below it.
    pub(crate) fold: Option<Key>,
}

impl Offer<'_> {
    #[inline]
    pub(super) fn id(&self) -> u64 {
        self.rows.ids[self.row]
    }

    /// The key of the sample after this report, by which its score became `score`.
    #[inline]
    pub(super) fn key(&self, hardness: &Hardness, score: f32) -> Key {
        let key = match self.terms.update {
            ScoreUpdate::Last => self.rows.keys[self.row],
            ScoreUpdate::Max | ScoreUpdate::Ema { .. } => hardness.key(score, self.terms.decay_units).0,
        };
        self.fold.filter(|fold| key.since(*fold) < 0).unwrap_or(key)
    }
}

/// The outcome of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The sample is now a member, or was one.
    Member,
    /// The hash of the sample is above the threshold.
    Outside,
    /// The sample is a member with a later stamp.
    Stale,
}
