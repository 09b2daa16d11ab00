//! Images with right checksums that no operations lead to.

use hardneg_partition::{ImageError, Partition};

use super::{Applied, Body, EVERY, Node, Row, SAMPLED, SCORE, TOP, dense, hard, suspects, workers};

/// Dedupe states that no reports lead to.
fn wrong_workers() -> Vec<(&'static str, Vec<u8>)> {
    let one = |applied| workers([(3, applied)].into_iter());
    let window = |highest, first, others| {
        let mut words = [others; 16];
        words[0] = first;
        one(Applied::Window(highest, words))
    };
    let two = || workers([(3, Applied::Run(5, 1)), (4, Applied::Run(5, 1))].into_iter());
    // The limit on workers in the spec.
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

/// Quarantines that no operations lead to.
fn wrong_suspects() -> Vec<(&'static str, Vec<u8>)> {
    let mut wrong = Vec::new();
    let mut add = |name: &'static str, is_wrong: bool, write: &dyn Fn(&mut Body)| {
        let image = suspects(write);
        assert_eq!(Partition::load(&image).is_err(), is_wrong, "{name}");
        if is_wrong {
            wrong.push((name, image));
        }
    };
    add("streaks", false, &|out| {
        out.u64(0).u64(2);
        out.streak(5, 1);
        out.streak(3, 2);
        out.put(&[0; 24]);
    });
    add("a streak twice", true, &|out| {
        out.u64(0).u64(2);
        out.streak(5, 1);
        out.streak(5, 2);
        out.put(&[0; 24]);
    });
    add("a streak of no rows", true, &|out| {
        out.u64(0).u64(1);
        out.streak(5, 0);
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
        out.streak(3, 1);
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
        out.streak(3, 1);
        out.u64(0).u64(1).u64(3).u64(0);
    });
    add("a blocked id with a payload", true, &|out| {
        out.put(&[0; 32]).u64(1).u64(3).u8(2).u32(1).u8(9);
    });
    wrong
}

/// Ids that are stored, and in quarantine or blocked.
fn kept_out_and_stored() -> Vec<(&'static str, Vec<u8>)> {
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
    [false, true]
        .map(|blocked| {
            assert!(Partition::load(&kept_out(4, blocked)).is_ok());
            ("an id that is kept out, and stored", kept_out(3, blocked))
        })
        .into()
}

/// Expiry queues that no operations lead to.
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
    // A path that is deeper than any that operations make: seven tables of one bit each.
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
    // Chains of tables that take four bytes each in the image, and hold one sample or none.
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
    wrong.extend(kept_out_and_stored());
    wrong.extend(wrong_expiry());
    wrong
}
