//! Images made byte by byte: small ones of shapes that take thousands of samples else, costly ones, and wrong ones.

use hardneg_partition::hash::placement_hash;
use hardneg_partition::place::ordered_score;
use hardneg_partition::{BackgroundSpec, ImageError, Partition};

/// Keys of the highest octave begin here.
const TOP: u32 = 500 << 16;
/// 2^64 p of a background in which every id is.
const EVERY: u64 = u64::MAX;

/// The body of an image under way, in the order of the format.
struct Body {
    out: Vec<u8>,
}

/// A node of the tree of buckets.
enum Node {
    /// So many members, none of which rests.
    Leaf(u32),
    /// Key bits of a child, and the children by number.
    Table(u8, Vec<(u8, Node)>),
    /// Members of each part, of which the rows are in order of their ranks.
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
        // Hardness, names, seed of salts, serves that are remembered of ids that are stored nowhere, workers that are remembered; streaks,
        // trusted and blocked ids that are.
        body.u8(0).u32(1e-3_f32.to_bits()).u8(0).u8(named.into()).u64(7).u64(1 << 24).u64(1 << 20);
        body.u64(1 << 20).u64(1 << 20).u64(1 << 20);
        // Position, no fold, no attributes; nothing was done, and no stamp came.
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

    /// The hard rows, up to their plain columns. Roots are of the zone 0, and so far below the highest.
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

    /// No version, serve, stratum, group or attachment.
    fn no_side_columns(&mut self) -> &mut Self {
        self.put(&[0; 5])
    }

    /// A background of one generation, of which `member` writes what comes after the id and the numbers of each.
    fn background(&mut self, members: u64, member: impl Fn(&mut Self, u64)) -> &mut Self {
        self.u64(1).u64(1).u64(0);
        self.u64(0).u64(99).u64(EVERY).u64(members);
        for id in 0..members {
            self.u64(id).u32(SCORE.to_bits()).put(&[0; 15]);
            member(self, id);
        }
        // Nothing fills; a witness without members; no next one.
        self.u8(0).u64(5).u8(0).u64(0).u8(0)
    }

    fn no_leases(&mut self) -> &mut Self {
        self.u64(0).u64(0)
    }

    /// A sample in quarantine without name, payload, key and threshold.
    fn record(&mut self, id: u64, raw_score: f32, score: f32) {
        self.u64(id).u32(raw_score.to_bits()).u32(score.to_bits()).u8(0).put(&[0; 22]).u8(0);
        self.u32(1).u64(0).u8(0);
    }

    /// No overflow, streak, sample in quarantine, trusted or blocked id.
    fn no_suspects(&mut self) -> &mut Self {
        self.put(&[0; 40])
    }

    /// Samples live for ever.
    fn no_expiry(&mut self) -> &mut Self {
        self.put(&[0; 1])
    }

