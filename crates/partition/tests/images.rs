//! How large images are.

use hardneg_partition::hash::background_hash;
use hardneg_partition::key::Hardness;
use hardneg_partition::{
    BackgroundSpec, Change, Columns, Op, Partition, PartitionSpec, QuarantineLimits, Terms,
};
use std::sync::Arc;

const DAY: u64 = 1 << 42;
const ROWS: u64 = 1_000_000;

fn filled(score: impl Fn(u64) -> f32, renew_after_rows: u64) -> Partition {
    let spec = PartitionSpec {
        capacity: 1 << 20,
        background: BackgroundSpec::Sampled { size: 16_384 },
        hardness: Hardness::default(),
        named: false,
        salt_seed: 7,
        unstored_serves: 1 << 16,
        workers: 0,
        quarantine: QuarantineLimits::default(),
    };
    let mut partition = Partition::new(spec);
    for from in (0..ROWS).step_by(4096) {
        let ids: Vec<u64> = (from..(from + 4096).min(ROWS)).collect();
        let scores = ids.iter().map(|id| score(*id)).collect();
        let rows = Columns::plain(ids, scores, &spec.hardness, DAY);
        let (range, terms) =
            (0..rows.ids.len(), Terms { decay_units: DAY, renew_after_rows, ..Terms::default() });
        partition.apply(Op {
            position: from,
            change: Change::Report { rows: Arc::new(rows), range, terms, sender: None },
        });
    }
    assert_eq!(partition.hard_len(), ROWS);
    partition
}

/// The sum of twelve uniform numbers is near to normal.
fn normal(id: u64) -> f32 {
    (0..12).map(|salt| (background_hash(id, salt) >> 40) as f32 / (1 << 24) as f32).sum::<f32>() - 6.0
}

fn check(name: &str, partition: &Partition) {
    let image = partition.save();
    let by_row = image.len() as f64 / ROWS as f64;
    println!("{name}: {by_row:.3} bytes of image a row");
    assert!(by_row <= 32.0, "{name}: {by_row}");
    let loaded = Partition::load(&image).expect("its own image");
    assert!(loaded.save() == image, "{name}: the image of what was loaded is another");
}

#[test]
fn a_plain_row_takes_at_most_32_bytes_of_an_image() {
    check("lognormal", &filled(|id| normal(id).exp2(), u64::MAX));
}

#[test]
fn a_row_of_many_equal_ones_takes_at_most_32_bytes_of_an_image() {
    check("all equal", &filled(|_| 0.5, u64::MAX));
}

/// Two backgrounds of a sixtieth of the rows each are in the image.
#[test]
fn a_plain_row_takes_at_most_32_bytes_of_an_image_while_a_generation_fills() {
    let partition = filled(|id| 1.0 / (1.0 + (-8.0 - normal(id)).exp()), 100_000);
    assert_eq!(partition.stats().generations, 2, "one fills");
    check("sigmoid(N(8,1)), and a generation that fills", &partition);
}
