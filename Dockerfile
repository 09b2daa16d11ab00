# The hardneg server: built from source, run from a small image without root.
#     docker build -t hardneg .
#     docker run --rm -p 127.0.0.1:50051:50051 -p 127.0.0.1:50052:50052 hardneg
ARG RUST_VERSION=1.95
ARG DEBIAN=bookworm

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
WORKDIR /src
# An image is for running: no debug information, no symbols.
ENV CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=symbols

# The dependencies, in a layer of their own that changes only with the manifest: an empty crate that names them all.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches \
    && echo 'fn main() {}' | tee build.rs src/main.rs benches/store.rs benches/mining.rs benches/service.rs >/dev/null \
    && touch src/lib.rs \
    && cargo build --release --locked --bin hardneg \
    && rm -r src benches build.rs

COPY build.rs ./
COPY proto proto
COPY benches benches
COPY src src
# Copied files are as old as the checkout; cargo compares times.
RUN touch build.rs src/lib.rs src/main.rs && cargo build --release --locked --bin hardneg

FROM debian:${DEBIAN}-slim
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hardneg" \
      org.opencontainers.image.description="Serves hard negatives to distributed trainers over gRPC" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /src/target/release/hardneg /usr/local/bin/hardneg
# Within a container loopback reaches nobody, so it listens on every address, and says so. There is no authentication:
# publish the ports on loopback, or on a network that only trainers reach.
ENV HARDNEG_LISTEN=0.0.0.0:50051 \
    HARDNEG_HTTP_LISTEN=0.0.0.0:50052 \
    HARDNEG_INSECURE=true
USER 65532:65532
EXPOSE 50051 50052
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=3s --start-period=10s --retries=5 CMD ["/usr/local/bin/hardneg", "health", "--quiet"]
ENTRYPOINT ["/usr/local/bin/hardneg"]
CMD ["serve"]
