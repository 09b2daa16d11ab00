//! Images that take as much memory per byte as images of their kind can.

use super::{Applied, Body, Node, Row, SAMPLED, SCORE, TOP, beside, by_rank, dense, hard, suspects, workers};

/// An image of cuts with parts of one sample each.
fn sparse_cuts() -> Vec<u8> {
    let n = 40_000;
    let table = |bits, node| Node::Table(bits, vec![(0, node)]);
    let rows: Vec<Row> = by_rank(n).into_iter().map(|id| Row { id, key: TOP }).collect();
    hard(&[(7, table(7, table(1, table(0, Node::Cuts(vec![1; n as usize])))))], &rows)
}

/// An image with its name and the most times its bytes that loading it may take.
type Costly = (&'static str, f64, Vec<u8>);

/// A number of items at which maps and vectors have just doubled.
const N: u64 = (1 << 14) * 7 / 8 + 1;

/// Images that take as much memory per byte as images of their kind can.
pub(crate) fn costly() -> Vec<Costly> {
    [in_hard(), in_background(), in_dense_space(), in_quarantine()].concat()
}

fn in_hard() -> Vec<Costly> {
    vec![
        ("samples in full leaves", 1.75, beside(N, false, |out| _ = out.no_side_columns())),
        ("a sample a leaf", 8.2, sparse_leaves(16)),
        ("a sample a part of cuts", 6.9, sparse_cuts()),
        (
            "a stratum a sample",
            11.0,
            beside(N, false, |out| {
                out.put(&[0, 0, 1]);
                (0..N).for_each(|id| _ = out.u32(id as u32 + 1));
                out.put(&[0, 0]);
            }),
        ),
        (
            "names without letters",
            4.25,
            beside(N, true, |out| {
                out.put(&[0, 0, 0, 0, 1]);
                (0..N).for_each(|_| _ = out.u8(1).u32(0));
            }),
        ),
        (
            "payloads of a byte",
            4.5,
            beside(N, true, |out| {
                out.put(&[0, 0, 0, 0, 1]);
                (0..N).for_each(|_| _ = out.u8(2).u32(1).u8(0));
            }),
        ),
        (
            "one name",
            2.0,
            beside(N, true, |out| {
                out.put(&[0, 0, 0, 0, 1]).u8(1).u32(0);
                (1..N).for_each(|_| _ = out.u8(0));
            }),
        ),
    ]
}

fn in_background() -> Vec<Costly> {
    let member = |out: &mut Body, id: u64, stratum: bool, attachment: &[u8]| {
        out.u32(if stratum { id as u32 + 1 } else { 0 }).u64(0).put(attachment);
    };
    let members = |named, stratum, attachment: &'static [u8]| {
        let mut body = Body::new(1 << 30, SAMPLED, named);
        body.hard(&[], &[]).no_side_columns();
        body.background(N, |out, id| member(out, id, stratum, attachment)).no_leases().done()
    };
    vec![
        ("members", 2.0, members(false, false, &[0])),
        ("members with a stratum each", 2.5, members(false, true, &[0])),
        ("members with names without letters", 3.5, members(true, false, &[1, 0, 0, 0, 0])),
    ]
}

fn in_dense_space() -> Vec<Costly> {
    vec![
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
                out.u64(0).u64(N).u64(0);
                (0..N).for_each(|id| _ = out.u64(16).u64(id).u8(0));
                out.u64(0).no_suspects();
            }),
        ),
        (
            "leases of members",
            5.0,
            dense(|out| {
                out.u64(0).u64(N).u64(0);
                (0..N).for_each(|id| _ = out.u64(16).u64(id).u8(7).u64(0).u64(id));
                out.u64(0).no_suspects();
            }),
        ),
        (
            "serves of what is stored nowhere",
            4.5,
            dense(|out| {
                out.u64(0).no_leases().u64(N);
                (0..N).for_each(|id| _ = out.u64(id).put(&[1, 0]));
                out.no_suspects();
            }),
        ),
    ]
}

fn in_quarantine() -> Vec<Costly> {
    vec![
        (
            "streaks",
            2.5,
            suspects(|out| {
                out.u64(0).u64(N);
                (0..N).for_each(|id| _ = out.u64(id).u32(1).u32(0).u8(0));
                out.put(&[0; 24]);
            }),
        ),
        (
            "samples in quarantine",
            6.0,
            suspects(|out| {
                out.put(&[0; 16]).u64(N);
                (0..N).for_each(|id| out.record(id, SCORE, SCORE));
                out.put(&[0; 16]);
            }),
        ),
        (
            "trusted ids",
            2.5,
            suspects(|out| {
                out.put(&[0; 24]).u64(N);
                (0..N).for_each(|id| _ = out.u64(id));
                out.u64(0);
            }),
        ),
        (
            "blocked ids",
            6.25,
            suspects(|out| {
                out.put(&[0; 32]).u64(N);
                (0..N).for_each(|id| _ = out.u64(id).u8(0));
            }),
        ),
        (
            "workers without gaps",
            2.0,
            workers((0..N as u32).map(|name| (name.into(), Applied::Run(5000, 7)))),
        ),
        (
            "workers with windows",
            1.25,
            workers((0..N as u32).map(|name| (name.into(), Applied::Window(1024, [5; 16])))),
        ),
    ]
}

/// An image with nearly as many leaves as samples.
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
