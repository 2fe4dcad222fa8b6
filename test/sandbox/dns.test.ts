import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { Packet } from 'dns2';
import t from 'tap';
import { populationOf } from '../../sandbox/demo-population.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { PATIENCE_MS } from '../helpers/patience.ts';

interface Question {
  readonly name: string;
  readonly type?: number;
  readonly class?: number;
  readonly ednsSize?: number;
  readonly dnssecOk?: boolean;
  readonly opcode?: number;
  readonly transport?: 'udp' | 'tcp';
  readonly waitMs?: number;
}

const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  HTTPS: 65,
  ANY: 255,
};

function compose(question: Question): Buffer {
  const packet = new Packet();
  packet.header.id = 0x1234;
  packet.header.rd = 1;
  packet.header.opcode = question.opcode ?? 0;
  packet.questions = [new Packet.Question(question.name, question.type ?? TYPE.A, question.class ?? 1)];
  if (question.ednsSize !== undefined) {
    const ttl = question.dnssecOk ? 0x8000 : 0;
    packet.additionals = [
      Object.assign(Packet.Resource.EDNS([]), { name: '', class: question.ednsSize, ttl }),
    ];
  }
  return packet.toBuffer();
}

/** `undefined`: no reply within the time. */
async function ask(sandbox: Sandbox, question: Question): Promise<Packet | undefined> {
  const octets = await exchange(sandbox, compose(question), question);
  return octets && Packet.parse(octets);
}

function exchange(
  sandbox: Sandbox,
  message: Buffer,
  { transport, waitMs = PATIENCE_MS }: Partial<Question> = {},
) {
  return new Promise<Buffer | undefined>((resolve, reject) => {
    const timer = setTimeout(() => done(undefined), waitMs);
    const failed = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    const close = transport === 'tcp' ? overTcp() : overUdp();
    function done(reply: Buffer | undefined): void {
      clearTimeout(timer);
      close();
      resolve(reply);
    }
    function overUdp(): () => void {
      const socket = createSocket('udp4', done).on('error', failed);
      socket.send(message, sandbox.dns.port, '127.0.0.1');
      return () => socket.close();
    }
    function overTcp(): () => void {
      const socket = connect(sandbox.dns.port, '127.0.0.1').on('error', failed);
      let received = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0))
          done(received.subarray(2));
      });
      socket.write(Buffer.concat([Buffer.of(message.length >> 8, message.length & 255), message]));
      return () => socket.destroy();
    }
  });
}

const endpointOf = (sandbox: Sandbox): string => sandbox.state.cluster('demo').endpoint;
const addressesIn = (reply: Packet | undefined): string[] =>
  (reply?.answers ?? []).map(({ address = '' }) => address);

t.test('an endpoint resolves to plain A records of 60 seconds, in any case of its name', async (t) => {
  await using sandbox = await startSandbox();
  for (const name of [endpointOf(sandbox), endpointOf(sandbox).toLowerCase()]) {
    for (const transport of ['udp', 'tcp'] as const) {
      const reply = await ask(sandbox, { name, transport });
      t.match(reply?.header, { id: 0x1234, qr: 1, ra: 1, rd: 1, aa: 0, tc: 0, rcode: 0 });
      t.same(addressesIn(reply), ['10.0.1.10', '10.0.2.10', '10.0.3.10']);
      t.ok(reply?.answers.every((answer) => answer.ttl === 60 && answer.type === TYPE.A));
      t.equal(reply?.questions[0]?.name, name, 'the question keeps its case');
    }
  }
  const other = await ask(sandbox, { name: endpointOf(sandbox), type: TYPE.AAAA });
  t.match(other, {
    header: { rcode: 0 },
    answers: [],
    authorities: [{ type: TYPE.SOA, ttl: 900, minimum: 86_400 }],
  });
});

