//! The only module with `unsafe`: prefetches, and requests for huge pages. They affect speed only, never a result.

#![allow(unsafe_code)]

/// Arrays of at least this many bytes use huge pages. Smaller ones would be rounded up to much more than their size.
const HUGE_FROM_BYTES: usize = 2 << 20;

/// Prefetches all of `slice[index]`. Does nothing if the index is out of range.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(place) = slice.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        let first = std::ptr::from_ref(place).cast::<i8>();
        // SAFETY: the addresses are of the first and the last byte of a live element; prefetching reads nothing that the
        // program can observe, and SSE is part of every x86_64.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(first);
            if first as usize % LINE > LINE.saturating_sub(size_of::<T>()) {
                // The element lies across two lines.
                _mm_prefetch::<_MM_HINT_T0>(first.add(size_of::<T>() - 1));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}

/// Requests huge pages for a large array that has not been touched yet. Random access to gigabytes in pages of 4 KiB spends more time on
/// TLB misses than on the data.
pub(crate) fn huge_pages<T>(slice: &[T]) {
    #[cfg(target_os = "linux")]
    if size_of_val(slice) >= HUGE_FROM_BYTES {
        // The kernel takes whole pages, so only those that lie inside the array are named.
        const PAGE: usize = 64 << 10;
        let range = slice.as_ptr_range();
        let start = (range.start as usize).next_multiple_of(PAGE);
        let end = range.end as usize / PAGE * PAGE;
        // SAFETY: the pages are inside one live allocation; MADV_HUGEPAGE changes how they are mapped, not what they hold.
        // Where the kernel has no huge pages it refuses, which changes nothing.
        let _ = unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = slice;
}
