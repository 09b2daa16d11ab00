//! Loads images under a bound of memory: mutants of a corpus, and the corpus itself.

use hardneg_partition::ImageError;
use hardneg_partition::hash::placement_hash;

use crate::machine::{Machine, behaves};
use crate::random::SplitMix;
use crate::{memory, mutate};

/// The bound on memory that `load` documents, its result included: this many times the image, and this many bytes more.
const PER_IMAGE_BYTE: usize = 16;
const AND: usize = 32 << 10;

/// How many images loaded or were refused, and the memory that loading them took.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) loaded: u64,
    damaged: u64,
    pub(crate) contradictory: u64,
    /// The most memory per byte of an image, above the constant.
    pub(crate) ratio: f64,
    /// The most memory above the multiple of the image.
    constant: isize,
}

impl Tally {
    pub(crate) fn load<M: Machine>(&mut self, image: &[u8]) -> Option<M> {
        let (loaded, peak) = memory::peak_of(|| M::load(image));
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

    pub(crate) fn print(&self, of: &str) {
        eprintln!(
            "{of}: {} loaded, {} contradictory, {} damaged; memory: {:.2} x the image + {AND}, {PER_IMAGE_BYTE} x + {}",
            self.loaded, self.contradictory, self.damaged, self.ratio, self.constant
        );
    }
}

/// Prints the seed of the mutant if its test panics.
struct Which(u64);

impl Drop for Which {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("mutant of the seed {:#x}", self.0);
        }
    }
}

/// Mutants of the images of a corpus: each is refused, or behaves. Their number is `count` unless `HARDNEG_MUTANTS` is set.
pub(crate) fn mutants<M: Machine>(series: u64, count: u64, corpus: &[(&'static str, Vec<u8>)]) {
    let count = std::env::var("HARDNEG_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(count);
    let mut tally = Tally::default();
    let mut image = Vec::new();
    for number in 0..count {
        let seed = placement_hash(series << 40 | number);
        let which = Which(seed);
        let mut random = SplitMix(seed);
        mutate::mutant(&mut random, corpus, &mut image);
        if let Some(partition) = tally.load::<M>(&image) {
            behaves(partition, &mut random);
        }
        drop(which);
    }
    tally.print("mutants");
    assert!(tally.loaded > count / 20, "mutants that load test what a partition does then");
    assert!(tally.contradictory > count / 4, "mutants whose checksum is right test what is read");
}

/// Each image of a corpus loads, saves as it was, and behaves.
pub(crate) fn corpus_loads<M: Machine>(corpus: &[(&'static str, Vec<u8>)]) {
    let mut tally = Tally::default();
    for (name, image) in corpus {
        let mut one = Tally::default();
        let partition: M = one.load(image).unwrap_or_else(|| panic!("{name}: {:?}", M::load(image).err()));
        assert_eq!(partition.save(), *image, "{name}");
        one.print(&format!("{name}, {} bytes", image.len()));
        tally.load::<M>(image);
        for seed in 0..20 {
            behaves(M::load(image).expect("as before"), &mut SplitMix(seed));
        }
    }
    tally.print("corpus");
}
