//! The two hashes of an id. Both are fixed for ever, because images and hosts store and compare their values.

/// The hash that decides in which partition and in which line of the index an id is. It mixes every bit, so that sequential ids spread.
#[inline]
#[must_use]
pub fn placement_hash(id: u64) -> u64 {
    fold(
        fold(id ^ 0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345) ^ 0xa409_3822_299f_31d0,
        0x082e_fa98_ec4e_6c89,
    )
}

/// The partition, of `partitions`, that a placement hash belongs to, by its high 32 bits. With twice as many partitions, the ids of
/// partition p are in 2p and 2p + 1.
#[inline]
#[must_use]
pub fn partition_of(hash: u64, partitions: usize) -> usize {
    (((hash >> 32) * partitions as u64) >> 32) as usize
}

/// The hash that decides whether an id is in the background: uniform on 0..2^64, independent of [`placement_hash`] and of the hashes under
/// other salts.
#[inline]
#[must_use]
pub fn background_hash(id: u64, salt: u64) -> u64 {
    // splitmix64's finaliser over a salted id: a bijection, so two ids never tie.
    let mut x = id.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}
