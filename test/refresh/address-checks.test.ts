import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import { AddressChecks, connectTcp, deadAddresses } from '../../src/refresh/address-checks.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { evenRandom } from './scripted-source.ts';

const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];

function setUp(addresses: readonly string[]) {
  const time = new VirtualTime();
  const down = new Set<string>();
  const changes: string[][] = [];
  const probes: [string, number, number][] = [];
  const script = { check: async (address: string) => !down.has(address) };
  const checks = new AddressChecks({
    port: 443,
    intervalMs: 30_000,
    timeoutMs: 2_000,
    timers: time,
    random: evenRandom,
    check: (address, port, timeoutMs) => {
      probes.push([address, port, timeoutMs]);
      return script.check(address);
    },
    onChange: (dead) => changes.push([...dead]),
  });
  checks.watch(addresses);
  return { time, down, changes, probes, checks, script };
}

t.test('an address is dead after two failures in a row, and alive at once', async (t) => {
  const { checks, down, changes } = setUp([A, B]);
  down.add(A);
  await checks.checkOnce();
  t.strictSame(changes, [], 'one failure is no death');
  await checks.checkOnce();
  t.strictSame(changes, [[A]]);
  await checks.checkOnce();
  t.strictSame(changes, [[A]], 'reported only when it changes');
  down.clear();
  await checks.checkOnce();
  t.strictSame(changes, [[A], []]);
});

t.test('failures that are not in a row are no death', async (t) => {
  const { checks, down, changes } = setUp([A, B]);
  for (let probe = 0; probe < 6; probe++) {
    if (probe % 2 === 0) down.add(A);
    else down.clear();
    await checks.checkOnce();
  }
  t.strictSame(changes, []);
});

t.test('with every address dead, none is', async (t) => {
  const { checks, down, changes } = setUp([A, B]);
  down.add(A);
  await checks.checkOnce();
  await checks.checkOnce();
  down.add(B);
  await checks.checkOnce();
  await checks.checkOnce();
  t.strictSame(changes, [[A], []]);
  t.strictSame([...deadAddresses(new Map([[A, 9]]))], [], 'nor is the only one');
  t.strictSame([...deadAddresses(new Map())], []);
});

t.test('what is known of an address stays while it is served, and goes with it', async (t) => {
  const { checks, down, changes } = setUp([A, B]);
  down.add(A);
  await checks.checkOnce();
  await checks.checkOnce();
  checks.watch([A, B, C]);
  t.strictSame([...checks.dead], [A]);
  checks.watch([B, C]);
  t.strictSame([...checks.dead], []);
  checks.watch([A, B, C]);
  t.strictSame([...checks.dead], [], 'one that comes back begins alive');
  t.strictSame(changes, [[A], []]);
});

t.test('every address is probed at every interval, with port and timeout as configured', async (t) => {
  const { checks, time, probes } = setUp([A, B]);
  checks.start();
  await time.advance(0);
  t.strictSame(probes, [
    [A, 443, 2_000],
    [B, 443, 2_000],
  ]);
  await time.advance(60_000);
  t.equal(probes.length, 6);
  checks.stop();
  await time.advance(60_000);
  t.equal(probes.length, 6);
  t.equal(time.pendingTimers, 0);
});

t.test('a connect that rejects or never settles is a failure, and the probes go on', async (t) => {
  const { checks, time, script, probes } = setUp([A, B, C]);
  script.check = (address) => {
    if (address === A) return Promise.reject(new Error('a bug'));
    return address === B ? new Promise(() => {}) : Promise.resolve(true);
  };
  checks.start();
  await time.advance(70_000);
  t.strictSame([...checks.dead], [A, B]);
  t.equal(probes.length, 9);
  checks.stop();
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
    t.equal(await connectTcp('127.0.0.1', port, 2_000), true);
    await closed;
    server.close();
    await once(server, 'close');
    t.equal(await connectTcp('127.0.0.1', port, 2_000), false);
  },
);
