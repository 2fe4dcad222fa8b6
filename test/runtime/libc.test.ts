/** The contact with C against the real system: layouts, errno, descriptors watched by libuv. */
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { constants, networkInterfaces } from 'node:os';
import t, { type Test } from 'tap';
import { BATCH, type Libc, NAME_OCTETS, socketName } from '../../src/runtime/datagrams.ts';
import { loadDatagramCalls } from '../../src/runtime/libc.ts';
import { collectGarbage } from '../helpers/collect-garbage.ts';
import { until } from '../helpers/patience.ts';

const calls = await loadDatagramCalls();
const { EINVAL, ECONNREFUSED, EMSGSIZE } = constants.errno;
const LOOPBACK = {
  4: Uint8Array.of(127, 0, 0, 1),
  6: Uint8Array.from({ length: 16 }, (_, i) => (i === 15 ? 1 : 0)),
};

if (calls.kind === 'available') suite(calls.libc);
else t.test('libc', { skip: calls.reason }, async () => undefined);

t.test('where the runtime has no FFI, or denies it, the reason is given and nothing is thrown', async (t) => {
  const libc = new URL('../../src/runtime/libc.ts', import.meta.url).href;
  const program = `import { loadDatagramCalls } from ${JSON.stringify(libc)};
    const { kind, reason } = await loadDatagramCalls();
    console.log(kind, reason);`;
  for (const [flags, reason] of [
    [['--no-experimental-ffi'], /unavailable .*node:ffi/],
    [['--permission', '--allow-fs-read=*'], /unavailable .*--allow-ffi/],
  ] as const) {
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', ...flags, '--input-type=module', '--eval', program],
      { encoding: 'utf8' },
    );
    if (process.platform === 'linux') t.match(stdout, reason, stderr);
    else t.match(stdout, /unavailable not on/);
  }
});

