# syntax=docker/dockerfile:1
# Build: docker build -t outpost-dns .    Run: see docs/container.md
ARG NODE_IMAGE=node:26-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build

FROM ${NODE_IMAGE}
# /build/dist/outpost-dns brings its own runtime, the one that the tests ran on
COPY --from=build /build/dist/outpost-dns /usr/lib/outpost-dns
RUN ln -s /usr/lib/outpost-dns/bin/outpost-dns /usr/local/bin/outpost-dns \
 && install -d -o 65532 -g 65532 -m 0750 /var/lib/outpost-dns \
 && install -d -m 0755 /etc/outpost-dns \
 # npm, yarn and corepack have no business in a server's image
 && rm -rf /usr/local/lib/node_modules /opt/yarn* /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/yarn* /usr/local/bin/corepack

# nobody special: port 53 is reached through the runtime's net.ipv4.ip_unprivileged_port_start=0, which Docker sets
USER 65532:65532
ENV HOME=/var/lib/outpost-dns
VOLUME /var/lib/outpost-dns
EXPOSE 53/udp 53/tcp 9153/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["outpost-dns", "status", "--healthy"]
ENTRYPOINT ["outpost-dns"]
CMD ["serve", "--config", "/etc/outpost-dns/outpost-dns.yaml"]