t.test('the upstream answers ordinary names', async (t) => {
  await using sandbox = await startSandbox();
  const cases: [name: string, type: number, rcode: number, answers: object[]][] = [
    ['www.example.com', TYPE.A, 0, [{ address: '192.0.2.10', ttl: 300 }, { address: '192.0.2.11' }]],
    ['www.example.com', TYPE.AAAA, 0, [{ address: '2001:db8::10' }]],
    ['example.com', TYPE.MX, 0, [{ priority: 10, exchange: 'mail.example.com' }, { priority: 20 }]],
    ['example.com', TYPE.TXT, 0, [{ data: ['v=spf1 mx -all', 'second string'] }]],
    [
      '_ldap._tcp.example.com',
      TYPE.SRV,
      0,
      [{ priority: 10, weight: 5, port: 389, target: 'www.example.com' }],
    ],
    ['10.2.0.192.in-addr.arpa', TYPE.PTR, 0, [{ domain: 'www.example.com' }]],
    ['example.com', TYPE.SOA, 0, [{ primary: 'ns.example.com', minimum: 300 }]],
    [
      'shop.example.com',
      TYPE.A,
      0,
      [{ domain: 'web.example.com' }, { domain: 'edge.example.net' }, { address: '198.51.100.7' }],
    ],
    ['shop.example.com', TYPE.CNAME, 0, [{ domain: 'web.example.com' }]],
    ['dangling.example.com', TYPE.A, 3, [{ domain: 'nothing.example.net' }]],
    ['anything.many.example.com', TYPE.A, 0, [{ name: 'anything.many.example.com', address: '192.0.2.77' }]],
    ['v4only.example.com', TYPE.AAAA, 0, []],
    ['_tcp.example.com', TYPE.A, 0, []], // an empty non-terminal exists
    ['missing.example.com', TYPE.A, 3, []],
    ['no.such.tld', TYPE.A, 3, []],
    ['', TYPE.NS, 0, [{ ns: 'a.root-servers.net' }, { ns: 'b.root-servers.net' }]],
  ];
  for (const [name, type, rcode, answers] of cases) {
    const reply = await ask(sandbox, { name, type });
    const what = `${name} TYPE${type}`;
    t.equal(reply?.header.rcode, rcode, what);
    t.match(reply?.answers, answers, what);
    t.equal(reply?.answers.length, answers.length, what);
    const isNegative = rcode === 3 || answers.length === 0;
    t.equal(
      reply?.authorities[0]?.type,
      isNegative ? TYPE.SOA : undefined,
      `${what}: SOA exactly when negative`,
    );
  }
});

t.test('RDATA of types that dns2 does not know passes as it is', async (t) => {
  await using sandbox = await startSandbox();
  const future = await exchange(sandbox, compose({ name: 'future.example.com', type: 65_280 }));
  t.equal(future?.subarray(-6).toString('hex'), '00040a0b0c0d');
  const secure = await exchange(sandbox, compose({ name: 'secure.example.com', type: TYPE.HTTPS }));
  t.equal(secure?.subarray(-15).toString('hex'), '000d00010000010006026832026833');
});

t.test('an answer that does not fit is cut with TC over UDP and whole over TCP', async (t) => {
  await using sandbox = await startSandbox();
  const question = { name: 'big.example.com', type: TYPE.TXT };
  for (const ednsSize of [undefined, 512, 1232, 65_535]) {
    const sized = { ednsSize };
    const udp = await ask(sandbox, { ...question, ...sized });
    t.match(udp, { header: { tc: 1, rcode: 0 }, answers: [], questions: [question] });
    t.equal(udp?.additionals.length, ednsSize === undefined ? 0 : 1, 'OPT is kept');
    const tcp = await ask(sandbox, { ...question, ...sized, transport: 'tcp' });
    t.equal(tcp?.header.tc, 0);
    t.equal([tcp?.answers[0]?.data ?? ''].flat().join(''), 'outpost '.repeat(500));
  }
});

t.test('EDNS is answered exactly when it was used, and DO comes back', async (t) => {
  await using sandbox = await startSandbox();
  const name = 'www.example.com';
  t.same((await ask(sandbox, { name }))?.additionals, []);
  const [plain] = (await ask(sandbox, { name, ednsSize: 4096 }))?.additionals ?? [];
  t.match(plain, { type: TYPE.OPT, class: 1232, ttl: 0 });
  const [secured] = (await ask(sandbox, { name, ednsSize: 4096, dnssecOk: true }))?.additionals ?? [];
  t.match(secured, { type: TYPE.OPT, ttl: 0x8000 });
});

