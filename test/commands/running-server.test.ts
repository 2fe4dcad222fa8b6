import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startHttpServer } from '../../src/admin/http-server.ts';
import { createPages } from '../../src/admin/pages.ts';
import { findPlace, type Places } from '../../src/commands/running-server.ts';
import { ROOM_REPORTS, type StatusReport } from '../../src/daemon/report.ts';
import { report } from '../admin/report-fixture.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { writeConfig } from './state-files.ts';

// no sandbox of this user, and no configuration in the environment
const temporary = mkdtempSync(join(tmpdir(), 'running-server-'));
process.env['TMPDIR'] = temporary;
t.teardown(() => rmSync(temporary, { recursive: true }));

const NOWHERE: Places = {
  admin: { address: '127.0.0.1', port: 1 },
  dns: { address: '127.0.0.1', port: 53 },
  stateDirectory: '/nonexistent',
};

/** A server at the default address of HTTP whose report says this. */
async function defaults(t: Test, changes: { listening: string; directory: string }): Promise<Places> {
  const base = report();
  const read = (): StatusReport => ({
    ...base,
    server: { ...base.server, listening: [{ address: changes.listening, udp: 'plain' }] },
    state: { ...base.state, directory: changes.directory },
  });
  let nowMs = 0;
  const clock = { monotonicMs: () => (nowMs += 1000) };
  const pages = createPages({ reports: ROOM_REPORTS, status: read, processMetrics: false, clock });
  const server = await startHttpServer({ address: '127.0.0.1', port: 0, pages, log: new CollectingLog() });
  t.teardown(() => server.close());
  return { ...NOWHERE, admin: { address: '127.0.0.1', port: server.port } };
}

t.test('a flag wins, then the configuration that is named', async (t) => {
  t.equal(await findPlace('stateDirectory', '/flag', '/nonexistent.yaml', NOWHERE), '/flag');
  const more = 'listen: {dns: ["0.0.0.0:5353"]}\nadmin: {listen: "[::]:9999"}\n';
  const config = await writeConfig(t.testdir(), '/state', more);
  t.equal(await findPlace('stateDirectory', undefined, config, NOWHERE), '/state');
  t.strictSame(await findPlace('dns', undefined, config, NOWHERE), { address: '127.0.0.1', port: 5353 });
  t.strictSame(await findPlace('admin', undefined, config, NOWHERE), { address: '::1', port: 9999 });
});

t.test(
  'without a configuration: the report of the server at the default address names its places',
  async (t) => {
    const own = t.testdir();
    const places = await defaults(t, { listening: '0.0.0.0:5399', directory: own });
    t.strictSame(await findPlace('admin', undefined, undefined, places), places.admin);
    t.strictSame(await findPlace('dns', undefined, undefined, places), { address: '127.0.0.1', port: 5399 });
    t.equal(await findPlace('stateDirectory', undefined, undefined, places), own);
  },
);

t.test('a state directory of another user, or none, is not taken from a report', async (t) => {
  for (const directory of ['/nonexistent/state', process.getuid?.() === 0 ? '/dev/null' : '/']) {
    const places = await defaults(t, { listening: '127.0.0.1:53', directory });
    t.equal(await findPlace('stateDirectory', undefined, undefined, places), '/nonexistent', directory);
  }
});

t.test('without a server, the state directory of one that ran is found', async (t) => {
  const places = { ...NOWHERE, stateDirectory: t.testdir() };
  t.equal(await findPlace('stateDirectory', undefined, undefined, places), places.stateDirectory);
});
