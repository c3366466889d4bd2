# One image, one binary, roles by subcommand: serve (front-end and workers), work, migrate, check, sandbox.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin sluse

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 sluse \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/sluse --create-home sluse
COPY --from=build /build/target/release/sluse /usr/local/bin/sluse
USER 10001:10001
WORKDIR /var/lib/sluse
# PUBLIC_BASE_URL is where browsers and banks reach the service; JWT_SECRET has no default and must be given.
ENV BIND=0.0.0.0:8080 PUBLIC_BASE_URL=http://localhost:8080 \
    DATABASE_URL=sqlite:///var/lib/sluse/sluse.db LOG_FORMAT=json
EXPOSE 8080
VOLUME /var/lib/sluse
STOPSIGNAL SIGTERM
ENTRYPOINT ["sluse"]
CMD ["serve"]