    fn done(&mut self) -> Vec<u8> {
        // No serves of ids that are stored nowhere, no suspects, samples that live for ever, and no workers.
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

/// The image of `n` samples in full leaves, with what `side` writes beside them.
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

/// A table of a root under tables under tables, with cuts at the end.
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

/// As many leaves as there are samples, nearly.
fn sparse_leaves(roots: u32) -> Vec<u8> {
    let leaves = |first| {
        let children = (0..64).map(|child| (child, Node::Leaf(if child == 0 { first } else { 1 })));
        Node::Table(1, children.collect())
    };
    let (mut nodes, mut rows) = (Vec::new(), Vec::new());
    for root in 0..roots {
        let children = (0..64).map(|child| (child, leaves(2)));
        nodes.push((root, Node::Table(7, children.collect())));
        let low = TOP + (7 << 13) - (root << 13);
        for child in 0..64_u32 {
            let keys = std::iter::once(0).chain(0..64).map(|leaf| low + (child << 7) + (leaf << 1));
            rows.extend(keys.map(|key| Row { id: 0, key }));
        }
    }
    (0..).zip(&mut rows).for_each(|(id, row)| row.id = id);
    hard(&nodes, &rows)
}

/// Parts of one sample each.
fn sparse_cuts() -> Vec<u8> {
    let n = 40_000;
    let table = |bits, node| Node::Table(bits, vec![(0, node)]);
    let rows: Vec<Row> = by_rank(n).into_iter().map(|id| Row { id, key: TOP }).collect();
    hard(&[(7, table(7, table(1, table(0, Node::Cuts(vec![1; n as usize])))))], &rows)
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

/// What a worker had applied, the first of it the highest sequence.
enum Applied {
    Run(u64, u16),
    Window(u64, [u64; 16]),
}

/// The image of workers, each with a name in both halves, in a partition that holds nothing else.
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

/// Images that take as much memory by byte as images of their kind can, and how many times their bytes that is. Numbers are such that
/// maps and vectors have just doubled.
pub(crate) fn costly() -> Vec<(&'static str, f64, Vec<u8>)> {
    let n = (1 << 14) * 7 / 8 + 1;
    let member = |out: &mut Body, id: u64, stratum: bool, attachment: &[u8]| {
        out.u32(if stratum { id as u32 + 1 } else { 0 }).u64(0).put(attachment);
    };
    let members = |named, stratum, attachment: &'static [u8]| {
        let mut body = Body::new(1 << 30, SAMPLED, named);
        body.hard(&[], &[]).no_side_columns();
        body.background(n, |out, id| member(out, id, stratum, attachment)).no_leases().done()
    };
    vec![
        ("samples in full leaves", 1.75, beside(n, false, |out| _ = out.no_side_columns())),
        ("a sample a leaf", 7.6, sparse_leaves(16)),
        ("a sample a part of cuts", 6.25, sparse_cuts()),
        (
            "a stratum a sample",
            11.0,
            beside(n, false, |out| {
                out.put(&[0, 0, 1]);
                (0..n).for_each(|id| _ = out.u32(id as u32 + 1));
                out.put(&[0, 0]);
            }),
        ),
        (
            "names without letters",
            4.25,
            beside(n, true, |out| {
                out.put(&[0, 0, 0, 0, 1]);
                (0..n).for_each(|_| _ = out.u8(1).u32(0));
            }),
        ),
        (
            "payloads of a byte",
            4.5,
            beside(n, true, |out| {
                out.put(&[0, 0, 0, 0, 1]);
                (0..n).for_each(|_| _ = out.u8(2).u32(1).u8(0));
            }),
        ),
        (
            "one name",
            2.0,
            beside(n, true, |out| {
                out.put(&[0, 0, 0, 0, 1]).u8(1).u32(0);
                (1..n).for_each(|_| _ = out.u8(0));
            }),
        ),
        ("members", 2.0, members(false, false, &[0])),
        ("members with a stratum each", 2.5, members(false, true, &[0])),
        ("members with names without letters", 3.5, members(true, false, &[1, 0, 0, 0, 0])),
        (
            "an id removed of every 2^32",
            16.0,
            dense(|out| {
                out.u64(256);
                (0..256).for_each(|id| _ = out.u64(id << 32));
                out.no_leases().u64(0).no_suspects();
            }),
        ),
        (
            "ids removed far from each other",
            16.0,
            dense(|out| {
                out.u64(32_769);
                (0..32_769).for_each(|id| _ = out.u64(id << 16));
                out.no_leases().u64(0).no_suspects();
            }),
        ),
        (
            "leases of what is stored nowhere",
            7.5,
            dense(|out| {
                out.u64(0).u64(n).u64(0);
                (0..n).for_each(|id| _ = out.u64(16).u64(id).u8(0));
                out.u64(0).no_suspects();
            }),
        ),
        (
            "leases of members",
            5.0,
            dense(|out| {
                out.u64(0).u64(n).u64(0);
                (0..n).for_each(|id| _ = out.u64(16).u64(id).u8(7).u64(0).u64(id));
                out.u64(0).no_suspects();
            }),
        ),
        (
            "serves of what is stored nowhere",
            4.5,
            dense(|out| {
                out.u64(0).no_leases().u64(n);
                (0..n).for_each(|id| _ = out.u64(id).put(&[1, 0]));
                out.no_suspects();
            }),
        ),
        (
            "streaks",
            2.5,
            suspects(|out| {
                out.u64(0).u64(n);
                (0..n).for_each(|id| _ = out.u64(id).u32(1).u32(0).u8(0));
                out.put(&[0; 24]);
            }),
        ),
        (
            "samples in quarantine",
            6.0,
            suspects(|out| {
                out.put(&[0; 16]).u64(n);
                (0..n).for_each(|id| out.record(id, SCORE, SCORE));
                out.put(&[0; 16]);
            }),
        ),
        (
            "trusted ids",
            2.5,
            suspects(|out| {
                out.put(&[0; 24]).u64(n);
                (0..n).for_each(|id| _ = out.u64(id));
                out.u64(0);
            }),
        ),
        (
            "blocked ids",
            6.25,
            suspects(|out| {
                out.put(&[0; 32]).u64(n);
                (0..n).for_each(|id| _ = out.u64(id).u8(0));
            }),
        ),
        (
            "workers without gaps",
            2.0,
            workers((0..n as u32).map(|name| (name.into(), Applied::Run(5000, 7)))),
        ),
        (
            "workers with windows",
            1.25,
            workers((0..n as u32).map(|name| (name.into(), Applied::Window(1024, [5; 16])))),
        ),
    ]
}

/// Workers that no reports lead to.
fn wrong_workers() -> Vec<(&'static str, Vec<u8>)> {
    let one = |applied| workers([(3, applied)].into_iter());
    let window = |highest, first, others| {
        let mut words = [others; 16];
        words[0] = first;
        one(Applied::Window(highest, words))
    };
    let two = || workers([(3, Applied::Run(5, 1)), (4, Applied::Run(5, 1))].into_iter());
    // The last number of the spec but those of suspects.
    let remembered = |most: u64| {
        let mut image = two();
        image[64..72].copy_from_slice(&most.to_le_bytes());
        Partition::reseal(&mut image);
        image
    };
    assert!(Partition::load(&remembered(2)).is_ok_and(|partition| partition.spec().workers == 2));
    let wrong = vec![
        ("more workers than are remembered", remembered(1)),
        ("more workers remembered than may be", remembered(1 << 21)),
        ("a worker twice", workers([(3, Applied::Run(5, 1)), (3, Applied::Run(6, 1))].into_iter())),
        ("a run longer than its highest", one(Applied::Run(5, 6))),
        ("a run longer than a window", one(Applied::Run(5000, 1025))),
        ("a run up to no sequence", one(Applied::Run(0, 1))),
        ("a window of a run", window(5, 0b11_1000, 0)),
        ("a window of one sequence", window(5, 0b10_0000, 0)),
        ("a full window", window(5000, u64::MAX, u64::MAX)),
        ("a window without its highest", window(5, 0b1010, 0)),
        ("a window with bits beyond its highest", window(5, 0b110_1000, 0)),
        ("a window with a bit for 0", window(5, 0b10_1001, 0)),
        ("a window of nothing", window(5, 0, 0)),
    ];
    for (name, image) in &wrong {
        let error = Partition::load(image).err();
        let of_it = |what: &str| what.contains("worker") || what.contains("capacity");
        let is_refused = matches!(error, Some(ImageError::Contradiction(what)) if of_it(what));
        assert!(is_refused, "{name}: {error:?}");
    }
    wrong
}

/// Suspects that no operations lead to.
fn wrong_suspects() -> Vec<(&'static str, Vec<u8>)> {
    let mut wrong = Vec::new();
    let mut add = |name: &'static str, is_wrong: bool, write: &dyn Fn(&mut Body)| {
        let image = suspects(write);
        assert_eq!(Partition::load(&image).is_err(), is_wrong, "{name}");
        if is_wrong {
            wrong.push((name, image));
        }
    };
    let streak = |out: &mut Body, id, rows| _ = out.u64(id).u32(rows).u32(0).u8(0);
    add("streaks", false, &|out| {
        out.u64(0).u64(2);
        streak(out, 5, 1);
        streak(out, 3, 2);
        out.put(&[0; 24]);
    });
    add("a streak twice", true, &|out| {
        out.u64(0).u64(2);
        streak(out, 5, 1);
        streak(out, 5, 2);
        out.put(&[0; 24]);
    });
    add("a streak of no rows", true, &|out| {
        out.u64(0).u64(1);
        streak(out, 5, 0);
        out.put(&[0; 24]);
    });
    let records = |ids: &'static [u64]| {
        move |out: &mut Body| {
            out.put(&[0; 16]).u64(ids.len() as u64);
            ids.iter().for_each(|id| out.record(*id, SCORE, SCORE));
            out.put(&[0; 16]);
        }
    };
    add("samples in quarantine", false, &records(&[3, 5]));
    add("samples in quarantine, out of order", true, &records(&[5, 3]));
    add("a sample twice in quarantine", true, &records(&[5, 5]));
    for score in [f32::NAN, f32::INFINITY] {
        add("a sample in quarantine whose score is no number", true, &|out| {
            out.put(&[0; 16]).u64(1);
            out.record(3, SCORE, score);
            out.put(&[0; 16]);
        });
    }
    add("a suspect in quarantine", true, &|out| {
        out.u64(0).u64(1);
        streak(out, 3, 1);
        out.u64(1);
        out.record(3, SCORE, SCORE);
        out.put(&[0; 16]);
    });
    add("a blocked id in quarantine", true, &|out| {
        out.put(&[0; 16]).u64(1);
        out.record(3, SCORE, SCORE);
        out.u64(0).u64(1).u64(3).u8(0);
    });
    add("a trusted id that is blocked", true, &|out| {
        out.put(&[0; 24]).u64(1).u64(3).u64(1).u64(3).u8(0);
    });
    add("a trusted suspect", true, &|out| {
        out.u64(0).u64(1);
        streak(out, 3, 1);
        out.u64(0).u64(1).u64(3).u64(0);
    });
    add("a blocked id with a payload", true, &|out| {
        out.put(&[0; 32]).u64(1).u64(3).u8(2).u32(1).u8(9);
    });
    let stored = |out: &mut Body| {
        out.hard(&[(7, Node::Leaf(1))], &[Row { id: 3, key: TOP }]).no_side_columns();
        out.background(0, |_, _| {}).no_leases().u64(0);
    };
    let kept_out = |id: u64, blocked: bool| {
        let mut body = Body::new(10, SAMPLED, false);
        stored(&mut body);
        if blocked {
            body.put(&[0; 32]).u64(1).u64(id).u8(0);
        } else {
            body.put(&[0; 16]).u64(1).record(id, SCORE, SCORE);
            body.put(&[0; 16]);
        }
        body.no_expiry().u64(0).sealed()
    };
    for blocked in [false, true] {
        assert!(Partition::load(&kept_out(4, blocked)).is_ok());
        wrong.push(("an id that is kept out, and stored", kept_out(3, blocked)));
    }
    wrong
}

