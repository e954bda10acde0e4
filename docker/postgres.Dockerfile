# PostgreSQL with the plugin, on the official image for Debian 12. From the repository's top:
#   docker build -f docker/postgres.Dockerfile -t postgres-penstock .
ARG BASE=postgres:15-bookworm

FROM ${BASE} AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev make libprotobuf-c-dev protobuf-c-compiler postgresql-server-dev-${PG_MAJOR:-15}
COPY . /src
RUN make -C /src/plugin install DESTDIR=/out

FROM ${BASE}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        libprotobuf-c1 && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /
CMD ["postgres", "-c", "wal_level=logical", \
     "-c", "output_plugin_libraries=pgoutput,test_decoding,penstock"]
