//! Images of partitions of anchors.

mod behaviour;
mod corpus;

use hardneg_partition::ImageError;
use hardneg_partition::anchors::AnchorPartition;

use crate::driver::{Tally, corpus_loads, mutants};

const MUTANTS: u64 = 100_000;

#[test]
fn mutants_are_errors_or_behave_1() {
    mutants::<AnchorPartition>(11, MUTANTS, &corpus::images());
}

#[test]
fn mutants_are_errors_or_behave_2() {
    mutants::<AnchorPartition>(12, MUTANTS, &corpus::images());
}

#[test]
fn the_images_of_the_corpus_load_as_they_are() {
    corpus_loads::<AnchorPartition>(&corpus::images());
}

/// Images of the first version load as what the operations make today. They are frozen since 2026-11-28: `HARDNEG_BLESS=1` writes those that
/// do not exist, and over none.
#[test]
fn frozen_images_are_what_the_operations_make() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/anchors");
    for (name, image) in corpus::images() {
        let path = folder.join(format!("{}.image", name.replace(' ', "_")));
        if std::env::var_os("HARDNEG_BLESS").is_some() && !path.exists() {
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(&path, &image).expect("a file");
        }
        let frozen = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let partition = AnchorPartition::load(&frozen).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(partition.save(), frozen, "{name}");
        assert!(frozen == image, "{name}: the operations make another image");
    }
}

/// Many anchors with one veto each, which take the most memory per byte of the image.
#[test]
fn images_made_to_be_costly_are_within_the_bound() {
    use hardneg_partition::anchors::{AnchorChange, AnchorOp, NotNegative, PairColumns};
    let empty = AnchorPartition::load(&corpus::images()[0].1).expect("an image");
    let mut partition = AnchorPartition::new(*empty.spec());
    let pairs = PairColumns { anchors: (0..70_000).collect(), ids: vec![1; 70_000], scores: Vec::new() };
    let (range, why) = (0..70_000, NotNegative::Vetoed);
    let change = AnchorChange::Mark { pairs: pairs.into(), range, why, stamp: 0, model_version: 0 };
    partition.apply(AnchorOp { position: 1, change });
    let image = partition.save();
    let mut tally = Tally::default();
    let loaded: Option<AnchorPartition> = tally.load(&image);
    assert!(loaded.is_some_and(|loaded| loaded.stats().vetoes == 70_000));
    assert!(tally.ratio > 4.0 && tally.ratio < 11.0, "{} x the image", tally.ratio);
}

/// The two kinds of partitions do not take each other's images.
#[test]
fn an_image_of_samples_is_none_of_anchors() {
    let spec = hardneg_partition::PartitionSpec {
        capacity: 10,
        background: hardneg_partition::BackgroundSpec::Sampled { size: 10 },
        hardness: Default::default(),
        named: false,
        salt_seed: 1,
        unstored_serves: 1,
        workers: 1,
        quarantine: hardneg_partition::QuarantineLimits::default(),
    };
    let of_samples = hardneg_partition::Partition::new(spec).save();
    assert_eq!(AnchorPartition::load(&of_samples).err(), Some(ImageError::Magic));
    assert_eq!(hardneg_partition::Partition::load(&corpus::images()[1].1).err(), Some(ImageError::Magic));
}
