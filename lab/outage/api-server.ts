/**
 * Plays the Kubernetes API server of the endpoint name: TLS with the cluster's own authority, and a request for a client
 * certificate. It has `/version` as kubectl reads it, and the EndpointSlices of `default/kubernetes`.
 *
 *     node api-server.ts <folder> <address> ...
 *
 * In the folder: ca.crt, server.crt, server.key, and in `view` the addresses that the cluster has by its own account.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';

const VERSION = {
  major: '1',
  minor: '33',
  gitVersion: 'v1.33.4-eks-0000000',
  gitCommit: '0000000000000000000000000000000000000000',
  gitTreeState: 'clean',
  buildDate: '2026-01-15T09:30:00Z',
  goVersion: 'go1.24.5',
  compiler: 'gc',
  platform: 'linux/amd64',
};

const [folder = '', ...addresses] = process.argv.slice(2);
const read = (name: string): Buffer => readFileSync(join(folder, name));
const tls = {
  ca: read('ca.crt'),
  cert: read('server.crt'),
  key: read('server.key'),
  requestCert: true,
  rejectUnauthorized: true,
};

function slices(): object {
  const view = read('view').toString().trim().split(/\s+/);
  return {
    kind: 'EndpointSliceList',
    apiVersion: 'discovery.k8s.io/v1',
    metadata: { resourceVersion: '1' },
    items: [
      {
        addressType: 'IPv4',
        endpoints: view.map((address) => ({ addresses: [address], conditions: { ready: true } })),
        ports: [{ name: 'https', port: 443, protocol: 'TCP' }],
      },
    ],
  };
}

function body(path: string | undefined): object | undefined {
  if (path === '/version') return VERSION;
  return path === '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices' ? slices() : undefined;
}

for (const host of addresses) {
  const server = createServer(tls, (request, response) => {
    const found = body(request.url?.split('?')[0]);
    response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(found ?? { kind: 'Status', status: 'Failure', code: 404 }));
  });
  await new Promise<void>((resolve) => server.listen({ host, port: 443 }, resolve));
}
console.log('ready');
