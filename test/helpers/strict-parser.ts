/**
 * A reader of responses that throws at the first octet that it cannot explain. It is written for the tests alone and shares
 * nothing with the product, so that a mistake there does not hide itself here. It stands for the strictest client.
 */

/** One record, with its names read to the end. */
export interface StrictRecord {
  readonly section: 'answer' | 'authority' | 'additional';
  readonly owner: string;
  readonly type: number;
  readonly qclass: number;
  readonly ttl: number;
  /** Names in the RDATA, in their order. */
  readonly names: readonly string[];
  readonly rdata: Buffer;
}

export interface StrictMessage {
  readonly flags: number;
  readonly name: string;
  readonly qtype: number;
  readonly records: readonly StrictRecord[];
}

class Reader {
  readonly octets: Buffer;
  at: number;
  end: number;
  names: string[] = [];

  constructor(octets: Buffer, at: number, end: number) {
    this.octets = octets;
    this.at = at;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  bytes(count: number): Buffer {
    if (count < 0 || this.left < count)
      throw new Error(`${count} octets wanted at ${this.at}, ${this.left} left`);
    this.at += count;
    return this.octets.subarray(this.at - count, this.at);
  }

  u8(): number {
    return this.bytes(1).readUInt8();
  }

  u16(): number {
    return this.bytes(2).readUInt16BE();
  }

  u32(): number {
    return this.bytes(4).readUInt32BE();
  }

  rest(atLeast = 0): Buffer {
    if (this.left < atLeast) throw new Error(`at least ${atLeast} octets wanted, ${this.left} left`);
    return this.bytes(this.left);
  }

  text(): Buffer {
    return this.bytes(this.u8());
  }

  texts(): void {
    do this.text();
    while (this.left > 0);
  }

  name(mayCompress = true): string {
    const labels: string[] = [];
    let total = 1;
    let place = this.at;
    let lowest = this.at;
    let jumped = false;
    let jumps = 0;
    for (;;) {
      const limit = jumped ? this.octets.length : this.end;
      if (place >= limit) throw new Error('name cut short');
      const length = this.octets.readUInt8(place);
      if (length >= 0xc0) {
        if (!mayCompress) throw new Error('compressed where it must not be');
        if (place + 2 > limit) throw new Error('pointer cut short');
        const target = this.octets.readUInt16BE(place) - 0xc000;
        if (target >= lowest) throw new Error('pointer that does not point back');
        if (target < 12) throw new Error('pointer into the header');
        if (++jumps > 10) throw new Error('too many pointers');
        if (!jumped) this.at = place + 2;
        jumped = true;
        place = lowest = target;
        continue;
      }
      if (length > 63) throw new Error('label type');
      if (length === 0) {
        if (!jumped) this.at = place + 1;
        break;
      }
      if (place + 1 + length > limit) throw new Error('label cut short');
      total += length + 1;
      if (total > 255) throw new Error('name too long');
      labels.push(this.octets.toString('latin1', place + 1, place + 1 + length).toLowerCase());
      place += 1 + length;
    }
    const name = labels.length === 0 ? '.' : labels.join('.');
    this.names.push(name);
    return name;
  }
}

const bitmap = (r: Reader): void => {
  let last = -1;
  while (r.left > 0) {
    const window = r.u8();
    const octets = r.text();
    if (window <= last || octets.length < 1 || octets.length > 32 || octets.at(-1) === 0)
      throw new Error('bitmap');
    last = window;
  }
};
const dsLike = (r: Reader): void => {
  r.bytes(3);
  digest(r, { 1: 20, 2: 32, 4: 48 });
};
const digest = (r: Reader, sizes: Record<number, number>): void => {
  const size = sizes[r.u8()];
  const octets = r.rest(1);
  if (size !== undefined && octets.length !== size) throw new Error('digest of a wrong length');
};
const service = (r: Reader): void => {
  r.u16();
  r.name(false);
  let last = -1;
  while (r.left > 0) {
    const key = r.u16();
    const value = r.bytes(r.u16());
    if (key <= last) throw new Error('parameters out of order');
    last = key;
    if ((key === 2 || key === 8) && value.length !== 0) throw new Error('a flag with a value');
    if (key === 3 && value.length !== 2) throw new Error('port');
    if (key === 4 && (value.length === 0 || value.length % 4 !== 0)) throw new Error('ipv4hint');
    if (key === 6 && (value.length === 0 || value.length % 16 !== 0)) throw new Error('ipv6hint');
    const inner = new Reader(value, 0, value.length);
    if (key === 0) {
      let before = 0;
      do {
        const wanted = inner.u16();
        if (wanted <= before) throw new Error('mandatory out of order');
        before = wanted;
      } while (inner.left > 0);
    }
    if (key === 1)
      do if (inner.text().length === 0) throw new Error('empty alpn');
      while (inner.left > 0);
  }
};
const gateway = (r: Reader, type: number): void => {
  if (type === 1) r.bytes(4);
  if (type === 2) r.bytes(16);
  if (type === 3) r.name(false);
  r.rest();
};
const location = (r: Reader): void => {
  if (r.u8() !== 0) {
    r.rest();
    return;
  }
  for (let i = 0; i < 3; i++)
    if (!/^[0-9]{2}$/.test(r.bytes(1).toString('hex'))) throw new Error('precision');
  if (Math.abs(r.u32() - 2 ** 31) > 90 * 3_600_000) throw new Error('latitude');
  if (Math.abs(r.u32() - 2 ** 31) > 180 * 3_600_000) throw new Error('longitude');
  r.u32();
};

const one = (r: Reader): void => void r.name();
const two = (r: Reader): void => {
  one(r);
  one(r);
};
const plain = (r: Reader): void => void r.name(false);
const numberAndPlain = (r: Reader): void => {
  r.u16();
  plain(r);
};

const READERS: Record<number, (r: Reader) => void> = {
  1: (r) => r.bytes(4),
  2: one,
  3: one,
  4: one,
  5: one,
  6: (r) => {
    two(r);
    r.bytes(20);
  },
  7: one,
  8: one,
  9: one,
  11: (r) => {
    r.bytes(5);
    r.rest();
  },
  12: one,
  13: (r) => [r.text(), r.text()],
  14: two,
  15: (r) => {
    r.u16();
    one(r);
  },
  16: (r) => r.texts(),
  17: (r) => [plain(r), plain(r)],
  18: numberAndPlain,
  19: (r) => r.text(),
  20: (r) => r.texts(),
  21: numberAndPlain,
  22: (r) => r.rest(1),
  23: plain,
  26: (r) => {
    numberAndPlain(r);
    plain(r);
  },
  27: (r) => [r.text(), r.text(), r.text()],
  28: (r) => r.bytes(16),
  29: location,
  33: (r) => {
    r.bytes(6);
    plain(r);
  },
  35: (r) => {
    r.bytes(4);
    for (let i = 0; i < 3; i++) r.text();
    plain(r);
  },
  36: numberAndPlain,
  37: (r) => {
    r.bytes(5);
    r.rest(1);
  },
  39: plain,
  42: (r) => {
    while (r.left > 0) {
      const family = r.u16();
      const prefix = r.u8();
      const octets = r.bytes(r.u8() & 0x7f);
      const most = { 1: 4, 2: 16 }[family];
      if (most !== undefined && (prefix > most * 8 || octets.length > most)) throw new Error('prefix');
      if (octets.length > 0 && octets.at(-1) === 0) throw new Error('prefix with a zero at its end');
    }
  },
  43: dsLike,
  44: (r) => {
    r.u8();
    digest(r, { 1: 20, 2: 32 });
  },
  45: (r) => {
    r.u8();
    const type = r.u8();
    r.u8();
    gateway(r, type);
  },
  46: (r) => {
    r.bytes(18);
    plain(r);
    r.rest(1);
  },
  47: (r) => {
    plain(r);
    if (r.left === 0) throw new Error('no types');
    bitmap(r);
  },
  48: (r) => {
    r.bytes(4);
    r.rest(1);
  },
  50: (r) => {
    r.bytes(4);
    r.text();
    if (r.text().length === 0) throw new Error('no hash');
    bitmap(r);
  },
  51: (r) => {
    r.bytes(4);
    r.text();
  },
  52: (r) => {
    r.bytes(3);
    r.rest(1);
  },
  53: (r) => {
    r.bytes(3);
    r.rest(1);
  },
  55: (r) => {
    const tag = r.u8();
    r.u8();
    const key = r.u16();
    if (tag === 0 || key === 0) throw new Error('hip');
    r.bytes(tag + key);
    while (r.left > 0) plain(r);
  },
  58: (r) => [plain(r), plain(r)],
  59: dsLike,
  60: (r) => {
    r.bytes(4);
    r.rest(1);
  },
  61: (r) => r.rest(1),
  62: (r) => {
    r.bytes(6);
    bitmap(r);
  },
  63: (r) => {
    r.bytes(5);
    const size = { 1: 48, 2: 64 }[r.u8()];
    const octets = r.rest(12);
    if (size !== undefined && octets.length !== size) throw new Error('zone digest');
  },
  64: service,
  65: service,
  99: (r) => r.texts(),
  104: (r) => r.bytes(10),
  105: (r) => r.bytes(6),
  106: (r) => r.bytes(10),
  107: numberAndPlain,
  108: (r) => r.bytes(6),
  109: (r) => r.bytes(8),
  256: (r) => {
    r.u32();
    r.rest(1);
  },
  257: (r) => {
    r.u8();
    if (!/^[a-z0-9]+$/i.test(r.text().toString('latin1'))) throw new Error('tag');
    r.rest();
  },
  260: (r) => {
    r.u8();
    gateway(r, r.u8() & 0x7f);
  },
};

/** Throws where any part of the message cannot be read. */
export function readStrictly(octets: Buffer): StrictMessage {
  const r = new Reader(octets, 0, octets.length);
  r.u16();
  const flags = r.u16();
  if ((flags & 0x8000) === 0) throw new Error('no response');
  if (r.u16() !== 1) throw new Error('not one question');
  const counts = [r.u16(), r.u16(), r.u16()];
  const name = r.name(false);
  const qtype = r.u16();
  const qclass = r.u16();
  const records: StrictRecord[] = [];
  let opts = 0;
  for (const [index, section] of (['answer', 'authority', 'additional'] as const).entries()) {
    for (let left = counts[index]!; left > 0; left--) {
      const owner = r.name();
      const type = r.u16();
      const own = r.u16();
      const ttl = r.u32();
      const length = r.u16();
      if (r.left < length) throw new Error('record cut short');
      const data = new Reader(octets, r.at, r.at + length);
      r.at += length;
      if (type === 41) {
        if (section !== 'additional' || owner !== '.' || ++opts > 1) throw new Error('OPT');
        while (data.left > 0) {
          data.u16();
          data.bytes(data.u16());
        }
        continue;
      }
      if (own !== qclass) throw new Error(`class ${own} of a record`);
      if (type >= 249 && type <= 255) throw new Error(`type ${type} of a record`);
      READERS[type]?.(data);
      if (READERS[type] !== undefined && data.left > 0) throw new Error(`${data.left} octets too many`);
      const rdata = octets.subarray(r.at - length, r.at);
      records.push({ section, owner, type, qclass: own, ttl, names: data.names, rdata });
    }
  }
  if (r.left > 0) throw new Error(`${r.left} octets after the last record`);
  return { flags, name, qtype, records };
}
