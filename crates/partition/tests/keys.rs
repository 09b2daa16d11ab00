//! Checks that keys are the same on every platform and in every build: 10,000 of them are compared with a file.
//!
//! `HARDNEG_WRITE_FIXTURES=1 cargo test -p hardneg-partition --test keys` writes the file again. That changes the order of everything that
//! is stored: earlier images and logs cannot be used any more.

use hardneg_partition::key::{Hardness, HardnessFunction, Key, LOG2_WEIGHT_MAX, UNITS_PER_OCTAVE};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys.bin");
const CASES: u64 = 10_000;
/// Bytes of a case: the key, little-endian, and whether log2 of the weight was clamped.
const CASE_BYTES: usize = 5;

struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn choose<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// A finite number of any size.
fn any_finite(random: &mut SplitMix) -> f32 {
    loop {
        let number = f32::from_bits(random.next() as u32);
        if number.is_finite() {
            return number;
        }
    }
}

/// A positive number of any size, or one that a user would choose.
fn parameter(random: &mut SplitMix) -> f32 {
    const CHOSEN: [f32; 12] =
        [1e-3, 0.01, 0.05, 0.07, 0.1, 1.0, 10.0, 1e-9, f32::MIN_POSITIVE, 1e-45, 1e30, f32::MAX];
    if random.below(4) > 0 {
        return random.choose(&CHOSEN);
    }
    loop {
        let number = any_finite(random).abs();
        if number > 0.0 {
            return number;
        }
    }
}

/// Scores that occur in practice, and extreme ones. All are made without rounding.
fn score(random: &mut SplitMix, hardness: &Hardness) -> f32 {
    const EXTREMES: [f32; 14] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        2.0,
        1.000_000_1,
        0.999_999_94,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        -f32::MIN_POSITIVE,
        1e-45,
        -1e-45,
    ];
    let sign = |random: &mut SplitMix, number: f32| if random.below(2) == 0 { number } else { -number };
    match random.below(7) {
        0 => random.choose(&EXTREMES),
        1 => any_finite(random),
        // Subnormal.
        2 => {
            let number = f32::from_bits(random.next() as u32 & 0x007f_ffff);
            sign(random, number)
        }
        // A power of two, or next to one: there the key of a small offset changes.
        3 => {
            let exponent = random.below(254) as u32 + 1;
            let number =
                f32::from_bits((exponent << 23).wrapping_add(random.below(3) as u32).wrapping_sub(1));
            sign(random, number)
        }
        // Around where an exponential weight is clamped, the parameter being what it is.
        4 => {
            let HardnessFunction::Exponential { temperature } = hardness.function else {
                return random.below(1000) as f32;
            };
            let edge = (LOG2_WEIGHT_MAX * std::f64::consts::LN_2 * f64::from(temperature)) as f32;
            let bits = edge.min(f32::MAX).to_bits().wrapping_add(random.below(9) as u32).wrapping_sub(4);
            let number = f32::from_bits(bits);
            sign(random, if number.is_finite() { number } else { f32::MAX })
        }
        // A loss or a cosine.
        5 => random.below(20 << 20) as f32 / (1 << 20) as f32,
        _ => {
            let number = random.below(1 << 24) as f32 / (1 << 24) as f32;
            sign(random, number)
        }
    }
}

fn decay_units(random: &mut SplitMix) -> u64 {
    match random.below(5) {
        0 => random.choose(&[0, 1, u64::MAX, u64::MAX - 1]),
        // Next to where keys wrap.
        1 => (random.below(1 << 20) << 32).wrapping_add(random.below(1 << 17)).wrapping_sub(1 << 16),
        2 => random.next(),
        _ => random.below(1 << 48),
    }
}

fn cases() -> impl Iterator<Item = (Hardness, f32, u64)> {
    let mut random = SplitMix(2026);
    (0..CASES).map(move |case| {
        let parameter = parameter(&mut random);
        let function = match case % 2 {
            0 => HardnessFunction::Power { offset: parameter },
            _ => HardnessFunction::Exponential { temperature: parameter },
        };
        let hardness = Hardness { function, lower_is_harder: case / 2 % 2 == 1 };
        let score = score(&mut random, &hardness);
        (hardness, score, decay_units(&mut random))
    })
}

#[test]
fn keys_are_those_of_the_fixture() {
    let mut now = Vec::with_capacity(CASES as usize * CASE_BYTES);
    for (hardness, score, decay_units) in cases() {
        let (Key(key), clamped) = hardness.key(score, decay_units);
        now.extend_from_slice(&key.to_le_bytes());
        now.push(clamped.into());
    }
    if std::env::var_os("HARDNEG_WRITE_FIXTURES").is_some() {
        std::fs::write(FIXTURE, &now).expect("a fixture that can be written");
    }
    let fixture = std::fs::read(FIXTURE).expect("the fixture");
    assert_eq!(fixture.len(), now.len());
    let told = fixture.chunks_exact(CASE_BYTES).zip(now.chunks_exact(CASE_BYTES));
    for (at, ((told, now), case)) in told.zip(cases()).enumerate() {
        assert_eq!(told, now, "case {at}: {case:?}");
    }
}

/// Checks that the keys in the file are right to a unit of 2^-16 octave, and that the cases cover what they are meant to.
#[test]
fn keys_of_the_fixture_are_logarithms() {
    let (mut clamped_up, mut clamped_down, mut subnormal, mut negative) = (0, 0, 0, 0);
    for (hardness, score, decay_units) in cases() {
        let log2 = match hardness.function {
            HardnessFunction::Power { offset } => (f64::from(score).max(0.0) + f64::from(offset)).log2(),
            HardnessFunction::Exponential { temperature } => {
                f64::from(score) / f64::from(temperature) / std::f64::consts::LN_2
            }
        };
        let log2 = if hardness.lower_is_harder { -log2 } else { log2 };
        let units = log2.clamp(-LOG2_WEIGHT_MAX, LOG2_WEIGHT_MAX) * UNITS_PER_OCTAVE as f64;
        let (key, clamped) = hardness.key(score, decay_units);
        let off = key.since(Key::of_clock(decay_units)) as f64 - units.floor();
        assert!(off.abs() <= 1.0, "{hardness:?} of {score:e} is {off} units off");
        clamped_up += u32::from(clamped && log2 > 0.0);
        clamped_down += u32::from(clamped && log2 < 0.0);
        subnormal += u32::from(score.is_subnormal());
        negative += u32::from(score < 0.0);
    }
    for (what, cases) in
        [("up", clamped_up), ("down", clamped_down), ("subnormal", subnormal), ("negative", negative)]
    {
        assert!(cases > 300, "{cases} cases of {what}");
    }
}
