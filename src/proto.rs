//! The generated code of the contract `hardneg.v1`, and the codec of its columns.

pub mod columns;

#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod v1 {
    tonic::include_proto!("hardneg.v1");
}

/// The compiled descriptors of the contract, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hardneg_descriptor.bin"));
