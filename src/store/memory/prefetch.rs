//! The one module with `unsafe`: asking the processor to load a cache line early. Never needed for a right result.

#![allow(unsafe_code)]

/// Starts loading `slice[index]` into the cache. Out of range: nothing happens.
#[inline(always)]
pub(super) fn prefetch<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(place) = slice.get(index) {
        // SAFETY: the address is of a live element; prefetching reads nothing that the program can observe, and SSE is
        // part of every x86_64.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}
