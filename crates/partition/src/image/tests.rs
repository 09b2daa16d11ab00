use proptest::prelude::*;
use std::sync::Arc;

use super::ImageError;
use crate::op::{Change, Columns, Op, Sender, Terms};
use crate::partition::Partition;
use crate::partition::tests::spec;
use crate::spec::{BackgroundSpec, PartitionSpec};

/// Bytes of a worker without a gap, and of one with a window.
const RUN: usize = 34;
const WINDOW: usize = RUN + 128;

/// Three workers, the last of them with a gap.
fn workers() -> Vec<u8> {
    let spec = PartitionSpec { workers: 3, ..spec(1, BackgroundSpec::Dense { ids: 1 }) };
    let mut partition = Partition::new(spec);
    for (worker, epoch, sequence) in [(1, 1, 1), (1, 2, 1), (1, 2, 2), (9, 1, 40), (9, 1, 43)] {
        let (rows, terms) = (Arc::new(Columns::default()), Terms::default());
        let sender = Some(Sender { worker, epoch, sequence });
        partition.apply(Op { position: 1, change: Change::Report { rows, range: 0..0, terms, sender } });
    }
    partition.save()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// The form in which workers are saved is canonical.
    #[test]
    fn workers_that_load_are_saved_as_they_were(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            Just(0_u8), Just(1), Just(2), Just(255), any::<u8>(),
        ]), 1..4),
    ) {
        let mut image = workers();
        let section = image.len() - (8 + 2 * RUN + WINDOW);
        for (at, value) in changes {
            let at = section + at.index(image.len() - section);
            image[at] = value;
        }
        Partition::reseal(&mut image);
        match Partition::load(&image) {
            Ok(partition) => prop_assert!(partition.save() == image),
            Err(error) => prop_assert!(matches!(error, ImageError::Contradiction(_))),
        }
    }
}
