# The consumer alone. From the repository's top:
#   docker build -f docker/consumer.Dockerfile -t penstock .
#   docker run --rm penstock run --source 'host=db dbname=shop' --slot shop --to postgresql://…
ARG BASE=debian:12

FROM ${BASE} AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev make pkg-config libpq-dev libprotobuf-c-dev protobuf-c-compiler libxxhash-dev \
        liblz4-dev libini-config-dev libjansson-dev libmicrohttpd-dev libcurl4-openssl-dev
COPY . /src
RUN make -C /src/consumer install PREFIX=/usr DESTDIR=/out

FROM ${BASE}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        libpq5 libprotobuf-c1 libxxhash0 liblz4-1 libini-config5 libjansson4 libmicrohttpd12 libcurl4 && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /out/usr/bin/penstock /usr/bin/penstock
USER 65534:65534
ENTRYPOINT ["penstock"]