t.test('hosted zones answer as Route 53 does', async (t) => {
  await using sandbox = await startSandbox();
  const resolve = async (name: string) => addressesIn(await ask(sandbox, { name }));
  const drawn: string[] = [];
  for (let draw = 0; draw < 8; draw++) drawn.push(...(await resolve('weighted.site.example')));
  t.equal(drawn.filter((address) => address === '10.0.1.10').length, 6, 'three quarters by weight 3');
  t.equal(drawn.filter((address) => address === '10.0.2.10').length, 2, 'one quarter by weight 1');
  t.same(await resolve('multi.site.example'), ['10.0.1.10', '10.0.2.10']);
  t.same(await resolve('alias.site.example'), ['10.0.1.10', '10.0.2.10', '10.0.3.10']);
  t.same(
    await resolve('api.site.example'),
    ['10.0.1.10', '10.0.2.10', '10.0.3.10'],
    'the public zone, not the private',
  );
  t.same(await resolve('shop.apps.site.example'), ['10.0.4.4'], 'a wildcard');
});

t.test('faults of DNS', async (t) => {
  await using sandbox = await startSandbox();
  const name = 'www.example.com';
  sandbox.faults.add({ service: 'dns', kind: 'servfail', name, times: 1 });
  t.equal((await ask(sandbox, { name }))?.header.rcode, 2);
  t.equal((await ask(sandbox, { name }))?.header.rcode, 0);
  sandbox.faults.add({ service: 'dns', kind: 'refused', times: 1 });
  t.equal((await ask(sandbox, { name }))?.header.rcode, 5);
  sandbox.faults.add({ service: 'dns', kind: 'drop', name: 'WWW.example.com', times: 1 });
  t.equal(await ask(sandbox, { name, waitMs: 100 }), undefined);
  sandbox.faults.add({ service: 'dns', kind: 'delay', delayMs: 150, times: 1 });
  const start = performance.now();
  t.equal((await ask(sandbox, { name }))?.header.rcode, 0);
  t.ok(performance.now() - start >= 140);
  sandbox.faults.add({ service: 'dns', kind: 'truncate', times: 2 });
  t.match(await ask(sandbox, { name }), { header: { tc: 1 }, answers: [] });
  t.match(await ask(sandbox, { name, transport: 'tcp' }), { header: { tc: 0 }, answers: [{}, {}] });
  sandbox.faults.add({ service: 'dns', kind: 'filter' });
  t.match(await ask(sandbox, { name: endpointOf(sandbox) }), {
    header: { rcode: 0 },
    answers: [],
    authorities: [],
  });
  t.equal((await ask(sandbox, { name }))?.answers.length, 2, 'a filter lets public addresses through');
  sandbox.faults.clear();
  sandbox.faults.add({ service: 'dns', kind: 'authenticated' });
  const octets = await exchange(sandbox, compose({ name }));
  t.equal((octets?.[3] ?? 0) & 0x20, 0x20, 'AD');
});

t.test('queries that are not ordinary', async (t) => {
  await using sandbox = await startSandbox();
  const name = 'www.example.com';
  t.equal((await ask(sandbox, { name, opcode: 4 }))?.header.rcode, 4, 'another opcode: NOTIMP');
  t.equal((await ask(sandbox, { name, class: 3 }))?.header.rcode, 5, 'another class: REFUSED');
  const query = compose({ name });
  const asResponse = Buffer.from(query);
  asResponse[2] = (asResponse[2] ?? 0) | 0x80;
  t.equal(await exchange(sandbox, asResponse, { waitMs: 100 }), undefined, 'a response: silence');
  t.equal(((await exchange(sandbox, query.subarray(0, 12)))?.[3] ?? 0) & 15, 1, 'a header alone: FORMERR');
  for (const length of [0, 1, 5, 11, 13, 20, query.length - 1]) {
    await exchange(sandbox, query.subarray(0, length), { waitMs: 30 });
  }
  t.equal((await ask(sandbox, { name }))?.header.rcode, 0, 'stumps do not bring it down');
});

