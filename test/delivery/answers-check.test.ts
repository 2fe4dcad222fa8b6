/** `bin/outpost-dns-answers`, the check for keepalived, against a server of the test on loopback. */
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import t, { type Test } from 'tap';

const PROGRAM = join(import.meta.dirname, '../../bin/outpost-dns-answers');
/** With a label of ten octets: its length is the octet of a line feed. */
const NAME = 'abcdefghij.gr7.us-west-2.eks.amazonaws.com';

const SILENT = 'no reply from 127.0.0.1 within 0.8 s';

type Reply = (query: Buffer) => Buffer | undefined;

/** A response to the query with these flags and this number of answers; records after the question are left out. */
const response =
  (flags: number, answers: number): Reply =>
  (query) => {
    const octets = Buffer.from(query);
    octets.writeUInt16BE(flags, 2);
    octets.writeUInt16BE(answers, 6);
    return octets;
  };

async function serve(t: Test, reply: Reply, address = '127.0.0.1') {
  const socket = createSocket(address === '::1' ? 'udp6' : 'udp4');
  t.teardown(() => socket.close());
  const queries: Buffer[] = [];
  socket.on('message', (query, from) => {
    queries.push(query);
    const octets = reply(query);
    if (octets !== undefined) socket.send(octets, from.port, from.address);
  });
  socket.bind(0, address);
  await once(socket, 'listening');
  return { queries, port: socket.address().port };
}

function check(...args: readonly (string | number)[]): Promise<{ code: unknown; stderr: string }> {
  return new Promise((resolve) => {
    execFile(PROGRAM, args.map(String), (error, _stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stderr }),
    );
  });
}

for (const [what, reply, code, stderr] of [
  ['an answer', response(0x8180, 3), 0, ''],
  ['an answer with authority, cut off', response(0x8700, 1), 0, ''],
  ['256 answers', response(0x8180, 256), 0, ''],
  ['SERVFAIL', response(0x8182, 0), 1, 'response code 2'],
  ['NXDOMAIN with an alias', response(0x8183, 1), 1, 'response code 3'],
  ['no records', response(0x8180, 0), 1, 'has no address for'],
  ['a query', (query: Buffer) => query, 1, 'does not belong to the query'],
  ['silence', () => undefined, 1, SILENT],
  [
    'another ID',
    (query: Buffer) => {
      const octets = response(0x8180, 1)(query);
      octets?.writeUInt16BE(query.readUInt16BE(0) ^ 1, 0);
      return octets;
    },
    1,
    'does not belong to the query',
  ],
  ['four octets', (query: Buffer) => query.subarray(0, 4), 1, SILENT],
] as const satisfies readonly (readonly [string, Reply, number, string])[])
  t.test(`a server that replies with ${what}: exit code ${code}`, async (t) => {
    const { port, queries } = await serve(t, reply);
    let result = await check('127.0.0.1', NAME, port);
    let runs = 1;
    // a machine that stands still for a second looks like a silent server
    for (; stderr !== SILENT && result.stderr.includes(SILENT) && runs < 10; runs++)
      result = await check('127.0.0.1', NAME, port);
    t.equal(result.code, code, result.stderr);
    t.ok(result.stderr.includes(stderr), result.stderr);
    t.equal(queries.length, runs, 'one datagram a run');
  });

t.test('the query is the one of every stub resolver', async (t) => {
  const { port, queries } = await serve(t, response(0x8180, 1), '::1');
  await check('::1', `${NAME}.`, port);
  const labels = NAME.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const question = Buffer.concat([...labels, Buffer.from([0, 0, 1, 0, 1])]);
  const header = Buffer.from([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
  t.same(queries[0]?.subarray(2), Buffer.concat([header, question]));
});

t.test('where nothing listens: exit code 1', async (t) => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  t.match(await check('127.0.0.1', NAME, port), { code: 1 });
});

for (const args of [
  [],
  ['127.0.0.1'],
  ['127.0.0.1', NAME, 53, 'x'],
  ['localhost', NAME],
  // names of digits and letters, which a resolver would be asked for
  ['cafe', NAME],
  ['10.0.0', NAME],
  ['127.0.0.1/53/../x', NAME],
  ['', NAME],
  ['127.0.0.1', ''],
  ['127.0.0.1', 'a..b'],
  ['127.0.0.1', 'a b'],
  ['127.0.0.1', '%s%n'],
  ['127.0.0.1', '\\x41'],
  ['127.0.0.1', `${'a'.repeat(64)}.example`],
  ['127.0.0.1', `${'a'.repeat(63)}.`.repeat(4)],
  ['127.0.0.1', NAME, '53; x'],
  ['127.0.0.1', NAME, '$(x)'],
  ['127.0.0.1', NAME, '0'],
  ['127.0.0.1', NAME, '65536'],
])
  t.test(`wrong arguments: ${JSON.stringify(args)}`, async (t) => {
    const { code, stderr } = await check(...args);
    t.equal(code, 2, stderr);
    t.match(stderr, /^outpost-dns-answers: .*: use outpost-dns-answers ADDRESS NAME \[PORT\], such as /);
  });
