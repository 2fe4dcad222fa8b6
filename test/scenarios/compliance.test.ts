/**
 * The queries of the public compliance checks for name servers (ISC's `genreport -f`; RFC 8906 section 8 describes most of
 * them), sent to a live server. They ask about the endpoint, which is a zone apex of ours, and about a forwarded zone.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { until } from '../helpers/patience.ts';
import { wireName } from '../serving/resolver/messages.ts';
import { ENDPOINT, Site } from './site.ts';

const SOA = 6;
const DNSKEY = 48;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const RA = 0x0080;
const Z = 0x0040;
const AD = 0x0020;
const CD = 0x0010;
const NOTIMP = 4;
const BADVERS = 16;
const COOKIE = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
const NSID = [0, 3, 0, 0];
const SUBNET = [0, 8, 0, 4, 0, 1, 0, 0];
const EXPIRE = [0, 9, 0, 0];
const UNKNOWN = [0, 100, 0, 0];

interface Check {
  readonly type?: number;
  readonly flags?: number;
  readonly opcode?: number;
  readonly tcp?: true;
  readonly edns?: {
    readonly size?: number;
    readonly flags?: number;
    readonly version?: number;
    readonly options?: readonly number[];
  };
}

const CHECKS: Readonly<Record<string, Check>> = {
  dns: {},
  aa: { flags: AA },
  ad: { flags: AD },
  cd: { flags: CD },
  ra: { flags: RA },
  rd: { flags: RD },
  tc: { flags: TC },
  zflag: { flags: Z },
  opcode: { opcode: 15 },
  opcodeflg: { opcode: 15, flags: TC | RD | RA | CD | AD | AA | Z },
  type666: { type: 666 },
  tcp: { tcp: true },
  edns: { edns: {} },
  edns1: { edns: { version: 1 } },
  'edns@512': { type: DNSKEY, edns: { size: 512 } },
  ednsopt: { edns: { options: UNKNOWN } },
  edns1opt: { edns: { version: 1, options: UNKNOWN } },
  do: { edns: { flags: 0x8000 } },
  docd: { flags: CD, edns: { flags: 0x8000 } },
  edns1do: { edns: { version: 1, flags: 0x8000 } },
  ednsflags: { edns: { flags: 0x0080 } },
  optlist: { edns: { options: [...NSID, ...SUBNET, ...EXPIRE, ...COOKIE] } },
  ednsnsid: { edns: { options: NSID } },
  ednscookie: { edns: { options: COOKIE } },
  ednsexpire: { edns: { options: EXPIRE } },
  ednssubnet: { edns: { options: SUBNET } },
  edns1nsid: { edns: { version: 1, options: NSID } },
  edns1cookie: { edns: { version: 1, options: COOKIE } },
  edns1expire: { edns: { version: 1, options: EXPIRE } },
  edns1subnet: { edns: { version: 1, options: SUBNET } },
  ednstcp: { type: DNSKEY, tcp: true, edns: { size: 512, flags: 0x8000 } },
  // the queries of BIND 9.11 and of its dig
  bind11: { edns: { flags: 0x8000, options: COOKIE } },
  dig11: { flags: RD | AD, edns: { options: COOKIE } },
};

function composed(name: string, { type = SOA, flags = 0, opcode = 0, edns }: Check): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(0x4711, 0);
  header.writeUInt16BE((opcode << 11) | flags, 2);
  if (opcode !== 0) return header;
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(edns === undefined ? 0 : 1, 10);
  const question = [wireName(name), Buffer.of(type >> 8, type & 0xff, 0, 1)];
  if (edns === undefined) return Buffer.concat([header, ...question]);
  const { size = 4096, version = 0, flags: bits = 0, options = [] } = edns;
  const opt = [
    0,
    0,
    41,
    size >> 8,
    size & 0xff,
    0,
    version,
    bits >> 8,
    bits & 0xff,
    0,
    options.length,
    ...options,
  ];
  return Buffer.concat([header, ...question, Buffer.from(opt)]);
}

/** A reply as the checks see it. */
interface Seen {
  readonly flags: number;
  readonly rcode: number;
  readonly questions: number;
  readonly records: number;
  readonly answersSoa: boolean;
  readonly opt:
    | { readonly version: number; readonly flags: number; readonly codes: readonly number[] }
    | undefined;
  readonly octets: number;
}

