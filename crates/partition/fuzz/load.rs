//! Any bytes as an image: an error, or a partition that behaves. The checksum is made right first, so that the fuzzer gets past it.
//! `make fuzz` runs it.

#![no_main]

#[path = "../tests/mutations/samples/behaviour.rs"]
mod behaviour;
#[path = "../tests/mutations/machine.rs"]
mod machine;
#[path = "../tests/mutations/random.rs"]
mod random;

use hardneg_partition::Partition;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut image = bytes.to_vec();
    Partition::reseal(&mut image);
    if let Ok(partition) = Partition::load(&image) {
        let seed =
            image.iter().fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        machine::behaves(partition, &mut random::SplitMix(seed));
    }
});
