//! An array that grows in segments. Segments never move, so growing copies nothing and does not stall operations.

use bytemuck::Zeroable;

use super::prefetch::{huge_pages, prefetch};

/// The size to grow to when `needed` items of `capacity` must fit: 1/256 of the capacity, 1/16, or all. So a pool with few samples takes
/// little memory.
pub(crate) fn stage(capacity: usize, needed: usize) -> usize {
    const FIRST: usize = 1024;
    [capacity / 256, capacity / 16]
        .into_iter()
        .map(|size| size.max(FIRST))
        .find(|size| *size >= needed)
        .map_or(capacity, |size| size.min(capacity))
        .max(needed)
}

/// An array in segments, with zeroed items.
#[derive(Debug)]
pub(crate) struct Segments<T> {
    /// The last segment, which has nearly all items once there are several.
    last: Box<[T]>,
    /// The number of items before the last segment.
    start: usize,
    /// The earlier segments, each with the number of items before it.
    earlier: Vec<(usize, Box<[T]>)>,
}

impl<T: Zeroable> Segments<T> {
    pub(crate) fn new() -> Self {
        Self { last: Box::default(), start: 0, earlier: Vec::new() }
    }

    /// The number of items in all segments.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.start + self.last.len()
    }

    /// Adds a segment, so that there is room for `to` items.
    pub(crate) fn grow(&mut self, to: usize) {
        let added = to.saturating_sub(self.capacity());
        if added == 0 {
            return;
        }
        // The allocator hands out zeroed pages that cost nothing until they are touched.
        let segment = bytemuck::allocation::zeroed_slice_box(added);
        huge_pages(&segment);
        let (start, full) = (self.capacity(), std::mem::replace(&mut self.last, segment));
        if !full.is_empty() {
            self.earlier.push((self.start, full));
        }
        self.start = start;
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> &T {
        match at.checked_sub(self.start) {
            Some(at) => &self.last[at],
            None => self.get_earlier(at),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> &mut T {
        match at.checked_sub(self.start) {
            Some(at) => &mut self.last[at],
            None => self.get_earlier_mut(at),
        }
    }

    #[cold]
    fn get_earlier_mut(&mut self, at: usize) -> &mut T {
        let (segment, start) = self.segment_of(at);
        &mut self.earlier[segment].1[at - start]
    }

    #[cold]
    fn get_earlier(&self, at: usize) -> &T {
        let (segment, start) = self.segment_of(at);
        &self.earlier[segment].1[at - start]
    }

    fn segment_of(&self, at: usize) -> (usize, usize) {
        let segment = self.earlier.partition_point(|(start, _)| *start <= at) - 1;
        (segment, self.earlier[segment].0)
    }

    /// Starts loading an item.
    #[inline]
    pub(crate) fn prefetch(&self, at: usize) {
        match at.checked_sub(self.start) {
            Some(at) => prefetch(&self.last, at),
            None => prefetch(std::slice::from_ref(self.get_earlier(at)), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_keeps_every_item() {
        let mut items: Segments<u32> = Segments::new();
        for (size, more) in [(0, 3), (3, 10), (10, 11), (11, 500)] {
            assert_eq!(items.capacity(), size);
            items.grow(more);
            for at in size..more {
                assert_eq!(*items.get(at), 0);
                *items.get_mut(at) = at as u32;
            }
            assert!((0..more).all(|at| *items.get(at) == at as u32));
        }
    }

    #[test]
    fn stages_are_few_and_never_too_small() {
        assert_eq!(stage(100, 1), 100);
        assert_eq!(stage(1 << 20, 1), 4096);
        assert_eq!(stage(1 << 20, 4097), 65_536);
        assert_eq!(stage(1 << 20, 65_537), 1 << 20);
        assert_eq!(stage(1 << 20, (1 << 20) + 5), (1 << 20) + 5);
    }
}
