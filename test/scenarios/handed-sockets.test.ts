/** No query is lost between two processes: the sockets are held outside, as systemd holds them. */
import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { TcpFramer } from '../../src/protocol/wire/tcp-framing.ts';
import { loadDatagramCalls } from '../../src/runtime/libc.ts';
import { pause, until } from '../helpers/patience.ts';
import { holdSockets } from '../serving/listener/held-sockets.ts';
import { queryOf } from '../serving/resolver/messages.ts';
import { keepState, keptRecord } from './kept-state.ts';
import { receiveNotifications } from './notify-receiver.ts';
import { ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

const calls = await loadDatagramCalls();
const QUERIES = 100;

/** A UDP client that keeps the IDs of its replies. */
function udpClient(t: Test, port: number) {
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  const heard = new Set<number>();
  socket.on('message', (message) => heard.add(message.readUInt16BE(0)));
  const ask = (id: number, name = ENDPOINT): void => {
    const query = queryOf({ name });
    query.writeUInt16BE(id, 0);
    socket.send(query, port, '127.0.0.1');
  };
  return { heard, ask };
}

/** Connects, which the kernel does without a server, and asks; resolves with the reply's length. */
function askTcp(port: number): Promise<number> {
  const query = queryOf({ name: ENDPOINT });
  const socket = connect(port, '127.0.0.1');
  socket.write(Buffer.concat([Buffer.of(query.length >> 8, query.length & 255), query]));
  return new Promise<number>((resolve, reject) => {
    const framer = new TcpFramer();
    socket.on('error', reject);
    socket.on('data', (chunk: Buffer) => {
      framer.push(chunk);
      if (framer.next()) resolve(framer.end - framer.start);
    });
  }).finally(() => socket.destroy());
}

for (const [what, listen, environment, signals] of [
  ['batched', {}, {}, ['SIGTERM', 'SIGKILL']],
  ['plain', { udp: 'plain' }, {}, ['SIGTERM']],
  ['plain, where C cannot be called', {}, { NODE_OPTIONS: '--no-experimental-ffi' }, ['SIGKILL']],
] as const) {
  t.test(`${what}: queries that come between two processes are answered by the second`, async (t) => {
    if (calls.kind !== 'available') {
      t.pass('the test itself needs C to hold sockets');
      return;
    }
    const hasC = !('NODE_OPTIONS' in environment);
    const site = await Site.open(t);
    const { dnsPort } = site.ports;
    site.configure({ listen: { dns: [`127.0.0.1:${dnsPort}`], ...listen } });
    await keepState(site.stateDirectory, [keptRecord()]);
    const { sockets } = await holdSockets(t, calls.libc, '127.0.0.1', { wanted: dnsPort });
    const descriptors = sockets.map(({ fd }) => fd);
    const first = site.startWithSockets(descriptors, environment);
    const client = udpClient(t, dnsPort);
    client.ask(50_000);
    await until('the first process answers', () => client.heard.has(50_000));
    await until('it says so', () => first.logged('listening').length > 0); // the log comes after the first answer
    t.match(first.logged('listening'), [{ handed: true, udp: what === 'batched' ? 'batched' : 'plain' }]);
    let before = first;
    for (const [round, signal] of signals.entries()) {
      await before.kill(signal);
      for (let id = 0; id < QUERIES; id++) client.ask(1000 * round + id);
      const overTcp = askTcp(dnsPort);
      const after = site.startWithSockets(descriptors, environment);
      await until('all are answered', () =>
        Array.from({ length: QUERIES }, (_, id) => client.heard.has(1000 * round + id)).every(Boolean),
      );
      t.ok((await overTcp) > 12, `${signal}: and a client over TCP`);
      const bad = [...after.errors, ...after.log.filter(({ level }) => level === 'warn')];
      t.same(bad, []);
      if (hasC) t.same(inherited(after.pid), [], 'no child inherits them');
      before = after;
    }
  });
}

t.test('a query that waits for an upstream when the process is killed is answered by the next', async (t) => {
  if (calls.kind !== 'available') {
    t.pass('the test itself needs C to hold sockets');
    return;
  }
  const site = await Site.open(t);
  const { dnsPort } = site.ports;
  site.configure({ listen: { dns: [`127.0.0.1:${dnsPort}`] } });
  await keepState(site.stateDirectory, [keptRecord()]);
  const { sockets } = await holdSockets(t, calls.libc, '127.0.0.1', { wanted: dnsPort });
  const descriptors = sockets.map(({ fd }) => fd);
  const environment = { RUNTIME_DIRECTORY: site.directory };
  const client = udpClient(t, dnsPort);
  // five seconds after it was asked a query is too old: a machine that stands still gets more rounds
  for (let round = 1; round <= 5; round++) {
    site.sandbox.faults.clear('dns');
    const first = site.startWithSockets(descriptors, environment);
    client.ask(round);
    await until('the first process answers', () => client.heard.has(round));
    site.sandbox.faults.add({ service: 'dns', kind: 'drop' });
    const waiting = Array.from({ length: 20 }, (_, at) => 1000 * round + at);
    for (const id of waiting) client.ask(id, `slow-${id}.example.com`);
    await until(
      'they wait, or have failed before that was seen',
      async () =>
        (await first.status()).queries.pending >= waiting.length ||
        waiting.every((id) => client.heard.has(id)),
    );
    const unanswered = waiting.filter((id) => !client.heard.has(id));
    await first.kill('SIGKILL');
    site.sandbox.faults.clear('dns');
    const second = site.startWithSockets(descriptors, environment);
    client.ask(100 + round, `new-${round}.example.com`);
    await until('the second process forwards', () => client.heard.has(100 + round));
    await pause(500);
    await second.kill('SIGKILL');
    if (unanswered.length > 0 && unanswered.every((id) => client.heard.has(id))) return;
  }
  t.fail('in none of five rounds');
});

/** Sockets of a process without close-on-exec, standard streams aside. */
function inherited(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      if (Number(fd) < 3 || !readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')) return false;
      const [, flags = '0'] = /flags:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? [];
      return (Number.parseInt(flags, 8) & 0o2000000) === 0;
    } catch {
      return false; // closed meanwhile
    }
  });
}

t.test('it is ready at once where only loopback was asked for', async (t) => {
  const manager = await receiveNotifications(t);
  if (manager === undefined) {
    t.pass('node:ffi is not there');
    return;
  }
  const site = await Site.open(t);
  const server = site.start({ ...site.sandbox.environment, NOTIFY_SOCKET: manager.path });
  const heard: string[] = [];
  await until(
    'it is ready',
    () => heard.push(...manager.take()) > 0 && heard.some((text) => text.includes('READY=1')),
  );
  t.same(
    heard.filter((text) => text.includes('loopback alone')),
    [],
  );
  await server.kill('SIGTERM');
});
