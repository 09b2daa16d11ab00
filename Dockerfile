# The hardneg server: built from source, run from a small image without root.
#     docker build -t hardneg .
#     docker run --rm -p 127.0.0.1:50051:50051 -p 127.0.0.1:50052:50052 hardneg
# The target `load` is ghz with this program's requests (docker compose --profile load up).
ARG RUST_VERSION=1.95
ARG GO_VERSION=1.24
ARG DEBIAN=bookworm

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
WORKDIR /src
# An image is for running: no debug information, no symbols.
ENV CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=symbols

# The dependencies, in a layer of their own that changes only with the manifests: empty crates with every target they name.
COPY Cargo.toml Cargo.lock ./
COPY crates/partition/Cargo.toml crates/partition/
RUN mkdir -p src benches crates/partition/src \
    && echo 'fn main() {}' | tee build.rs src/main.rs \
        $(sed -n '/^\[\[bench\]\]/{n;s|^name = "\(.*\)"$|benches/\1.rs|p}' Cargo.toml) >/dev/null \
    && touch src/lib.rs crates/partition/src/lib.rs \
    && mkdir -p crates/partition/benches \
    && for bench in $(sed -n '/^\[\[bench\]\]/{n;s|^name = "\(.*\)"$|\1|p}' crates/partition/Cargo.toml); do \
        echo 'fn main() {}' >crates/partition/benches/$bench.rs; done \
    && cargo build --release --locked --bin hardneg \
    && rm -r src benches build.rs crates

COPY build.rs ./
COPY proto proto
COPY benches benches
COPY src src
COPY crates crates
# Copied files are as old as the checkout; cargo compares times.
RUN touch build.rs src/lib.rs src/main.rs crates/partition/src/lib.rs && cargo build --release --locked --bin hardneg

FROM golang:${GO_VERSION}-${DEBIAN} AS ghz
ARG GHZ_VERSION=v0.93.0
RUN CGO_ENABLED=0 go install github.com/bojand/ghz/cmd/ghz@${GHZ_VERSION}

FROM debian:${DEBIAN}-slim AS load
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends python3 python3-matplotlib >/dev/null \
    && rm -rf /var/lib/apt/lists/* && install -d -o 65532 -g 65532 /out
COPY --from=ghz /go/bin/ghz /usr/local/bin/
COPY --from=build /src/target/release/hardneg /usr/local/bin/hardneg
COPY deploy/ghz/run deploy/ghz/report.py deploy/ghz/common.json /opt/ghz/
ENV OUT=/out MPLCONFIGDIR=/tmp
USER 65532:65532
ENTRYPOINT ["/opt/ghz/run"]

# Last, and so what `docker build` makes.
FROM debian:${DEBIAN}-slim AS server
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
