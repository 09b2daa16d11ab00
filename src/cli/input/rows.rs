//! Collects the rows of a file into a chunk, with the requested columns and their types.

use super::{Chunk, Scalar};
use crate::client::Ids;

/// A column that a report may have beside ids, scores and the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Extra {
    Strata,
    Groups,
    Anchors,
    PositiveScores,
    ReferenceScores,
    Labels,
    AnchorLabels,
}

/// What to read of a file.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Wanted {
    /// Whether ids are string keys.
    pub string_keys: bool,
    /// Whether anchors are string keys.
    pub string_anchors: bool,
    /// Other columns to read, with their names in the file.
    pub extras: Vec<(Extra, String)>,
}

/// The other columns of a chunk; those that were not requested are empty.
#[derive(Debug, Default, PartialEq)]
pub(in crate::cli) struct Extras {
    pub strata: Vec<u32>,
    pub labels: Vec<u32>,
    pub anchor_labels: Vec<u32>,
    pub groups: Option<Ids>,
    pub anchors: Option<Ids>,
    pub positive_scores: Vec<f32>,
    pub reference_scores: Vec<f32>,
}

/// The rows of one chunk that were collected so far.
#[derive(Debug)]
pub(super) struct RowsBuilder<'a> {
    wanted: &'a Wanted,
    ids: IdsBuilder,
    scores: Vec<f32>,
    extras: Extras,
    groups: Option<IdsBuilder>,
    anchors: Option<IdsBuilder>,
}

impl<'a> RowsBuilder<'a> {
    pub(super) fn new(wanted: &'a Wanted) -> Self {
        Self {
            wanted,
            ids: IdsBuilder::new(wanted.string_keys),
            scores: Vec::new(),
            extras: Extras::default(),
            groups: None,
            anchors: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }

    /// Adds a row; `extras` are in the order of [`Wanted::extras`].
    pub(super) fn push(
        &mut self,
        id: Scalar,
        score: Scalar,
        extras: impl IntoIterator<Item = Scalar>,
    ) -> Result<(), String> {
        let score = score.into_f32("score")?;
        self.ids.push(id, "id")?;
        self.scores.push(score);
        for ((extra, name), value) in self.wanted.extras.iter().zip(extras) {
            match extra {
                Extra::Strata => self.extras.strata.push(value.into_u32(name)?),
                Extra::Labels => self.extras.labels.push(value.into_u32(name)?),
                Extra::AnchorLabels => self.extras.anchor_labels.push(value.into_u32(name)?),
                // Groups have the pool's kind of id, so "7" and 7 are different groups. An empty string means no group.
                Extra::Groups => {
                    match self.groups.get_or_insert_with(|| IdsBuilder::new(self.wanted.string_keys)) {
                        IdsBuilder::Keys(keys) if value == Scalar::Text(String::new()) => {
                            keys.push(String::new());
                        }
                        groups => groups.push(value, name)?,
                    }
                }
                Extra::Anchors => self
                    .anchors
                    .get_or_insert_with(|| IdsBuilder::new(self.wanted.string_anchors))
                    .push(value, name)?,
                Extra::PositiveScores => self.extras.positive_scores.push(value.into_optional_f32(name)?),
                // A missing value is a reference of 0. The server drops and counts a row with NaN.
                Extra::ReferenceScores => self.extras.reference_scores.push(match value {
                    Scalar::Text(text) if text.is_empty() => 0.0,
                    value => value.into_f32(name)?,
                }),
            }
        }
        Ok(())
    }

    /// The chunk, or `None` without rows.
    pub(super) fn finish(self, step: Option<u64>) -> Option<Chunk> {
        let groups = self.groups.map(IdsBuilder::finish);
        let anchors = self.anchors.map(IdsBuilder::finish);
        (!self.scores.is_empty()).then(|| Chunk {
            ids: self.ids.finish(),
            scores: self.scores,
            step,
            extras: Extras { groups, anchors, ..self.extras },
        })
    }
}

/// Ids of one kind that were collected so far.
#[derive(Debug)]
enum IdsBuilder {
    Integers(Vec<u64>),
    Keys(Vec<String>),
}

impl IdsBuilder {
    fn new(string_keys: bool) -> Self {
        if string_keys { Self::Keys(Vec::new()) } else { Self::Integers(Vec::new()) }
    }

    fn push(&mut self, value: Scalar, name: &str) -> Result<(), String> {
        match self {
            Self::Integers(ids) => ids.push(value.into_u64(name)?),
            Self::Keys(keys) => keys.push(value.into_key(name)?),
        }
        Ok(())
    }

    fn finish(self) -> Ids {
        match self {
            Self::Integers(ids) => Ids::U64(ids),
            Self::Keys(keys) => Ids::Keys(keys),
        }
    }
}

#[cfg(test)]
impl Wanted {
    /// String keys, and no other columns.
    pub(super) fn keys() -> Self {
        Self { string_keys: true, ..Self::default() }
    }

    /// Every other column, with its name in the contract.
    pub(super) fn everything() -> Self {
        let extras = [
            (Extra::Strata, "strata"),
            (Extra::Groups, "groups"),
            (Extra::Anchors, "anchors"),
            (Extra::PositiveScores, "positive_scores"),
            (Extra::ReferenceScores, "reference_scores"),
            (Extra::Labels, "labels"),
            (Extra::AnchorLabels, "anchor_labels"),
        ];
        Self {
            string_anchors: true,
            extras: extras.map(|(extra, name)| (extra, name.to_owned())).into(),
            ..Self::default()
        }
    }
}