/// Queues of samples that may be dead which no operations lead to.
fn wrong_expiry() -> Vec<(&'static str, Vec<u8>)> {
    let image = |base: i64, entries: &[(i64, u64)]| {
        let mut body = Body::new(10, SAMPLED, false);
        // One sample, of the stamp 0.
        body.hard(&[(7, Node::Leaf(1))], &[Row { id: 3, key: TOP }]).no_side_columns();
        body.background(0, |_, _| {}).no_leases().u64(0).no_suspects();
        body.u8(1).u64(base as u64).u64(entries.len() as u64);
        entries.iter().for_each(|(time, id)| _ = body.u64(*time as u64).u64(*id));
        body.u64(0).sealed()
    };
    for right in [image(5, &[(-3, 9), (0, 3)]), image(5, &[(-3, 3), (-3, 3)])] {
        assert!(Partition::load(&right).is_ok());
    }
    let many: Vec<(i64, u64)> = (0..68).map(|id| (0, id)).collect();
    let wrong = vec![
        ("a sample that nobody will look at", image(5, &[(0, 4)])),
        ("a sample that is looked at too late", image(5, &[(1, 3)])),
        ("times out of order", image(5, &[(0, 3), (-1, 3)])),
        ("more times than there may be", image(5, &many)),
        ("a horizon before all", image(-1, &[(0, 3)])),
        ("a horizon after all", image(i64::MAX, &[(0, 3)])),
    ];
    for (name, image) in &wrong {
        assert!(matches!(Partition::load(image), Err(ImageError::Contradiction(_))), "{name}");
    }
    wrong
}

