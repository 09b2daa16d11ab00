//! Nodes by consecutive numbers, in a ring with a bitmap of the occupied places.

use super::Node;

/// Places in a ring.
pub(super) const PLACES: i64 = 512;
const WORDS: usize = PLACES as usize / 64;

/// Nodes of up to [`PLACES`] consecutive numbers.
#[derive(Debug)]
pub(super) struct Ring {
    /// Empty until a node is entered.
    nodes: Vec<Node>,
    occupied: [u64; WORDS],
}

impl Ring {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), occupied: [0; WORDS] }
    }

    #[inline]
    fn place(number: i64) -> usize {
        (number & (PLACES - 1)) as usize
    }

    #[inline]
    pub(super) fn get(&self, number: i64) -> Node {
        self.nodes.get(Self::place(number)).copied().unwrap_or(Node::NONE)
    }

    pub(super) fn set(&mut self, number: i64, node: Node) {
        if self.nodes.is_empty() {
            self.nodes = vec![Node::NONE; PLACES as usize];
        }
        let at = Self::place(number);
        self.nodes[at] = node;
        let bit = 1 << (at % 64);
        if node == Node::NONE {
            self.occupied[at / 64] &= !bit;
        } else {
            self.occupied[at / 64] |= bit;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.occupied.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The first occupied number of `from..=to`.
    pub(super) fn first(&self, from: i64, to: i64) -> Option<i64> {
        let mut number = from;
        while number <= to {
            let at = Self::place(number);
            let word = self.occupied[at / 64] >> (at % 64);
            if word != 0 {
                return Some(number + i64::from(word.trailing_zeros())).filter(|found| *found <= to);
            }
            number += 64 - (at % 64) as i64;
        }
        None
    }

    /// The last occupied number of `from..=to`.
    pub(super) fn last(&self, from: i64, to: i64) -> Option<i64> {
        let mut number = to;
        while number >= from {
            let at = Self::place(number);
            let word = self.occupied[at / 64] << (63 - at % 64);
            if word != 0 {
                return Some(number - i64::from(word.leading_zeros())).filter(|found| *found >= from);
            }
            number -= (at % 64) as i64 + 1;
        }
        None
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occupied_numbers_are_found_from_both_ends() {
        let mut ring = Ring::new();
        assert_eq!((ring.first(-5, 500), ring.last(-5, 500)), (None, None));
        for number in [-3, 60, 64, 400] {
            ring.set(number, Node::leaf(7));
        }
        assert_eq!(ring.len(), 4);
        assert_eq!((ring.first(-5, 500), ring.last(-5, 500)), (Some(-3), Some(400)));
        assert_eq!((ring.first(-2, 59), ring.last(-2, 59)), (None, None));
        assert_eq!((ring.first(61, 64), ring.last(61, 399)), (Some(64), Some(64)));
        ring.set(64, Node::NONE);
        assert_eq!(ring.first(61, 500), Some(400));
    }
}
