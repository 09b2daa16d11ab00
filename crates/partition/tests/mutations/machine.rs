//! What must hold for a partition of either kind that was loaded from any image.

use hardneg_partition::ImageError;

use crate::random::SplitMix;

/// A kind of partition: of samples or of anchors.
pub(crate) trait Machine: Sized {
    fn load(image: &[u8]) -> Result<Self, ImageError>;

    fn save(&self) -> Vec<u8>;

    /// Applies every kind of operation and does every read.
    fn exercise(&mut self, random: &mut SplitMix);
}

/// Checks that a loaded partition can be saved, loaded and used as any other.
pub(crate) fn behaves<M: Machine>(mut partition: M, random: &mut SplitMix) {
    let image = partition.save();
    let mut again = M::load(&image).expect("the image of a partition that was loaded");
    assert_eq!(again.save(), image, "what was loaded twice");
    let seed = random.next();
    partition.exercise(&mut SplitMix(seed));
    let image = partition.save();
    if seed.is_multiple_of(4) {
        again.exercise(&mut SplitMix(seed));
        assert_eq!(again.save(), image, "an image is all that answers depend on");
    }
    let third = M::load(&image).expect("the image of a partition that was used");
    assert_eq!(third.save(), image, "what was used");
}