/// Images with right checksums that no operations lead to.
pub(crate) fn wrong() -> Vec<(&'static str, Vec<u8>)> {
    // A path that is longer than any that operations make: seven tables of a bit each.
    let mut long = Node::Table(6, vec![(0, Node::Leaf(70))]);
    for bits in 7..13 {
        long = Node::Table(bits, vec![(0, long)]);
    }
    let rows: Vec<Row> = (0..70).map(|id| Row { id, key: TOP }).collect();
    let mut zero = dense(|out| _ = out.u64(0).no_leases().u64(1).u64(3).put(&[0, 0]).no_suspects());
    Partition::reseal(&mut zero);
    let few = Node::Table(7, vec![(0, Node::Leaf(40))]);
    let generations = {
        let mut body = Body::new(10, SAMPLED, false);
        body.hard(&[], &[]).no_side_columns();
        body.u64(u64::MAX).u64(1).u64(0);
        body.u64(0).u64(99).u64(EVERY).u64(0).u8(0).u64(5).u8(0).u64(0).u8(0);
        body.no_leases().done()
    };
    // Four bytes for a table are all that these take, and they hold a sample each, or none.
    let chains = |len: u32| {
        let roots: Vec<(u32, Node)> = (0..512)
            .map(|root| {
                let chain = [12, 11, 10, 9, 8, 7, 6].into_iter().rev();
                (root, chain.fold(Node::Leaf(len), |node, bits| Node::Table(bits, vec![(0, node)])))
            })
            .collect();
        let keys = (0..512 * len).map(|root| TOP + (7 << 13) - (root << 13));
        let rows: Vec<Row> = (0..).zip(keys).map(|(id, key)| Row { id, key }).collect();
        hard(&roots, &rows)
    };
    let mut wrong = vec![
        ("chains of tables of nothing", chains(0)),
        ("chains of tables of a sample each", chains(1)),
        ("tables of a bit each", hard(&[(7, long)], &rows)),
        ("a table of a few", hard(&[(7, few)], &rows[..40])),
        ("an empty leaf", hard(&[(7, Node::Leaf(0))], &[])),
        ("an empty table", hard(&[(7, Node::Table(7, vec![]))], &[])),
        ("empty cuts", hard(&[(7, Node::Cuts(vec![]))], &[])),
        ("no serves of an id", zero),
        ("generations without number", generations),
    ];
    wrong.extend(wrong_workers());
    wrong.extend(wrong_suspects());
    wrong.extend(wrong_expiry());
    wrong
}
