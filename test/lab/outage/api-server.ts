/**
 * Stands in for the Kubernetes API server behind the endpoint name: TLS with the cluster's own authority, a client
 * certificate asked for, and `/version` as kubectl reads it.
 *
 *     node api-server.ts <folder with ca.crt, server.crt and server.key> <address> ...
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
const pem = (name: string): Buffer => readFileSync(join(folder, name));
const tls = {
  ca: pem('ca.crt'),
  cert: pem('server.crt'),
  key: pem('server.key'),
  requestCert: true,
  rejectUnauthorized: true,
};
for (const host of addresses) {
  const server = createServer(tls, (request, response) => {
    const isKnown = request.url?.split('?')[0] === '/version';
    response.writeHead(isKnown ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isKnown ? VERSION : { kind: 'Status', status: 'Failure', code: 404 }));
  });
  await new Promise<void>((resolve) => server.listen({ host, port: 443 }, resolve));
}
console.log('ready');
