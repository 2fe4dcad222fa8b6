import fc from 'fast-check';
import t from 'tap';
import { typeFromText, typeName } from '../../../src/protocol/words/codes.ts';
import {
  isAtOrUnder,
  nameFromWire,
  nameToWire,
  normalizeName,
  parentName,
  reverseNameOfIpv4,
  TextMap,
} from '../../../src/protocol/words/name.ts';

t.test('texts come into one normal form', async (t) => {
  for (const [text, normal] of [
    ['.', '.'],
    ['', '.'],
    ['Example.COM.', 'example.com'],
    ['a\\.b.c', 'a\\.b.c'],
    ['\\065bc', 'abc'],
    ['\\000x', '\\000x'],
    ['*.x', '*.x'],
    ['_status.x', '_status.x'],
  ] as const) {
    t.equal(normalizeName(text), normal, JSON.stringify(text));
  }
});

t.test('a text that is no name has its reason', async (t) => {
  for (const [text, code] of [
    ['a..b', 'empty-label'],
    ['.a', 'empty-label'],
    ['a..', 'empty-label'],
    ['x'.repeat(64), 'label-too-long'],
    [`${'x.'.repeat(127)}x`, 'name-too-long'],
    ['\\', 'bad-escape'],
    ['\\256', 'bad-escape'],
    ['\\1', 'bad-escape'],
  ] as const) {
    t.throws(() => nameToWire(text), { name: 'NameError', code, text }, JSON.stringify(text));
  }
});

t.test(
  'a name without escapes has the wire form of the same name with its first letter escaped',
  async (t) => {
    const letters = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
    const read = (text: string) => {
      try {
        return Buffer.from(nameToWire(text)).toString('hex');
      } catch (error) {
        return (error as { code?: string }).code;
      }
    };
    fc.assert(
      fc.property(fc.array(letters, { minLength: 1, maxLength: 8 }), fc.boolean(), (labels, isRooted) => {
        const plain = `${labels.join('.')}${isRooted ? '.' : ''}`;
        const escaped = `\\${String(plain.charCodeAt(0)).padStart(3, '0')}${plain.slice(1)}`;
        return read(plain) === read(escaped);
      }),
    );
    t.strictSame([...nameToWire('')], [0]);
    t.strictSame([...nameToWire('.')], [0]);
  },
);

t.test('any octets survive the way to text and back', async (t) => {
  const label = fc.uint8Array({ minLength: 1, maxLength: 63 });
  fc.assert(
    fc.property(fc.array(label, { maxLength: 3 }), (labels) => {
      const wire = Uint8Array.from([...labels.flatMap((octets) => [octets.length, ...octets]), 0]);
      const lowered = nameToWire(nameFromWire(wire));
      return (
        Buffer.from(wire)
          .toString('latin1')
          .replace(/[A-Z]/g, (c) => c.toLowerCase()).length === lowered.length &&
        nameFromWire(lowered) === nameFromWire(wire)
      );
    }),
  );
  t.pass('held');
});

t.test('ancestry', async (t) => {
  t.ok(isAtOrUnder('a.b.c', 'b.c'));
  t.ok(isAtOrUnder('b.c', 'b.c'));
  t.ok(isAtOrUnder('x', '.'));
  t.notOk(isAtOrUnder('ab.c', 'b.c'));
  t.notOk(isAtOrUnder('a\\.b.c', 'b.c'), 'an escaped dot is part of a label');
  t.ok(isAtOrUnder('a\\\\.b.c', 'b.c'), 'an escaped backslash is, too, and the dot after it ends the label');
  t.equal(parentName('a\\.b.c'), 'c');
  t.equal(parentName('c'), '.');
  t.equal(parentName('.'), undefined);
  t.equal(reverseNameOfIpv4('10.1.2.3'), '3.2.1.10.in-addr.arpa');
});

t.test('types by mnemonic and by number (RFC 3597 section 5)', async (t) => {
  t.equal(typeFromText('https'), 65);
  t.equal(typeFromText('TYPE65280'), 65_280);
  t.equal(typeFromText('TYPE65536'), undefined);
  t.equal(typeFromText('nonsense'), undefined);
  t.equal(typeName(1), 'A');
  t.equal(typeName(65_280), 'TYPE65280');
});

t.test(
  'texts with values: found among few and many, in their order, also where two have one hash',
  async (t) => {
    const texts = [
      'Aa',
      'BB',
      ...Array.from({ length: 100 }, (_, at) => `host-${at}.example`),
      'AaAa',
      'BBBB',
      'AaBB',
      '',
    ];
    const map = new TextMap<number>();
    for (const [at, text] of texts.entries()) {
      t.equal(map.get(text), undefined);
      t.equal(map.add(text, at), at);
      t.strictSame(
        texts.slice(0, at + 1).map((known) => map.get(known)),
        texts.slice(0, at + 1).map((_, known) => known),
      );
    }
    t.strictSame(
      [...map],
      [...texts.entries()].map(([at, text]) => [text, at]),
    );
  },
);