function seenIn(octets: Buffer): Seen {
  const counts = [4, 6, 8, 10].map((at) => octets.readUInt16BE(at));
  const [questions = 0, answers = 0] = counts;
  let at = 12;
  const skip = () => {
    while (octets[at] !== 0 && (octets[at] ?? 0) < 0xc0) at += (octets[at] ?? 0) + 1;
    at += octets[at] === 0 ? 1 : 2;
  };
  for (let left = questions; left > 0; left--) {
    skip();
    at += 4;
  }
  let answersSoa = false;
  let opt: Seen['opt'];
  let upper = 0;
  const records = counts.slice(1).reduce((sum, count) => sum + count, 0);
  for (let record = 0; record < records; record++) {
    skip();
    const type = octets.readUInt16BE(at);
    const end = at + 10 + octets.readUInt16BE(at + 8);
    if (type === SOA && record < answers) answersSoa = true;
    if (type === 41) {
      upper = octets.readUInt8(at + 4);
      const codes: number[] = [];
      for (let option = at + 10; option < end; option += 4 + octets.readUInt16BE(option + 2)) {
        codes.push(octets.readUInt16BE(option));
      }
      opt = { version: octets.readUInt8(at + 5), flags: octets.readUInt16BE(at + 6), codes };
    }
    at = end;
  }
  if (at !== octets.length) throw new Error('octets after the last record');
  const flags = octets.readUInt16BE(2);
  return {
    flags,
    rcode: (flags & 15) | (upper << 4),
    questions,
    records,
    answersSoa,
    opt,
    octets: octets.length,
  };
}

async function exchange(port: number, query: Buffer, overTcp: boolean): Promise<Buffer> {
  if (!overTcp) {
    const socket = createSocket('udp4');
    try {
      socket.send(query, port, '127.0.0.1');
      const [reply] = await once(socket, 'message', { signal: AbortSignal.timeout(30_000) });
      return reply;
    } finally {
      socket.close();
    }
  }
  const socket = connect(port, '127.0.0.1');
  try {
    socket.write(Buffer.concat([Buffer.of(query.length >> 8, query.length & 0xff), query]));
    let octets = Buffer.alloc(0);
    for await (const chunk of socket) {
      octets = Buffer.concat([octets, chunk]);
      if (octets.length >= 2 && octets.length >= 2 + octets.readUInt16BE(0)) return octets.subarray(2);
    }
    throw new Error('the connection ended');
  } finally {
    socket.destroy();
  }
}

/** The faults of a reply; none where the check passes. */
function objections(check: Check, isOurs: boolean, seen: Seen): string[] {
  const { type = SOA, flags = 0, opcode = 0, edns } = check;
  const { rcode, opt } = seen;
  const version = edns?.version ?? 0;
  const tags: string[] = [];
  const object = (tag: string, isTrue: boolean) => isTrue && tags.push(tag);
  const has = (bit: number) => (seen.flags & bit) !== 0;
  const asks = (bit: number) => (flags & bit) !== 0;
  object('no response', !has(0x8000) || ((seen.flags >> 11) & 15) !== opcode);
  if (opcode !== 0) {
    object('no NOTIMP', rcode !== NOTIMP);
    object('sections', seen.questions + seen.records > 0);
    object('flags that only queries have', has(AA | TC | RD | RA | AD | CD | Z));
    return tags;
  }
  object('rcode', rcode !== (version > 0 ? BADVERS : 0));
  object('opt', (opt !== undefined) !== (edns !== undefined));
  object('version', opt !== undefined && opt.version !== 0);
  object('SOA', type === SOA && seen.answersSoa !== (version === 0));
  object('echoed', opt?.codes.includes(100) === true);
  object('codes', opt?.codes.some((code) => code !== 10) === true);
  object(
    'cookie',
    opt !== undefined && version === 0 && opt.codes.includes(10) !== (edns?.options ?? []).includes(10),
  );
  object('DO', opt !== undefined && version === 0 && (opt.flags & 0x8000) !== ((edns?.flags ?? 0) & 0x8000));
  object('mbz', opt !== undefined && (opt.flags & 0x7fff) !== 0);
  object('AA', version === 0 && has(AA) !== isOurs);
  object('RD', has(RD) !== asks(RD));
  object('AD', has(AD) && !asks(AD) && ((edns?.flags ?? 0) & 0x8000) === 0);
  object('CD', has(CD) && !asks(CD));
  object('Z', has(Z));
  object('TC', has(TC));
  object('size', check.tcp !== true && seen.octets > (edns === undefined ? 512 : (edns.size ?? 4096)));
  return tags;
}

t.test('the public compliance checks pass at the endpoint and for a forwarded zone', async (t: Test) => {
  t.equal(Object.keys(CHECKS).length, 33, 'the 31 queries of `genreport -f`, and the two of `-c`');
  const site = await Site.open(t);
  const server = site.start();
  await server.firstAnswer({ name: ENDPOINT });
  await until('the endpoint is ours', async () => (await server.ask({ name: ENDPOINT })).aa);
  for (const [what, name, isOurs] of [
    ['endpoint', ENDPOINT.toLowerCase(), true],
    ['forwarded', 'example.com', false],
  ] as const) {
    let passed = 0;
    for (const [id, row] of Object.entries(CHECKS)) {
      // a resolver is asked with RD, as in the recursive mode of the checks
      const check = isOurs || row.opcode !== undefined ? row : { ...row, flags: (row.flags ?? 0) | RD };
      const reply = await exchange(site.ports.dnsPort, composed(name, check), row.tcp === true);
      const tags = objections(check, isOurs, seenIn(reply));
      t.strictSame(tags, [], `${what}, ${id}`);
      if (tags.length === 0) passed++;
    }
    t.comment(`${what}: ${passed} of ${Object.keys(CHECKS).length}`);
  }
});
