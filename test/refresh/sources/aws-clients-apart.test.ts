import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { createAwsClientsApart } from '../../../src/refresh/sources/aws-clients-apart.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { PATIENCE_MS, until } from '../../helpers/patience.ts';
import { startRegion } from './region.ts';

const PLACE = { region: 'us-west-2' };
const soon = () => AbortSignal.timeout(PATIENCE_MS);

/** The clients in their thread, which takes the environment as it is when it starts. */
async function apart(t: Test) {
  const sandbox = await startRegion(t);
  const log = new CollectingLog();
  const clients = createAwsClientsApart({ clock: systemClock, log });
  t.teardown(() => clients.dispose());
  return { sandbox, clients, log };
}

/** A thread with another program: what it does with a message is the test's. */
function withProgram(t: Test, text: string) {
  const alive = setInterval(() => undefined, 1000); // the thread does not keep this process alive
  t.teardown(() => clearInterval(alive));
  const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-thread-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'thread.mjs');
  writeFileSync(path, `import { parentPort } from 'node:worker_threads';\n${text}`);
  const log = new CollectingLog();
  const clients = createAwsClientsApart({ clock: systemClock, log, program: pathToFileURL(path) });
  t.teardown(() => clients.dispose());
  return { clients, log };
}

t.test('every call gives what it gives without a thread, and its failures as they are', async (t) => {
  const { sandbox, clients } = await apart(t);
  const { ec2, eks, route53 } = clients;
  const { cluster } = await eks.describeCluster(PLACE, { name: 'demo' }, soon());
  t.equal(cluster?.name, 'demo');
  t.type(cluster?.createdAt, Date, 'dates stay dates');
  const listed = await ec2.describeNetworkInterfaces(PLACE, { MaxResults: 100 }, soon());
  t.ok((listed.NetworkInterfaces ?? []).length > 2);
  t.ok((await ec2.describeInstances(PLACE, { MaxResults: 100 }, soon())).Reservations);
  const zones = await route53.listHostedZonesByName(PLACE, { DNSName: 'site.example' }, soon());
  const zone = zones.HostedZones?.[0]?.Id ?? '';
  const sets = await route53.listResourceRecordSets(PLACE, { HostedZoneId: zone }, soon());
  t.ok((sets.ResourceRecordSets ?? []).length > 2);

  sandbox.faults.add({ service: 'ec2', kind: 'deny' });
  const denied = await ec2.describeNetworkInterfaces(PLACE, {}, soon()).catch((error: unknown) => error);
  t.match(clients.explain(denied), { reason: 'denied', reachedFarSide: true, detail: /./ });
});

t.test('a call that is given up ends at once, and says how far it had come', async (t) => {
  const { sandbox, clients } = await apart(t);
  await clients.eks.describeCluster(PLACE, { name: 'demo' }, soon());
  sandbox.link.set('down');
  const abort = new AbortController();
  const call = clients.eks.describeCluster(PLACE, { name: 'demo' }, abort.signal);
  abort.abort();
  const error = await call.catch((reason: unknown) => reason);
  t.match(clients.explain(error), { reason: 'timeout', reachedFarSide: false });
});

t.test(
  'a thread that ends fails the calls under way, is on record, and the next call has another',
  async (t) => {
    const { clients, log } = withProgram(
      t,
      `let calls = 0;
parentPort.on('message', ({ id, input }) => {
  if (input.name === 'crash') throw new Error('a defect');
  if (input.name === 'end') process.exit(3);
  if (input.name !== 'wait') parentPort.postMessage({ kind: 'done', id, output: { calls: ++calls } });
});`,
    );
    const ask = (name: string) => clients.eks.describeCluster(PLACE, { name }, soon());
    t.match(await ask('x'), { calls: 1 });
    t.match(await ask('x'), { calls: 2 }, 'one thread for all');
    const waiting = ask('wait').catch((error: unknown) => error);
    for (const how of ['crash', 'end']) {
      const error = await ask(how).catch((reason: unknown) => reason);
      t.match(clients.explain(error), {
        reason: 'internal',
        reachedFarSide: false,
        detail: 'asking aws failed: the thread of its clients ended',
      });
      t.match(await ask('x'), { calls: 1 }, `${how}: another one`);
    }
    t.match(await waiting, { code: 'internal' });
    t.match(log.lines, [{ level: 'error', fields: { err: { message: 'a defect' } } }]);
  },
);

t.test('what the clients log is logged here, with its fields', async (t) => {
  const { clients, log } = withProgram(
    t,
    `parentPort.on('message', ({ id }) => {
  parentPort.postMessage({ kind: 'log', level: 'warn', fields: { profile: 'p' }, text: 'something' });
  parentPort.postMessage({ kind: 'done', id, output: {} });
});`,
  );
  await clients.eks.describeCluster(PLACE, { name: 'x' }, soon());
  t.match(log.lines, [{ level: 'warn', fields: { profile: 'p' }, text: 'something' }]);
});

t.test('once disposed nothing is asked, and what was asked fails', async (t) => {
  const { clients } = withProgram(t, `parentPort.on('message', () => {});`);
  const waiting = clients.eks.describeCluster(PLACE, { name: 'x' }, soon()).catch((error: unknown) => error);
  await until('it is asked', () => true);
  clients.dispose();
  t.match(await waiting, { code: 'internal', message: /stopping/ });
  await t.rejects(clients.eks.describeCluster(PLACE, { name: 'x' }, soon()), { message: /stopping/ });
});
