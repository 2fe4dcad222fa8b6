import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import type { CheckRequest } from '../../src/far-side/handshake.ts';
import type { CheckResult, KnownAddress } from '../../src/records/endpoint-record.ts';
import {
  type AddressCheck,
  AddressChecks,
  addressCheck,
  connectTcp,
} from '../../src/refresh/address-checks.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { evenRandom } from './scripted-source.ts';

const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const LISTENS: CheckResult = { kind: 'untried', reason: 'no-authority', isListening: true };
const NO_ANSWER: CheckResult = { kind: 'untried', reason: 'no-authority', isListening: false };
const PROVEN: CheckResult = { kind: 'proven' };
const SILENT: CheckResult = { kind: 'silent', reason: 'timeout' };

const served = (...addresses: readonly string[]): KnownAddress[] =>
  addresses.map((address) => ({ address, provenance: {} }));

function request(address: string): CheckRequest {
  return { address, port: 443, names: ['api.example'], authorities: {}, timeoutMs: 2_000 };
}

function setUp(addresses: readonly string[], alive = LISTENS, silent = NO_ANSWER) {
  const time = new VirtualTime();
  const down = new Set<string>();
  const changes: string[][] = [];
  const probes: [atMs: number, address: string][] = [];
  const script: { check: AddressCheck } = {
    check: async ({ address }) => (down.has(address) ? silent : alive),
  };
  const checks: AddressChecks = new AddressChecks({
    intervalMs: 30_000,
    clock: time,
    timers: time,
    random: evenRandom,
    requestFor: request,
    check: (asked) => {
      probes.push([time.monotonicMs(), asked.address]);
      return script.check(asked);
    },
    onChange: () => changes.push([...checks.dead]),
  });
  checks.watch(served(...addresses));
  return { time, down, changes, probes, checks, script };
}

t.test('an address is dead after two failures in a row, and alive at once', async (t) => {
  const { checks, down } = setUp([A, B]);
  down.add(A);
  await checks.checkOnce();
  t.strictSame([...checks.dead], [], 'one failure is no death');
  await checks.checkOnce();
  t.strictSame([...checks.dead], [A]);
  down.clear();
  await checks.checkOnce();
  t.strictSame([...checks.dead], []);
});

t.test('only a change is reported', async (t) => {
  const { checks, down, changes } = setUp([A, B]);
  await checks.checkOnce();
  const before = changes.length;
  await checks.checkOnce();
  t.equal(changes.length, before);
  down.add(A);
  await checks.checkOnce();
  await checks.checkOnce();
  t.strictSame(changes.slice(before), [[A]]);
});

t.test('failures that are not in a row are no death', async (t) => {
  const { checks, down } = setUp([A, B]);
  for (let probe = 0; probe < 6; probe++) {
    if (probe % 2 === 0) down.add(A);
    else down.clear();
    await checks.checkOnce();
    t.strictSame([...checks.dead], []);
  }
});

t.test('with every address dead, none is', async (t) => {
  const { checks, down } = setUp([A, B]);
  down.add(A);
  await checks.checkOnce();
  await checks.checkOnce();
  t.strictSame([...checks.dead], [A]);
  down.add(B);
  await checks.checkOnce();
  await checks.checkOnce();
  t.strictSame([...checks.dead], []);
  const alone = setUp([A]);
  alone.down.add(A);
  await alone.checks.checkOnce();
  await alone.checks.checkOnce();
  t.strictSame([...alone.checks.dead], [], 'nor is the only one');
});

t.test('what is known of an address stays while it is watched, and goes with it', async (t) => {
  const { checks, down } = setUp([A, B]);
  down.add(A);
  await checks.checkOnce();
  await checks.checkOnce();
  checks.watch(served(A, B, C));
  t.strictSame([...checks.dead], [A]);
  checks.watch(served(B, C));
  t.strictSame([...checks.dead], []);
  checks.watch(served(A, B, C));
  t.strictSame([...checks.dead], [], 'one that comes back begins alive');
});

t.test('every address is checked at every interval, and no check is left at the end', async (t) => {
  const { checks, time, probes } = setUp([A, B]);
  checks.start();
  await time.advance(0);
  t.strictSame(probes, [
    [0, A],
    [0, B],
  ]);
  await time.advance(60_000);
  t.equal(probes.length, 6);
  checks.stop();
  await time.advance(60_000);
  t.equal(probes.length, 6);
  t.equal(time.pendingTimers, 0);
});