function suite(libc: Libc): void {
  /** A socket on loopback that is closed in the end. */
  function open(t: Test, family: 4 | 6 = 4) {
    const opened = libc.open(family, LOOPBACK[family], 0, { bufferOctets: 1 << 20 });
    t.teardown(() => libc.close(opened.fd));
    return opened;
  }

  async function deliver(port: number, ...datagrams: readonly Uint8Array[]): Promise<number> {
    const socket = createSocket('udp4');
    for (const datagram of datagrams)
      await new Promise((resolve) => socket.send(datagram, port, '127.0.0.1', resolve));
    const from = socket.address().port;
    socket.close();
    return from;
  }

  t.test('datagrams of every length: none, some, as long as a slot, longer: cut', async (t) => {
    const { fd, port } = open(t);
    const batch = libc.batch(4, 512, { size: 8 });
    const lengths = [0, 1, 511, 512, 513, 9000];
    const from = await deliver(port, ...lengths.map((length) => new Uint8Array(length).fill(length)));
    t.equal(batch.receive(fd), lengths.length);
    t.same(
      lengths.map((_, slot) => batch.lengthOf(slot)),
      [0, 1, 511, 512, 512, 512],
    );
    t.equal(batch.slots[512 * 5 - 1], 0x01, 'the end of the cut one, which did not run into the next slot');
    const expected = socketName(4, LOOPBACK[4], from);
    for (let slot = 0; slot < lengths.length; slot++)
      t.same(
        batch.names.subarray(slot * NAME_OCTETS, slot * NAME_OCTETS + 8),
        expected.subarray(0, 8),
        'each with its sender',
      );
    t.equal(batch.receive(fd), 0, 'EAGAIN is no error: nothing waits');
  });

  t.test(
    'a datagram that is shown stays in the socket until it is dropped, whatever its length',
    async (t) => {
      const { fd, port } = open(t);
      const batch = libc.batch(4, 512, { size: 8 });
      const lengths = [1, 0, 512, 0, 513, 9000];
      const from = await deliver(port, ...lengths.map((length) => new Uint8Array(length).fill(length)));
      const other = libc.duplicate(fd);
      t.teardown(() => libc.close(other));
      for (const length of lengths) {
        // as a process that is killed in between, and the next process with the same socket
        t.same([batch.peek(fd), libc.batch(4, 512).peek(other), batch.peek(fd)], [1, 1, 1]);
        t.equal(batch.lengthOf(0), Math.min(512, length));
        t.same(batch.names.subarray(0, 8), socketName(4, LOOPBACK[4], from).subarray(0, 8));
        batch.drop(fd);
      }
      t.equal(batch.peek(fd), 0);
      batch.drop(fd);
      await deliver(port, Uint8Array.of(7));
      t.same([batch.receive(fd), batch.slots[0]], [1, 7], 'a drop of nothing drops nothing later');
    },
  );

  t.test('more than a batch comes in batches, and slots are used again', async (t) => {
    const { fd, port } = open(t);
    const batch = libc.batch(4, 64);
    await deliver(port, ...Array.from({ length: BATCH + 6 }, (_, i) => Uint8Array.of(i)));
    t.same([batch.receive(fd), batch.receive(fd), batch.receive(fd)], [BATCH, 6, 0]);
    t.equal(batch.slots[0], BATCH, 'the first of the second batch');
  });

  t.test('a send that fails in the middle: so many were sent, then why the next was not', async (t) => {
    const { fd } = open(t);
    const receiver = open(t);
    const batch = libc.batch(4, 64);
    for (let slot = 0; slot < 5; slot++) {
      // nothing can be sent to port 0
      batch.names.set(socketName(4, LOOPBACK[4], slot === 2 ? 0 : receiver.port), slot * NAME_OCTETS);
      batch.slots[slot * 64] = slot;
      batch.setLength(slot, 1);
    }
    t.same([batch.send(fd, 0, 5), batch.send(fd, 2, 5), batch.send(fd, 3, 5)], [2, -EINVAL, 2]);
    const received = libc.batch(4, 64);
    t.equal(received.receive(receiver.fd), 4);
    t.same(
      [0, 1, 2, 3].map((slot) => received.slots[slot * 64]),
      [0, 1, 3, 4],
    );
  });

  t.test('IPv6 as well as IPv4, and a wildcard of one leaves the port to the other', async (t) => {
    const six = libc.open(6, new Uint8Array(16), 0, { bufferOctets: 1 << 16 });
    t.teardown(() => libc.close(six.fd));
    const four = libc.open(4, new Uint8Array(4), six.port, { bufferOctets: 1 << 16 });
    t.teardown(() => libc.close(four.fd));
    t.equal(four.port, six.port);
    const batch = libc.batch(6, 64);
    const sender = createSocket('udp6');
    await new Promise((resolve) => sender.send(Uint8Array.of(7), six.port, '::1', resolve));
    t.equal(batch.receive(six.fd), 1);
    t.same([...batch.names.subarray(8, 24)], [...LOOPBACK[6]]);
    sender.close();
  });

  t.test('a reply leaves from the address that was asked, through one socket on the wildcard', async (t) => {
    for (const [family, asked] of [
      [4, ['127.0.0.1', '127.0.0.9', '127.200.3.4']],
      [6, ['::1']],
    ] as const) {
      const options = { bufferOctets: 1 << 16, packetInfo: true };
      const { fd, port } = libc.open(family, new Uint8Array(family === 4 ? 4 : 16), 0, options);
      t.teardown(() => libc.close(fd));
      const received = libc.batch(family, 64, { packetInfo: true });
      const replies = libc.batch(family, 64, { packetInfo: true });
      const client = createSocket(family === 4 ? 'udp4' : 'udp6');
      t.teardown(() => client.close());
      for (const [round, address] of [...asked, ...asked].entries()) {
        await new Promise((resolve) => client.send(Uint8Array.of(round), port, address, resolve));
        t.equal(received.peek(fd), 1);
        t.ok(received.infoAt(0) >= 0, `${address} came with it, and it is still in the socket`);
        if (round % 2 === 0) t.equal(received.receive(fd), 1);
        else received.drop(fd);
        t.equal(received.peek(fd), 0);
        const at = received.infoAt(0);
        t.ok(at >= 0, `${address} came with it, also in a slot that is used again`);
        replies.nameWords.set(received.nameWords.subarray(0, 7));
        replies.slots[0] = round;
        replies.setLength(0, 1);
        replies.setInfo(0, received.infoWords, at);
        const heard = once(client, 'message');
        t.equal(replies.send(fd, 0, 1), 1);
        const [octets, from] = await heard;
        t.same([...octets, from.address], [round, address]);
      }
      await new Promise((resolve) => client.send(Uint8Array.of(9), port, asked[0], resolve));
      received.receive(fd);
      replies.setInfo(0, received.infoWords, -1);
      replies.nameWords.set(received.nameWords.subarray(0, 7));
      const heard = once(client, 'message');
      t.equal(replies.send(fd, 0, 1), 1, 'without packet information the route decides');
      await heard;
    }
  });

  t.test(
    'a socket of another process: what it is, a copy that no child inherits, buffers and packet information',
    async (t) => {
      const tcp = createServer().listen(0, '::1');
      await once(tcp, 'listening');
      t.teardown(() => tcp.close());
      const { fd: tcpFd } = (tcp as unknown as { _handle: { fd: number } })._handle;
      const tcpPort = (tcp.address() as AddressInfo).port;
      t.match(libc.describe(tcpFd), { transport: 'tcp', family: 6, address: LOOPBACK[6], port: tcpPort });
      const { fd, port } = open(t);
      t.match(libc.describe(fd), { transport: 'udp', family: 4, address: LOOPBACK[4], port, isDual: false });
      const copy = libc.duplicate(fd);
      t.teardown(() => libc.close(copy));
      t.match(readFileSync(`/proc/self/fdinfo/${copy}`, 'utf8'), /flags:\s+02\d{6}/, 'close-on-exec');
      libc.adopt(copy, { bufferOctets: 1 << 16, packetInfo: true });
      await deliver(port, Uint8Array.of(1));
      const batch = libc.batch(4, 64, { packetInfo: true });
      t.equal(batch.receive(copy), 1);
      t.same(batch.infoWords[batch.infoAt(0) + 2], new Uint32Array(LOOPBACK[4].buffer)[0]);
      const file = openSync('/dev/null', 'r');
      t.equal(libc.describe(file), undefined, 'a file is no socket');
      closeSync(file);
      t.equal(libc.describe(9999), undefined, 'nor is a descriptor that is not open');
      t.throws(() => libc.duplicate(9999), { code: 'EBADF' });
    },
  );

  t.test('the kernel tells of a change of addresses', async (t) => {
    let changes = 0;
    using _watch = libc.watchHostAddresses(() => changes++);
    const ip = (...words: string[]) => spawnSync('ip', ['address', ...words, '127.77.0.1/32', 'dev', 'lo']);
    if (process.getuid?.() !== 0 || ip('add').status !== 0)
      return t.comment('not root: only opened and closed');
    await until('it told of the new address', () => changes > 0);
    changes = 0;
    ip('del');
    await until('it told of the end of it', () => changes > 0);
  });

  t.test('the kernel tells of a cable that is plugged in: addresses count from then on', async (t) => {
    const ip = (words: string) => spawnSync('ip', words.split(' ')).status === 0;
    if (process.getuid?.() !== 0 || !ip('link add odt0 type veth peer name odt1'))
      return t.comment('not root: not tried');
    t.teardown(() => ip('link delete odt0'));
    // with IPv6 a link-local address would come, which is told anyway
    const ipv6 = '/proc/sys/net/ipv6/conf/odt0/disable_ipv6';
    if (existsSync(ipv6)) writeFileSync(ipv6, '1');
    t.ok(ip('address add 127.77.0.2/32 dev odt0') && ip('link set odt0 up'));
    const hasAddress = () => networkInterfaces()['odt0'] !== undefined;
    t.notOk(hasAddress(), 'without a carrier Node lists no address');
    let changes = 0;
    using _watch = libc.watchHostAddresses(() => changes++);
    t.ok(ip('link set odt1 up'));
    await until('it told of the carrier', () => changes > 0 && hasAddress());
  });

  t.test('what cannot be opened says why', async (t) => {
    const { port } = open(t);
    t.throws(() => libc.open(4, LOOPBACK[4], port, { bufferOctets: 1 << 16 }), {
      code: 'EADDRINUSE',
      syscall: 'bind',
    });
    const elsewhere = Uint8Array.of(192, 0, 2, 1);
    t.throws(() => libc.open(4, elsewhere, 0, { bufferOctets: 1 << 16 }), { code: 'EADDRNOTAVAIL' });
    const peer = socketName(4, LOOPBACK[4], 9);
    t.match(libc.connect(4, 0, socketName(4, Uint8Array.of(255, 255, 255, 255), 53)), {
      kind: 'failed',
      call: 'connect',
      code: /^(EACCES|ENETUNREACH)$/, // the second where the host has no route at all
    });
    const first = libc.connect(4, 0, peer);
    if (first.kind === 'connected') libc.close(first.fd);
    t.equal(first.kind, 'connected');
  });

  t.test('an ICMP error that is queued comes out once, and the socket works on', async (t) => {
    const gone = libc.open(4, LOOPBACK[4], 0, { bufferOctets: 1 << 16 });
    const connected = libc.connect(4, 0, socketName(4, LOOPBACK[4], gone.port));
    if (connected.kind !== 'connected') throw new Error('not connected');
    t.teardown(() => libc.close(connected.fd));
    libc.close(gone.fd);
    t.equal(libc.send(connected.fd, Uint8Array.of(1)), 1);
    const batch = libc.batch(4, 64);
    t.equal(batch.receive(connected.fd), -ECONNREFUSED);
    t.equal(batch.receive(connected.fd), 0);
    t.equal(libc.send(connected.fd, Uint8Array.of(2)), 1, 'sent again');
    t.equal(libc.send(connected.fd, Uint8Array.of(3)), -ECONNREFUSED, 'a send brings it out too');
    t.equal(libc.send(connected.fd, new Uint8Array(2000)), -EMSGSIZE, 'longer than any query of ours');
  });

  t.test('a watched descriptor calls back while it is readable, in a turn of its own', async (t) => {
    const { fd, port } = open(t);
    const batch = libc.batch(4, 64);
    const first = Promise.withResolvers<void>();
    let calls = 0;
    let ticks = 0;
    const watch = libc.watch(fd, () => {
      calls++;
      void Promise.resolve().then(() => ticks++);
      if (calls < 3) return; // not taken: called again
      batch.receive(fd);
      first.resolve();
    });
    await deliver(port, Uint8Array.of(1));
    await first.promise;
    await new Promise((resolve) => setTimeout(resolve, 20));
    t.same([calls, ticks], [3, 3], 'what was promised within has come, though nothing else happened');
    watch[Symbol.dispose]();
    await deliver(port, Uint8Array.of(2));
    await new Promise((resolve) => setTimeout(resolve, 20));
    t.equal(calls, 3, 'and never again once it is disposed');
  });

  t.test('a watch that has ended holds nothing of its caller', async (t) => {
    const { fd } = open(t);
    const watchOnce = () => {
      const caller = { calls: 0 };
      libc.watch(fd, () => void caller.calls++)[Symbol.dispose]();
      return new WeakRef(caller);
    };
    const caller = watchOnce();
    await new Promise((resolve) => setTimeout(resolve, 20));
    collectGarbage();
    t.equal(caller.deref(), undefined);
  });

  t.test('an error that waits does not end the watch', async (t) => {
    const gone = libc.open(4, LOOPBACK[4], 0, { bufferOctets: 1 << 16 });
    const connected = libc.connect(4, 0, socketName(4, LOOPBACK[4], gone.port));
    if (connected.kind !== 'connected') throw new Error('not connected');
    libc.close(gone.fd);
    const batch = libc.batch(4, 64);
    const seen: number[] = [];
    let changed = (): void => undefined;
    const watch = libc.watch(connected.fd, () => {
      seen.push(batch.receive(connected.fd));
      changed();
    });
    for (const count of [1, 2]) {
      const called = new Promise<void>((resolve) => {
        changed = () => seen.filter((one) => one === -ECONNREFUSED).length >= count && resolve();
      });
      libc.send(connected.fd, Uint8Array.of(1));
      await called;
    }
    t.ok(
      seen.every((one) => one === -ECONNREFUSED || one === 0),
      seen.join(' '),
    );
    watch[Symbol.dispose]();
    libc.close(connected.fd);
  });

  t.test(
    'many descriptors watched as one: tokens of those that are readable, closed ones have left',
    async (t) => {
      const set = libc.readySet();
      t.teardown(() => libc.close(set.fd));
      const sockets = [0xffff_fff0, 7, 1].map((token) => {
        const opened = libc.open(4, LOOPBACK[4], 0, { bufferOctets: 1 << 16 });
        set.add(opened.fd, token);
        return { token, ...opened };
      });
      t.equal(set.ready(), 0);
      for (const { port } of sockets) await deliver(port, Uint8Array.of(1));
      const tokens = (count: number) => Array.from({ length: count }, (_, i) => set.tokenAt(i)).sort();
      t.same(tokens(set.ready()), [1, 0xffff_fff0, 7].sort());
      for (const { fd } of sockets.slice(0, 2)) libc.close(fd);
      t.same(tokens(set.ready()), [1]);
      t.throws(() => set.add(-1, 1), { code: 'EBADF' });
      libc.close(sockets[2]!.fd);
    },
  );

  const children: readonly [what: string, code: string][] = [
    ['a watch that is unref’d keeps no process alive', 'watch.unref();'],
    [
      'an end in the middle of a flood is an ordinary one',
      'flood(); setTimeout(() => process.exit(0), 200);',
    ],
    ['so is one after dispose', 'watch[Symbol.dispose](); libc.close(fd); process.exit(0);'],
    [
      'and one by an error in what is called',
      'process.on("uncaughtException", (e) => process.exit(e.message === "ours" ? 0 : 3)); thrown = true; flood();',
    ],
  ];
  for (const [what, code] of children)
    t.test(what, async (t) => {
      const program = `
        import { createSocket } from 'node:dgram';
        import { loadDatagramCalls } from ${JSON.stringify(new URL('../../src/runtime/libc.ts', import.meta.url).href)};
        const { libc } = await loadDatagramCalls();
        const { fd, port } = libc.open(4, Uint8Array.of(127, 0, 0, 1), 0, { bufferOctets: 65536 });
        const batch = libc.batch(4, 64);
        let thrown = false;
        const watch = libc.watch(fd, () => {
          if (thrown) throw new Error('ours');
          batch.receive(fd);
        });
        function flood() {
          const socket = createSocket('udp4');
          setInterval(() => { for (let i = 0; i < 50; i++) socket.send('x', port, '127.0.0.1'); }, 0);
        }
        ${code}`;
      const { status, signal, stderr } = spawnSync(
        process.execPath,
        ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', program],
        { encoding: 'utf8', timeout: 60_000 },
      );
      t.same([status, signal], [0, null], stderr);
    });
}
