//! Images of partitions of anchors that were changed: each is an error or a partition that behaves, and none makes `load` take more
//! memory than its doc comment says.
//!
//! `HARDNEG_MUTANTS=n` is how many each of the two tests makes, 100,000 where it is not set.

mod behaviour;
mod corpus;
#[path = "../mutations/memory.rs"]
mod memory;
#[path = "../mutations/mutate.rs"]
mod mutate;
#[path = "../mutations/random.rs"]
mod random;

use behaviour::behaves;
use hardneg_partition::ImageError;
use hardneg_partition::anchors::AnchorPartition;
use hardneg_partition::hash::placement_hash;
use random::SplitMix;

/// What `AnchorPartition::load` says of the memory that it takes, what it returns included: this many times the image, and this much
/// more.
const PER_IMAGE_BYTE: usize = 16;
const AND: usize = 32 << 10;

/// Loads an image, and what became of it: by byte of the image the memory that it took, the constant left out.
fn load(image: &[u8]) -> (Result<AnchorPartition, ImageError>, f64) {
    let (loaded, peak) = memory::peak_of(|| AnchorPartition::load(image));
    let most = PER_IMAGE_BYTE * image.len() + AND;
    assert!(peak <= most, "{peak} bytes of memory for an image of {} bytes", image.len());
    (loaded, peak.saturating_sub(AND) as f64 / image.len().max(1) as f64)
}

/// Tells which mutant it was, if there is a panic.
struct Which(u64);

impl Drop for Which {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("mutant of the seed {:#x}", self.0);
        }
    }
}

fn mutants(series: u64) {
    let count = std::env::var("HARDNEG_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let bases = corpus::images();
    let (mut good, mut contradictory, mut ratio) = (0, 0, 0_f64);
    let mut image = Vec::new();
    for number in 0..count {
        let seed = placement_hash(series << 40 | number);
        let which = Which(seed);
        let mut random = SplitMix(seed);
        mutate::mutant(&mut random, &bases, &mut image);
        let (loaded, taken) = load(&image);
        ratio = ratio.max(taken);
        match loaded {
            Ok(partition) => {
                good += 1;
                behaves(partition, &mut random);
            }
            Err(ImageError::Contradiction(_)) => contradictory += 1,
            Err(_) => {}
        }
        drop(which);
    }
    eprintln!(
        "{count} mutants: {good} loaded, {contradictory} contradictory; memory {ratio:.2} x the image + {AND}"
    );
    assert!(good > count / 20, "mutants that load test what a partition does then");
    assert!(contradictory > count / 4, "mutants whose checksum is right test what is read");
}

#[test]
fn mutants_are_errors_or_behave_1() {
    mutants(11);
}

#[test]
fn mutants_are_errors_or_behave_2() {
    mutants(12);
}

#[test]
fn the_images_of_the_corpus_load_as_they_are() {
    for (name, image) in corpus::images() {
        let (loaded, ratio) = load(&image);
        let partition = loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(partition.save(), image, "{name}");
        eprintln!("{name}, {} bytes: memory {ratio:.2} x the image", image.len());
        for seed in 0..20 {
            behaves(AnchorPartition::load(&image).expect("as before"), &mut SplitMix(seed));
        }
    }
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

/// Many anchors with the little that makes each cost the most: one veto, or one label.
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
    let (loaded, ratio) = load(&image);
    assert!(loaded.is_ok_and(|loaded| loaded.stats().vetoes == 70_000));
    assert!(ratio > 4.0 && ratio < 11.0, "{ratio} x the image");
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
