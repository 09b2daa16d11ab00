//! A ring buffer of nodes with consecutive numbers, and a bitmap of those that are occupied.

use super::Node;

/// Nodes of up to `CAPACITY` (a power of two, at least 64) consecutive numbers.
#[derive(Debug)]
pub(super) struct Ring<const CAPACITY: usize> {
    /// Empty until a node is entered.
    nodes: Vec<Node>,
    /// A bit for each node: whether it is occupied.
    occupied: Vec<u64>,
}

impl<const CAPACITY: usize> Ring<CAPACITY> {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), occupied: Vec::new() }
    }

    #[inline]
    fn index(number: i64) -> usize {
        number as usize % CAPACITY
    }

    #[inline]
    pub(super) fn get(&self, number: i64) -> Node {
        self.nodes.get(Self::index(number)).copied().unwrap_or(Node::NONE)
    }

    pub(super) fn set(&mut self, number: i64, node: Node) {
        if self.nodes.is_empty() {
            self.nodes = vec![Node::NONE; CAPACITY];
            self.occupied = vec![0; CAPACITY / 64];
        }
        let at = Self::index(number);
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
        let mut number = if self.nodes.is_empty() { to + 1 } else { from };
        while number <= to {
            let at = Self::index(number);
            let word = self.occupied[at / 64] >> (at % 64);
            if word != 0 {
                return Some(number + i64::from(word.trailing_zeros())).filter(|found| *found <= to);
            }
            number += 64 - (at % 64) as i64;
        }
        None
    }

    /// The lowest node of a range of numbers.
    pub(super) fn lowest(&self, (from, to): (i64, i64)) -> Option<Node> {
        self.first(from, to).map(|number| self.get(number))
    }

    /// Visits the nodes of a range of numbers, the highest first, until `visit` returns false. Returns whether it visited all.
    pub(super) fn down(&self, (from, mut to): (i64, i64), mut visit: impl FnMut(i64, Node) -> bool) -> bool {
        while let Some(number) = self.last(from, to) {
            if !visit(number, self.get(number)) {
                return false;
            }
            to = number - 1;
        }
        true
    }

    /// The last occupied number of `from..=to`.
    pub(super) fn last(&self, from: i64, to: i64) -> Option<i64> {
        let mut number = if self.nodes.is_empty() { from - 1 } else { to };
        while number >= from {
            let at = Self::index(number);
            let word = self.occupied[at / 64] << (63 - at % 64);
            if word != 0 {
                return Some(number - i64::from(word.leading_zeros())).filter(|found| *found >= from);
            }
            number -= (at % 64) as i64 + 1;
        }
        None
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.occupied.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occupied_numbers_are_found_from_both_ends() {
        let mut ring: Ring<512> = Ring::new();
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
