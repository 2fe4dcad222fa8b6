/** Providers on this host that refuse, hang or have nothing: a matter of credentials, never evidence of a cut. */
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { evidenceOf } from '../../src/refresh/cluster-sources.ts';
import { PATIENCE_MS } from '../helpers/patience.ts';
import { clientsFor, credentialFiles, sourcesAt, startRegion } from './region.ts';

async function listening(t: Test, onConnection: Parameters<typeof createServer>[1]): Promise<string> {
  const server: Server = createServer(onConnection).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  return `http://127.0.0.1:${address.port}`;
}

const REFUSED = 'http://127.0.0.1:9';

for (const [what, environment] of [
  ['no metadata service', async () => ({ AWS_EC2_METADATA_SERVICE_ENDPOINT: REFUSED })],
  [
    'a metadata service that is silent',
    async (t: Test) => {
      const endpoint = await listening(t, (socket) => {
        t.teardown(() => socket.destroy());
      });
      return { AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint };
    },
  ],
  [
    'a metadata service that resets',
    async (t: Test) => ({
      AWS_EC2_METADATA_SERVICE_ENDPOINT: await listening(t, (socket) => socket.resetAndDestroy()),
    }),
  ],
  [
    'a container endpoint that refuses',
    async () => ({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${REFUSED}/get` }),
  ],
  [
    'a container endpoint that resets',
    async (t: Test) => ({
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${await listening(t, (socket) => socket.resetAndDestroy())}/get`,
    }),
  ],
  [
    'a web identity whose token file is gone',
    async (_t: Test, folder: string) => ({
      AWS_ROLE_ARN: 'arn:aws:iam::111122223333:role/site',
      AWS_WEB_IDENTITY_TOKEN_FILE: join(folder, 'nothing'),
    }),
  ],
] as const) {
  t.test(`${what}: no credentials, and no word about the link`, async (t) => {
    const sandbox = await startRegion(t);
    const files = credentialFiles(t);
    delete process.env['AWS_EC2_METADATA_DISABLED'];
    Object.assign(process.env, await environment(t, files.directory));
    const observe = sourcesAt(sandbox, clientsFor(t));
    for (let times = 0; times < 2; times++) {
      const observation = await observe('interfaces', {}, AbortSignal.timeout(PATIENCE_MS));
      t.match(observation, { kind: 'failed', reason: 'no-credentials', reachedFarSide: false });
      const ending = { observation, startedMs: 0, durationMs: 1, isUnsettled: false, isLate: false };
      t.equal(evidenceOf(ending, 'us-west-2'), undefined);
    }
    t.equal(sandbox.region.requests.length, 0, 'nothing was sent');
  });
}
