# syntax=docker/dockerfile:1
# Build: docker build -t outpost-dns .    Run: see docs/container.md
# By the digests of their multi-platform indexes: a tag may change its image, a digest cannot. Each release checks for newer images.
ARG NODE_IMAGE=node:26.10.0-bookworm-slim@sha256:662933cf47f013bc8e4beb31a6116448427a82057ba7c42c97e4c5ba766504c2
ARG BASE_IMAGE=debian:bookworm-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251

FROM ${NODE_IMAGE} AS build
# strip(1): the runtime's symbols are a quarter of its size
RUN apt-get update \
 && apt-get install -y --no-install-recommends binutils
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build -- --strip

FROM ${BASE_IMAGE}
# the one library that the runtime needs and Debian's slim image lacks
RUN apt-get update \
 && apt-get install -y --no-install-recommends libatomic1 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
# brings its own runtime, the one that the tests ran on: no npm and no second Node in this stage
COPY --from=build /build/dist/outpost-dns /usr/lib/outpost-dns
RUN ln -s /usr/lib/outpost-dns/bin/outpost-dns /usr/local/bin/outpost-dns \
 && install -d -m 0755 /etc/outpost-dns \
# group 0 may write there: OpenShift runs an image as a user that it makes up, in this group
 && install -d -o 65532 -g 0 -m 0770 /var/lib/outpost-dns

# an unprivileged user: port 53 is open to it through the runtime's net.ipv4.ip_unprivileged_port_start=0, which Docker sets
USER 65532:65532
ENV HOME=/var/lib/outpost-dns
# memory of clients that never read returns to the host when they leave (mallopt(3))
ENV MALLOC_MMAP_THRESHOLD_=98304
VOLUME /var/lib/outpost-dns
EXPOSE 53/udp 53/tcp 9153/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["outpost-dns", "status", "--healthy"]
ENTRYPOINT ["outpost-dns"]
CMD ["serve", "--config", "/etc/outpost-dns/outpost-dns.yaml"]
