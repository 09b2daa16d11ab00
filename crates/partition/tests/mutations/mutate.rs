//! Mutates images.

use hardneg_partition::Partition;

use super::random::SplitMix;

/// Writes a mutant of one of `bases` over `image`.
pub(crate) fn mutant(random: &mut SplitMix, bases: &[(&str, Vec<u8>)], image: &mut Vec<u8>) {
    image.clear();
    image.extend_from_slice(choose(random, bases));
    for _ in 0..1 + random.below(8).saturating_sub(4) {
        match random.below(20) {
            0..3 => flip(random, image),
            3..12 => overwrite(random, image),
            12 => {
                let len = place(random, image.len() + 1);
                image.truncate(len);
            }
            13 => {
                let at = place(random, image.len() + 1);
                let byte = random.choose(&[0, 1, 0xff, random.0 as u8]);
                let more = random.below(40) as usize;
                image.splice(at..at, std::iter::repeat_n(byte, more));
            }
            14 | 15 => {
                let (at, range) = (place(random, image.len() + 1), range(random, image));
                let copy = image[range].to_vec();
                image.splice(at..at, copy);
            }
            16 => {
                let range = range(random, image);
                image.drain(range);
            }
            17 => {
                // Swaps two ranges of equal length.
                let range = range(random, image);
                let to = place(random, image.len() - range.len() + 1);
                for i in 0..range.len() {
                    image.swap(range.start + i, to + i);
                }
            }
            18 => {
                // Copies one range over another.
                let range = range(random, image);
                let to = place(random, image.len() - range.len() + 1);
                image.copy_within(range, to);
            }
            _ => {
                let other = choose(random, bases);
                let (at, from) = (place(random, image.len() + 1), place(random, other.len() + 1));
                // Often at the same offset of both, so that fields stay aligned.
                let from = if random.below(2) == 0 { at.min(other.len()) } else { from };
                image.truncate(at);
                image.extend_from_slice(&other[from..]);
            }
        }
    }
    if random.below(16) > 0 {
        Partition::reseal(image);
    }
}

/// One of the images; images of thousands of bytes are chosen less often.
fn choose<'a>(random: &mut SplitMix, bases: &'a [(&str, Vec<u8>)]) -> &'a [u8] {
    loop {
        let (_, base) = &bases[random.below(bases.len() as u64) as usize];
        if base.len() < 8_000 || random.below(base.len() as u64) < 400 {
            return base;
        }
    }
}

/// An offset below `end`: anywhere, or near the start, where the spec and the counts are.
fn place(random: &mut SplitMix, end: usize) -> usize {
    let near = match random.below(3) {
        0 => 160,
        1 => 400,
        _ => usize::MAX,
    };
    random.below(end.min(near) as u64) as usize
}

fn range(random: &mut SplitMix, image: &[u8]) -> std::ops::Range<usize> {
    let from = place(random, image.len() + 1);
    let most = random.choose(&[1, 4, 8, 20, 35, 100, 1000]);
    from..(from + random.below(most + 1) as usize).min(image.len())
}

fn flip(random: &mut SplitMix, image: &mut [u8]) {
    let at = place(random, image.len());
    if let Some(byte) = image.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

/// Replaces a number of one to eight bytes by an extreme one, or one close to it.
fn overwrite(random: &mut SplitMix, image: &mut [u8]) {
    let width = random.choose(&[1_usize, 2, 4, 4, 8, 8]);
    let at = place(random, image.len());
    let end = (at + width).min(image.len());
    let mut bytes = [0; 8];
    bytes[..end - at].copy_from_slice(&image[at..end]);
    let old = u64::from_le_bytes(bytes);
    let new = match random.below(12) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => 1 << (8 * width - 1),
        4 => (1 << (8 * width - 1)) - 1,
        5 => image.len() as u64,
        6 => random.below(image.len() as u64),
        7 => old.wrapping_add(1),
        8 => old.wrapping_sub(1),
        9 => random.below(20),
        10 => old << 1,
        _ => random.next(),
    };
    image[at..end].copy_from_slice(&new.to_le_bytes()[..end - at]);
}
