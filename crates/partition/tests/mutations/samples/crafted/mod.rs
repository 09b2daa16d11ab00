//! Images that are crafted byte by byte: small ones with shapes that operations make of thousands of samples only, costly ones, and wrong
//! ones.

mod costly;
mod wrong;

pub(crate) use costly::costly;
use hardneg_partition::hash::placement_hash;
use hardneg_partition::place::ordered_score;
use hardneg_partition::{BackgroundSpec, Partition};
pub(crate) use wrong::wrong;

/// The lowest key of the highest octave.
const TOP: u32 = 500 << 16;
/// 2^64 p of a background with p = 1.
const EVERY: u64 = u64::MAX;

/// Builds the body of an image, in the order of the format.
struct Body {
    out: Vec<u8>,
}

/// A node of the tree of buckets.
enum Node {
    /// The number of members, none of which rests.
    Leaf(u32),
    /// The key bits of a child, and the children by number.
    Table(u8, Vec<(u8, Node)>),
    /// The number of members of each part. The rows are in order of rank.
    Cuts(Vec<u32>),
}

#[derive(Clone, Copy)]
struct Row {
    id: u64,
    key: u32,
}

const SCORE: f32 = 0.5;

impl Body {
    fn new(capacity: u64, background: BackgroundSpec, named: bool) -> Self {
        let mut body = Self { out: b"HNPART\0\x01".to_vec() };
        body.put(&[0; 16]).u64(capacity);
        match background {
            BackgroundSpec::Sampled { size } => body.u8(0).u64(size as u64),
            BackgroundSpec::Dense { ids } => body.u8(1).u64(ids),
        };
        // Hardness, names, seed of salts, limits on unstored serves and workers, then on streaks, trusted and blocked ids.
        body.u8(0).u32(1e-3_f32.to_bits()).u8(0).u8(named.into()).u64(7).u64(1 << 24).u64(1 << 20);
        body.u64(1 << 20).u64(1 << 20).u64(1 << 20);
        // Position, no fold, no attributes, zero totals, no latest stamp.
        body.u64(1).u8(0).u8(0);
        body.put(&[0; 15 * 8]).u8(0);
        body
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    fn u8(&mut self, value: u8) -> &mut Self {
        self.put(&[value])
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    /// Writes the hard store up to its plain columns. Roots are in zone 0, each with its distance below the highest.
    fn hard(&mut self, roots: &[(u32, Node)], rows: &[Row]) -> &mut Self {
        self.u64(rows.len() as u64).u32(TOP).u64(roots.len() as u64);
        let mut next = rows.iter();
        for (below, node) in roots {
            self.u8(0).u32(*below).node(node, &mut next);
        }
        rows.iter().for_each(|row| _ = self.u64(row.id));
        rows.iter().for_each(|row| _ = self.u32(row.key));
        rows.iter().for_each(|_| _ = self.u32(SCORE.to_bits()));
        rows.iter().for_each(|_| _ = self.u32(0));
        self
    }

    fn node(&mut self, node: &Node, rows: &mut std::slice::Iter<'_, Row>) {
        match node {
            Node::Leaf(len) => {
                rows.by_ref().take(*len as usize).for_each(drop);
                self.u8(0).u32(*len).u32(0);
            }
            Node::Table(bits, children) => {
                self.u8(1).u8(*bits).u8(children.len() as u8);
                for (child, node) in children {
                    self.u8(*child).node(node, rows);
                }
            }
            Node::Cuts(parts) => {
                self.u8(2).u64(parts.len() as u64);
                for (at, len) in parts.iter().enumerate() {
                    let first = rows.as_slice()[0].id;
                    rows.by_ref().take(*len as usize).for_each(drop);
                    match at {
                        0 => self.u32(0).u64(0).u64(0),
                        _ => self.u32(ordered_score(SCORE, false)).u64(placement_hash(first)).u64(first),
                    };
                    self.u32(*len).u32(0);
                }
            }
        }
    }

    /// Writes that no side column is present.
    fn no_side_columns(&mut self) -> &mut Self {
        self.put(&[0; 5])
    }

    /// Writes a background of one generation. `member` writes the fields of a member after its numbers.
    fn background(&mut self, members: u64, member: impl Fn(&mut Self, u64)) -> &mut Self {
        self.u64(1).u64(1).u64(0);
        self.u64(0).u64(99).u64(EVERY).u64(members);
        for id in 0..members {
            self.u64(id).u32(SCORE.to_bits()).put(&[0; 15]);
            member(self, id);
        }
        // No filling generation, a witness without members, no next witness.
        self.u8(0).u64(5).u8(0).u64(0).u8(0)
    }

    fn no_leases(&mut self) -> &mut Self {
        self.u64(0).u64(0)
    }

    /// Writes a streak of `rows` rows.
    fn streak(&mut self, id: u64, rows: u32) {
        self.u64(id).u32(rows).u32(0).u8(0);
    }

    /// Writes a record without name, payload, key and threshold.
    fn record(&mut self, id: u64, raw_score: f32, score: f32) {
        self.u64(id).u32(raw_score.to_bits()).u32(score.to_bits()).u8(0).put(&[0; 22]).u8(0);
        self.u32(1).u64(0).u8(0);
    }

    /// Writes an empty quarantine.
    fn no_suspects(&mut self) -> &mut Self {
        self.put(&[0; 40])
    }

    /// Writes that there is no expiry queue.
    fn no_expiry(&mut self) -> &mut Self {
        self.put(&[0; 1])
    }

    fn done(&mut self) -> Vec<u8> {
        // No unstored serves, an empty quarantine, no expiry queue, and no workers.
        self.u64(0).no_suspects().no_expiry().u64(0).sealed()
    }

    fn sealed(&mut self) -> Vec<u8> {
        let mut image = std::mem::take(&mut self.out);
        Partition::reseal(&mut image);
        image
    }
}

const SAMPLED: BackgroundSpec = BackgroundSpec::Sampled { size: 1 << 20 };
const DENSE: BackgroundSpec = BackgroundSpec::Dense { ids: 1 << 40 };

/// The image of a hard store with an empty background.
fn hard(roots: &[(u32, Node)], rows: &[Row]) -> Vec<u8> {
    let mut body = Body::new(rows.len() as u64 + 10, SAMPLED, false);
    body.hard(roots, rows).no_side_columns().background(0, |_, _| {}).no_leases().done()
}

/// The image of `n` samples in full leaves, with the side columns that `side` writes.
fn beside(n: u64, named: bool, side: impl Fn(&mut Body)) -> Vec<u8> {
    let (roots, rows) = full_leaves(n);
    let mut body = Body::new(1 << 30, SAMPLED, named);
    body.hard(&roots, &rows);
    side(&mut body);
    body.background(0, |_, _| {}).no_leases().done()
}

fn full_leaves(n: u64) -> (Vec<(u32, Node)>, Vec<Row>) {
    let roots = (0..n.div_ceil(8192)).map(|root| {
        let len = (n - root * 8192).min(8192);
        (root as u32, Node::Leaf(len as u32))
    });
    let rows = (0..n).map(|id| Row { id, key: TOP + (7 << 13) - ((id / 8192) << 13) as u32 });
    (roots.collect(), rows.collect())
}

/// Ids in order of their ranks.
fn by_rank(n: u64) -> Vec<u64> {
    let mut ids: Vec<u64> = (0..n).collect();
    ids.sort_by_key(|id| placement_hash(*id));
    ids
}

/// Three levels of tables with cuts below.
fn deep() -> Vec<u8> {
    let cuts = Node::Cuts(vec![30, 40, 20]);
    let last = Node::Table(0, vec![(0, cuts), (1, Node::Leaf(5))]);
    let middle = Node::Table(1, vec![(3, last), (63, Node::Leaf(7))]);
    let root = Node::Table(7, vec![(2, Node::Leaf(3)), (5, middle)]);
    let low = TOP + (7 << 13);
    let cut = low + (5 << 7) + (3 << 1);
    let keys = [(3, low + (2 << 7)), (90, cut), (5, cut + 1), (7, low + (5 << 7) + (63 << 1))];
    let keys = keys.into_iter().flat_map(|(len, key)| std::iter::repeat_n(key, len));
    let ids = (1000..1003).chain(by_rank(90)).chain(2000..2012);
    let rows: Vec<Row> = ids.zip(keys).map(|(id, key)| Row { id, key }).collect();
    hard(&[(0, root)], &rows)
}

fn small_cuts() -> Vec<u8> {
    let zero = Node::Cuts(vec![40, 30]);
    let table = |bits, node| Node::Table(bits, vec![(0, node)]);
    let rows: Vec<Row> = by_rank(70).into_iter().map(|id| Row { id, key: TOP }).collect();
    hard(&[(7, table(7, table(1, table(0, zero))))], &rows)
}

/// Small images of large shapes.
pub(crate) fn small() -> Vec<(&'static str, Vec<u8>)> {
    vec![("small tables", deep()), ("small cuts", small_cuts())]
}

fn dense(after: impl FnOnce(&mut Body)) -> Vec<u8> {
    let mut body = Body::new(1 << 30, DENSE, false);
    body.hard(&[], &[]).no_side_columns();
    after(&mut body);
    // No workers.
    body.no_expiry().u64(0).sealed()
}

/// The image of a quarantine in a partition that holds nothing else.
fn suspects(write: impl FnOnce(&mut Body)) -> Vec<u8> {
    let mut body = Body::new(1 << 30, SAMPLED, false);
    body.hard(&[], &[]).no_side_columns().background(0, |_, _| {}).no_leases().u64(0);
    write(&mut body);
    // No workers.
    body.no_expiry().u64(0).sealed()
}

/// The applied sequences of a worker, the highest first.
enum Applied {
    Run(u64, u16),
    Window(u64, [u64; 16]),
}

/// The image of workers in a partition that holds nothing else. Each number is both halves of a worker's hash.
fn workers(workers: impl ExactSizeIterator<Item = (u64, Applied)>) -> Vec<u8> {
    let mut body = Body::new(1 << 30, DENSE, false);
    body.hard(&[], &[]).no_side_columns().u64(0).no_leases().u64(0).no_suspects().no_expiry();
    body.u64(workers.len() as u64);
    for (name, applied) in workers {
        body.u64(name).u64(name).u64(1);
        match applied {
            Applied::Run(highest, run) => _ = body.u64(highest).put(&run.to_le_bytes()),
            Applied::Window(highest, words) => {
                body.u64(highest).put(&[0, 0]);
                words.iter().for_each(|word| _ = body.u64(*word));
            }
        }
    }
    body.sealed()
}
