//! Compiles the contract with protox, so that nobody needs protoc.

use std::{env, error::Error, path::PathBuf};

const PROTOS: [&str; 2] = ["proto/hardneg/v1/pool_service.proto", "proto/hardneg/v1/mining_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    // tonic-build's own emit_rerun_if_changed has no effect with compile_fds.
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    std::fs::write(out.join("hardneg_descriptor.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        // The feature `client` alone has no use for the traits of a server.
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        // Byte columns stay slices of the receive buffer until they are decoded.
        .bytes(".hardneg.v1")
        .extern_path(".google.rpc.Status", "::tonic_types::pb::Status")
        .compile_fds(descriptors)?;
    Ok(())
}