t.test('a record that cannot be composed is SERVFAIL', async (t) => {
  await using sandbox = await startSandbox();
  sandbox.state.setRecords('bad.example.com', 'A', ['not an address']);
  t.equal((await ask(sandbox, { name: 'bad.example.com' }))?.header.rcode, 2);
});

t.test('queries are counted by name and type', async (t) => {
  await using sandbox = await startSandbox();
  await ask(sandbox, { name: 'www.example.com' });
  await ask(sandbox, { name: 'WWW.Example.com', ednsSize: 1232, dnssecOk: true, transport: 'tcp' });
  await ask(sandbox, { name: 'www.example.com', type: TYPE.AAAA });
  t.equal(sandbox.dns.countOf('www.example.com'), 3);
  t.equal(sandbox.dns.countOf('www.EXAMPLE.com.', 'A'), 2);
  t.equal(sandbox.dns.countOf('example.com'), 0);
  t.match(sandbox.dns.queries, [
    { name: 'www.example.com', type: 'A', transport: 'udp', ednsSizeOctets: 0, recursionDesired: true },
    { askedName: 'WWW.Example.com', transport: 'tcp', ednsSizeOctets: 1232, dnssecOk: true },
    { type: 'AAAA' },
  ]);
});

t.test(
  'over a cut link there is silence, and connections that hung on it break when it returns',
  async (t) => {
    await using sandbox = await startSandbox();
    const name = 'www.example.com';
    sandbox.link.set('down');
    t.equal(await ask(sandbox, { name, waitMs: 100 }), undefined);
    const socket = connect(sandbox.dns.port, '127.0.0.1');
    const closed = new Promise<string>((resolve) => {
      socket
        .on('data', () => resolve('answered'))
        .on('close', () => resolve('closed'))
        .on('error', () => {});
    });
    const query = compose({ name });
    socket.write(Buffer.concat([Buffer.of(0, query.length), query]));
    const silence = new Promise<string>((resolve) => setTimeout(() => resolve('silence'), 100));
    t.equal(await Promise.race([closed, silence]), 'silence');
    sandbox.link.set('up');
    t.equal(await closed, 'closed');
    t.equal(sandbox.dns.countOf(name), 0, 'nothing got over');
    t.equal((await ask(sandbox, { name }))?.header.rcode, 0);
    const open = connect(sandbox.dns.port, '127.0.0.1');
    await once(open, 'connect');
    const reset = new Promise((resolve) => open.on('error', resolve));
    sandbox.link.set('refused');
    t.match(await reset, { code: 'ECONNRESET' }, 'an open connection');
    await t.rejects(ask(sandbox, { name, transport: 'tcp' }), { code: 'ECONNRESET' });
    t.equal(await ask(sandbox, { name, waitMs: 100 }), undefined);
  },
);

t.test('a delayed answer is lost when the link goes down meanwhile', async (t) => {
  await using sandbox = await startSandbox();
  sandbox.faults.add({ service: 'dns', kind: 'delay', delayMs: 80 });
  const asking = ask(sandbox, { name: 'www.example.com', waitMs: 200 });
  setTimeout(() => sandbox.link.set('down'), 30);
  t.equal(await asking, undefined);
});

t.test('changes are answered at once', async (t) => {
  await using sandbox = await startSandbox({
    population: populationOf([{ name: 'demo', addresses: ['10.0.1.1', '10.0.1.2'] }]),
  });
  const name = endpointOf(sandbox);
  t.same(addressesIn(await ask(sandbox, { name })), ['10.0.1.1', '10.0.1.2']);
  sandbox.state.moveInterface({ cluster: 'demo', from: '10.0.1.1', to: '10.0.1.9' });
  t.same(addressesIn(await ask(sandbox, { name })), ['10.0.1.9', '10.0.1.2']);
  sandbox.state.setRecords(name.toLowerCase(), 'A', []);
  t.equal((await ask(sandbox, { name }))?.header.rcode, 3);
});
