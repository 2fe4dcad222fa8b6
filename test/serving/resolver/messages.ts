/** Queries made and replies read for the tests, octet by octet and apart from the product's own code. */
import { typeFromText, typeName } from '../../../src/protocol/words/codes.ts';

export interface QueryText {
  readonly name: string;
  readonly type?: string | number;
  readonly qclass?: number;
  readonly id?: number;
  readonly rd?: boolean;
  readonly cd?: boolean;
  readonly ad?: boolean;
  /** OPT in the query, as these fields say; absent: none. */
  readonly edns?: { size?: number; dnssecOk?: boolean; version?: number; options?: readonly number[] };
}

/** A query whose name keeps its case. */
export function queryOf(text: QueryText): Buffer {
  const { name, type = 'A', qclass = 1, id = 0x2b67, rd = true, cd = false, ad = false, edns } = text;
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE((rd ? 0x0100 : 0) | (ad ? 0x0020 : 0) | (cd ? 0x0010 : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(edns === undefined ? 0 : 1, 10);
  const fixed = Buffer.alloc(4);
  fixed.writeUInt16BE(typeof type === 'number' ? type : (typeFromText(type) ?? 0), 0);
  fixed.writeUInt16BE(qclass, 2);
  return Buffer.concat([header, wireName(name), fixed, edns === undefined ? Buffer.alloc(0) : optOf(edns)]);
}

/** Labels without escapes, in the case in which they are written; `.` is the root. */
export function wireName(name: string): Buffer {
  const labels = name.replace(/\.$/, '').split('.');
  const octets = labels.flatMap((label) =>
    label === '' ? [] : [label.length, ...Buffer.from(label, 'latin1')],
  );
  return Buffer.from([...octets, 0]);
}

function optOf({
  size = 1232,
  dnssecOk = false,
  version = 0,
  options = [],
}: NonNullable<QueryText['edns']>): Buffer {
  const opt = Buffer.alloc(11);
  opt.writeUInt16BE(41, 1);
  opt.writeUInt16BE(size, 3);
  opt[6] = version;
  opt[7] = dnssecOk ? 0x80 : 0;
  opt.writeUInt16BE(options.length, 9);
  return Buffer.concat([opt, Buffer.from(options)]);
}

export interface ReadRecord {
  readonly owner: string;
  readonly type: string;
  readonly qclass: number;
  readonly ttl: number;
  /** Addresses as text, names and strings spelled out, anything else in hexadecimal. */
  readonly data: string;
}

export interface ReadReply {
  readonly octets: Buffer;
  readonly id: number;
  readonly qr: boolean;
  readonly opcode: number;
  readonly aa: boolean;
  readonly tc: boolean;
  readonly rd: boolean;
  readonly ra: boolean;
  readonly z: boolean;
  readonly ad: boolean;
  readonly cd: boolean;
  /** All 12 bits. */
  readonly rcode: number;
  /** QNAME, QTYPE and QCLASS as they stand there; empty without a question. */
  readonly question: Buffer;
  readonly answers: readonly ReadRecord[];
  readonly authorities: readonly ReadRecord[];
  readonly additionals: readonly ReadRecord[];
  readonly opt:
    | { readonly size: number; readonly version: number; readonly dnssecOk: boolean; readonly rest: number }
    | undefined;
  /** INFO-CODE of the first extended error, if there is one; and of all. */
  readonly ede: number | undefined;
  readonly edes: readonly number[];
}

/** Reads a whole message; throws where anything does not fit, octets after the last record included. */
export function readReply(message: Uint8Array): ReadReply {
  const octets = Buffer.from(message);
  const flags = octets.readUInt16BE(2);
  const [questions = 0, ...counts] = [4, 6, 8, 10].map((at) => octets.readUInt16BE(at));
  if (questions > 1) throw new Error(`${questions} questions`);
  let at = questions === 1 ? skip(octets, 12) + 4 : 12;
  const question = octets.subarray(12, at);
  if (at > octets.length) throw new Error('question cut short');
  const sections = counts.map((count) =>
    Array.from({ length: count }, () => {
      const record = readRecord(octets, at);
      at = record.end;
      return record;
    }),
  );
  if (at !== octets.length) throw new Error(`${octets.length - at} octets after the last record`);
  const [answers = [], authorities = [], additionals = []] = sections;
  const opts = additionals.filter(({ type }) => type === 'OPT');
  if (opts.length > 1) throw new Error('two OPT records');
  const [opt] = opts;
  const edes = opt === undefined ? [] : extendedErrors(Buffer.from(opt.data, 'hex'));
  return {
    octets,
    id: octets.readUInt16BE(0),
    qr: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 15,
    aa: (flags & 0x0400) !== 0,
    tc: (flags & 0x0200) !== 0,
    rd: (flags & 0x0100) !== 0,
    ra: (flags & 0x0080) !== 0,
    z: (flags & 0x0040) !== 0,
    ad: (flags & 0x0020) !== 0,
    cd: (flags & 0x0010) !== 0,
    rcode: (flags & 15) | (opt === undefined ? 0 : (opt.ttl >>> 24) << 4),
    question,
    answers: answers.map(plain),
    authorities: authorities.map(plain),
    additionals: additionals.filter((record) => record !== opt).map(plain),
    opt: opt && {
      size: opt.qclass,
      version: (opt.ttl >>> 16) & 255,
      dnssecOk: (opt.ttl & 0x8000) !== 0,
      rest: opt.ttl & 0x7fff,
    },
    ede: edes[0],
    edes,
  };
}

function plain({ owner, type, qclass, ttl, data }: ReadRecord): ReadRecord {
  return { owner, type, qclass, ttl, data };
}

function readRecord(octets: Buffer, start: number): ReadRecord & { readonly end: number } {
  const at = skip(octets, start);
  const type = typeName(octets.readUInt16BE(at));
  const end = at + 10 + octets.readUInt16BE(at + 8);
  if (end > octets.length) throw new Error('record cut short');
  return {
    owner: nameAt(octets, start),
    type,
    qclass: octets.readUInt16BE(at + 2),
    ttl: octets.readUInt32BE(at + 4),
    data: dataText(octets, type, at + 10, end),
    end,
  };
}

function dataText(octets: Buffer, type: string, at: number, end: number): string {
  const data = octets.subarray(at, end);
  switch (type) {
    case 'A':
      return data.join('.');
    case 'PTR':
    case 'NS':
    case 'CNAME':
      return nameAt(octets, at);
    case 'SOA': {
      const numbers = octets.subarray(skip(octets, skip(octets, at)), end);
      if (numbers.length !== 20) throw new Error('SOA of a wrong length');
      return `${nameAt(octets, at)} ${nameAt(octets, skip(octets, at))} minimum ${numbers.readUInt32BE(16)}`;
    }
    case 'TXT':
    case 'HINFO': {
      const strings: string[] = [];
      for (let from = 0; from < data.length; from += (data[from] ?? 0) + 1) {
        strings.push(data.subarray(from + 1, from + 1 + (data[from] ?? 0)).toString('latin1'));
      }
      return strings.join('|');
    }
    default:
      return data.toString('hex');
  }
}

/** Reads the options of an OPT record; a server cookie is zeros here, because the listener fills it in. */
function extendedErrors(options: Buffer): number[] {
  const codes: number[] = [];
  for (let at = 0; at < options.length; at += 4 + options.readUInt16BE(at + 2)) {
    const code = options.readUInt16BE(at);
    const data = options.subarray(at + 4, at + 4 + options.readUInt16BE(at + 2));
    if (data.length !== options.readUInt16BE(at + 2)) throw new Error(`options ${options.toString('hex')}`);
    if (code === 15 && data.length >= 2) codes.push(data.readUInt16BE(0));
    else if (code !== 10 || data.length !== 24) throw new Error(`options ${options.toString('hex')}`);
  }
  return codes;
}

function skip(octets: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const length = octets[at];
    if (length === undefined) throw new Error('name cut short');
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    if (length > 63) throw new Error('label type');
    at += length + 1;
  }
}

function nameAt(octets: Buffer, start: number): string {
  const labels: string[] = [];
  let at = start;
  for (let jumps = 0; jumps < 10; ) {
    const length = octets[at];
    if (length === undefined) throw new Error('name cut short');
    if (length === 0) return labels.length === 0 ? '.' : labels.join('.');
    if (length >= 0xc0) {
      const target = octets.readUInt16BE(at) & 0x3fff;
      if (target >= at || target < 12) throw new Error(`pointer at ${at} to ${target}`);
      at = target;
      jumps++;
      continue;
    }
    labels.push(octets.subarray(at + 1, at + 1 + length).toString('latin1'));
    at += length + 1;
  }
  throw new Error('too many pointers');
}