t.test('a new address is checked within a second, and an address in doubt within three', async (t) => {
  const { checks, time, probes, down } = setUp([A, B], PROVEN, SILENT);
  checks.start();
  await time.advance(5_000);
  checks.watch(served(A, B, C));
  await time.advance(1_000);
  t.equal(probes.at(-1)?.[1], C);
  await time.advance(20_000);
  down.add(A);
  const count = probes.length;
  await time.advance(8_000);
  const soon = probes.slice(count).filter(([, address]) => address === A);
  t.equal(soon.length, 2, 'the check of the interval, and the second one');
  t.ok((soon[1]?.[0] ?? 0) - (soon[0]?.[0] ?? 0) <= 3_000);
  t.match(checks.standings.get(A), { proof: { state: 'unproven', reason: 'timeout' } });
  await time.advance(20_000);
  t.equal(probes.slice(count).filter(([, address]) => address === A).length, 2, 'then every interval again');
  checks.watch([]);
  checks.stop();
  t.equal(time.pendingTimers, 0);
});

t.test(
  'a check that rejects or never settles says nothing of the address, and the checks go on',
  async (t) => {
    const { checks, time, script, probes } = setUp([A, B, C], PROVEN);
    checks.start();
    await time.advance(1_000);
    script.check = ({ address }) => {
      if (address === A) return Promise.reject(new Error('a bug'));
      return address === B ? new Promise(() => {}) : Promise.resolve(PROVEN);
    };
    const count = probes.length;
    await time.advance(120_000);
    t.strictSame([...checks.dead], []);
    for (const address of [A, B, C]) t.match(checks.standings.get(address), { proof: { state: 'proven' } });
    t.ok(probes.length >= count + 9);
    checks.stop();
  },
);

t.test('an address without a name to prove is not checked yet', async (t) => {
  const time = new VirtualTime();
  const checks = new AddressChecks({
    intervalMs: 30_000,
    clock: time,
    timers: time,
    random: evenRandom,
    requestFor: () => undefined,
    check: () => Promise.reject(new Error('not asked')),
    onChange: () => t.fail('nothing changes'),
  });
  checks.watch(served(A));
  await checks.checkOnce();
  t.strictSame([...checks.standings.values()], [{ silences: 0 }]);
});

t.test('the thread is asked only where an authority may be known; TCP goes on without it', async (t) => {
  const time = new VirtualTime();
  const asked: CheckRequest[] = [];
  const outcomes: { prove: () => Promise<Awaited<ReturnType<Parameters<typeof addressCheck>[0]['prove']>>> } =
    {
      prove: async () => ({ kind: 'proven' }),
    };
  let isListening = true;
  const check = addressCheck({
    prove: (one) => {
      asked.push(one);
      return outcomes.prove();
    },
    connect: async () => isListening,
    timers: time,
  });
  const of = (more: Partial<CheckRequest>) => check({ ...request(A), ...more });
  const proxy = { address: '127.0.0.1', port: 3128 };
  t.strictSame(await of({}), LISTENS);
  isListening = false;
  t.strictSame(await of({}), NO_ANSWER);
  t.equal(asked.length, 0);
  t.strictSame(await of({ authorities: { described: 'x' } }), PROVEN);
  t.strictSame(await of({ authorities: { file: '/x' } }), PROVEN);
  t.strictSame(await of({ proxy }), PROVEN);
  outcomes.prove = async () => ({ kind: 'untried', reason: 'no-authority' });
  t.strictSame(await of({ authorities: { file: '/x' } }), LISTENS, 'the thread has connected');
  outcomes.prove = async () => ({ kind: 'untried', reason: 'not-asked' });
  t.strictSame(await of({ authorities: { file: '/x' } }), {
    kind: 'untried',
    reason: 'not-asked',
    isListening: false,
  });
  t.strictSame(
    await of({ proxy }),
    { kind: 'untried', reason: 'not-asked' },
    'nothing is known past a proxy',
  );
  t.equal(time.pendingTimers, 0);
});

t.test(
  'true where a server listens, false where none does, and the connection is closed again',
  async (t) => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const closed = once(server, 'connection').then(([socket]) => {
      socket.resume();
      return once(socket, 'close');
    });
    t.equal(await connectTcp({ ...request('127.0.0.1'), port }), true);
    await closed;
    server.close();
    await once(server, 'close');
    t.equal(await connectTcp({ ...request('127.0.0.1'), port }), false);
  },
);
