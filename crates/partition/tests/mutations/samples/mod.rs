//! Images of partitions of samples.

pub(crate) mod behaviour;
mod corpus;
mod crafted;

use hardneg_partition::Partition;

use crate::driver::{Tally, corpus_loads, mutants};
use crate::machine::behaves;
use crate::random::SplitMix;

const MUTANTS: u64 = 250_000;

#[test]
fn mutants_are_errors_or_behave_1() {
    mutants::<Partition>(1, MUTANTS, &corpus::images());
}

#[test]
fn mutants_are_errors_or_behave_2() {
    mutants::<Partition>(2, MUTANTS, &corpus::images());
}

#[test]
fn mutants_are_errors_or_behave_3() {
    mutants::<Partition>(3, MUTANTS, &corpus::images());
}

#[test]
fn mutants_are_errors_or_behave_4() {
    mutants::<Partition>(4, MUTANTS, &corpus::images());
}

#[test]
fn the_images_of_the_corpus_load_as_they_are() {
    let images = corpus::images();
    if let Some(folder) = std::env::var_os("HARDNEG_SEEDS") {
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, image) in &images {
            let file = std::path::Path::new(&folder).join(name.replace(' ', "_"));
            std::fs::write(file, image).expect("a file");
        }
    }
    corpus_loads::<Partition>(&images);
}

/// Images that were crafted to take as much memory as possible load within the bound.
#[test]
fn images_made_to_be_costly_are_within_the_bound() {
    for (name, ratio, image) in crafted::costly() {
        let mut tally = Tally::default();
        assert!(tally.load::<Partition>(&image).is_some(), "{name}: {:?}", Partition::load(&image).err());
        assert!(tally.ratio <= ratio, "{name}: {} x the image", tally.ratio);
        tally.print(&format!("{name}, {} bytes", image.len()));
    }
}

#[test]
fn shapes_that_no_operation_makes_are_refused() {
    for (name, image) in crafted::wrong() {
        let mut tally = Tally::default();
        assert!(tally.load::<Partition>(&image).is_none(), "{name} was loaded");
        assert_eq!(tally.contradictory, 1, "{name}");
        tally.print(&format!("{name}, {} bytes", image.len()));
    }
}

#[test]
fn bytes_without_order_are_no_image() {
    let mut random = SplitMix(5);
    let mut tally = Tally::default();
    let base = &corpus::images()[0].1;
    for _ in 0..200_000 {
        let mut bytes: Vec<u8> = (0..random.below(400)).map(|_| random.next() as u8).collect();
        // Some begin with the magic of an image, a right header, or a right spec.
        let keep = [0, 0, 8, 24, 75, 98][random.below(6) as usize].min(bytes.len());
        bytes[..keep].copy_from_slice(&base[..keep]);
        if keep >= 24 {
            Partition::reseal(&mut bytes);
        }
        if let Some(partition) = tally.load::<Partition>(&bytes) {
            behaves(partition, &mut random);
        }
    }
    tally.print("bytes without order");
}
