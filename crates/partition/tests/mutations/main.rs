//! Images that were changed: each of a million is an error or a partition that behaves, and none makes `load` take more memory than
//! its doc comment says.
//!
//! `HARDNEG_MUTANTS=n` is how many each of the four tests makes, 250,000 where it is not set. `HARDNEG_SEEDS=folder` is where the images
//! that they are made of are written, for the fuzzer (`make fuzz`).

mod behaviour;
mod corpus;
mod crafted;
mod memory;
mod mutate;
mod random;

use behaviour::behaves;
use hardneg_partition::hash::placement_hash;
use hardneg_partition::{ImageError, Partition};
use random::SplitMix;

/// What `Partition::load` says of the memory that it takes, what it returns included: this many times the image, and this much more.
const PER_IMAGE_BYTE: usize = 16;
const AND: usize = 32 << 10;

/// Images with the memory that loading them took.
#[derive(Default)]
struct Tally {
    loaded: u64,
    damaged: u64,
    contradictory: u64,
    /// The most memory by byte of an image, the constant left out, and the most that was above the multiple of the image alone.
    ratio: f64,
    constant: isize,
}

impl Tally {
    fn load(&mut self, image: &[u8]) -> Option<Partition> {
        let (loaded, peak) = memory::peak_of(|| Partition::load(image));
        assert!(
            peak <= PER_IMAGE_BYTE * image.len() + AND,
            "{peak} bytes of memory for an image of {} bytes",
            image.len()
        );
        if !image.is_empty() {
            self.ratio = self.ratio.max(peak.saturating_sub(AND) as f64 / image.len() as f64);
        }
        self.constant = self.constant.max(peak as isize - (PER_IMAGE_BYTE * image.len()) as isize);
        match &loaded {
            Ok(_) => self.loaded += 1,
            Err(ImageError::Contradiction(_)) => self.contradictory += 1,
            Err(_) => self.damaged += 1,
        }
        loaded.ok()
    }

    fn print(&self, of: &str) {
        eprintln!(
            "{of}: {} loaded, {} contradictory, {} damaged; memory: {:.2} x the image + {AND}, {PER_IMAGE_BYTE} x + {}",
            self.loaded, self.contradictory, self.damaged, self.ratio, self.constant
        );
    }
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
    let count = std::env::var("HARDNEG_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(250_000);
    let bases = corpus::images();
    let mut tally = Tally::default();
    let mut image = Vec::new();
    for number in 0..count {
        let seed = placement_hash(series << 40 | number);
        let which = Which(seed);
        let mut random = SplitMix(seed);
        mutate::mutant(&mut random, &bases, &mut image);
        if let Some(partition) = tally.load(&image) {
            behaves(partition, &mut random);
        }
        drop(which);
    }
    tally.print("mutants");
    assert!(tally.loaded > count / 20, "mutants that load test what a partition does then");
    assert!(tally.contradictory > count / 4, "mutants whose checksum is right test what is read");
}

#[test]
fn mutants_are_errors_or_behave_1() {
    mutants(1);
}

#[test]
fn mutants_are_errors_or_behave_2() {
    mutants(2);
}

#[test]
fn mutants_are_errors_or_behave_3() {
    mutants(3);
}

#[test]
fn mutants_are_errors_or_behave_4() {
    mutants(4);
}

#[test]
fn the_images_of_the_corpus_load_as_they_are() {
    let mut tally = Tally::default();
    for (name, image) in corpus::images() {
        let mut one = Tally::default();
        let partition =
            one.load(&image).unwrap_or_else(|| panic!("{name}: {:?}", Partition::load(&image).err()));
        assert_eq!(partition.save(), image, "{name}");
        if let Some(folder) = std::env::var_os("HARDNEG_SEEDS") {
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(std::path::Path::new(&folder).join(name.replace(' ', "_")), &image)
                .expect("a file");
        }
        tally.load(&image);
        one.print(&format!("{name}, {} bytes", image.len()));
        for seed in 0..20 {
            behaves(Partition::load(&image).expect("as before"), &mut SplitMix(seed));
        }
    }
    tally.print("corpus");
}

/// What was made to take as much memory as it can loads, within the bound.
#[test]
fn images_made_to_be_costly_are_within_the_bound() {
    for (name, ratio, image) in crafted::costly() {
        let mut tally = Tally::default();
        assert!(tally.load(&image).is_some(), "{name}: {:?}", Partition::load(&image).err());
        assert!(tally.ratio <= ratio, "{name}: {} x the image", tally.ratio);
        tally.print(&format!("{name}, {} bytes", image.len()));
    }
}

#[test]
fn shapes_that_no_operation_makes_are_refused() {
    for (name, image) in crafted::wrong() {
        let mut tally = Tally::default();
        assert!(tally.load(&image).is_none(), "{name} was loaded");
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
        // Some begin as an image does, or have a header that fits, or a spec that is right.
        let keep = [0, 0, 8, 24, 75, 98][random.below(6) as usize].min(bytes.len());
        bytes[..keep].copy_from_slice(&base[..keep]);
        if keep >= 24 {
            Partition::reseal(&mut bytes);
        }
        if let Some(partition) = tally.load(&bytes) {
            behaves(partition, &mut random);
        }
    }
    tally.print("bytes without order");
}
