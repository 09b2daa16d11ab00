//! A macro for structs of counters: their fields as an array, and the sum of two structs.

/// Implements `numbers`, `numbers_mut` and `add_numbers` for a struct of `u64` counters, in the order in which its fields are listed.
/// Fields that are not counters are listed after `besides`. The macro does not compile while a field is not listed.
macro_rules! counters {
    ($type:ident { $($counter:ident),+ $(,)? } $(besides $($other:ident),+)?) => {
        impl $type {
            /// The counters, in the order in which images store them.
            pub(crate) fn numbers(mut self) -> [u64; [$(stringify!($counter)),+].len()] {
                self.numbers_mut().map(|number| *number)
            }

            /// The counters, in the order of [`Self::numbers`].
            pub(crate) fn numbers_mut(&mut self) -> [&mut u64; [$(stringify!($counter)),+].len()] {
                let Self { $($counter,)+ $($($other: _,)+)? } = self;
                [$($counter),+]
            }

            /// Adds the counters of `more`; a sum saturates.
            fn add_numbers(&mut self, more: &Self) {
                for (sum, more) in self.numbers_mut().into_iter().zip(more.numbers()) {
                    *sum = sum.saturating_add(more);
                }
            }
        }
    };
}

pub(crate) use counters;
