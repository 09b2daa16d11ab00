//! Images that were changed: each is refused, or loads as a partition that behaves, and none makes `load` take more memory than its doc
//! comment says.
//!
//! `HARDNEG_MUTANTS=n` sets how many mutants each test makes: 250,000 of samples and 100,000 of anchors where it is not set.
//! `HARDNEG_SEEDS=folder` is where the images of samples are written, as seeds for the fuzzer (`make fuzz`).

mod anchors;
mod driver;
mod machine;
mod memory;
mod mutate;
mod random;
mod samples;
