/** The values that each kind accepts, through the loader; durations and addresses also by the readers that commands use. */
import fc from 'fast-check';
import t from 'tap';
import type { Config } from '../../src/config/config.ts';
import { ConfigError } from '../../src/config/fault.ts';
import { isInside, readSocketAddress } from '../../src/config/kinds/address.ts';
import { durationText, readDuration } from '../../src/config/kinds/quantity.ts';
import { nameFromWire, nameToWire } from '../../src/protocol/words/name.ts';
import { CLUSTER, load, SMALLEST } from './loading.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 500);
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));

type Outcome<T> = { readonly value: T } | { readonly message: string; readonly fix: string };

/** The option that a value becomes, or its fault. */
async function taken<T>(text: string, option: (config: Config) => T): Promise<Outcome<T>> {
  try {
    return { value: option(await load(text)) };
  } catch (error) {
    const [fault] = error instanceof ConfigError ? error.faults : [];
    if (fault === undefined) throw error;
    return { message: fault.message, fix: fault.fix };
  }
}

const quoted = (text: string) => JSON.stringify(text);
const readSize = (text: string) =>
  taken(`${SMALLEST}cache: {size: ${quoted(text)}}\n`, (c) => c.cache.sizeOctets);
const readInterval = (text: string) =>
  taken(`${SMALLEST}refresh: {dns: ${quoted(text)}}\n`, (c) => c.refresh.intervalMs.dns);
const readNetwork = (text: string) =>
  taken(`${SMALLEST}clients: {allow: [${quoted(text)}]}\n`, (c) => c.clients.allow[0]);
const readDomainName = (text: string) =>
  taken(`${SMALLEST}admin: {hosts: [${quoted(text)}]}\n`, (c) => c.admin.hosts[0]);
const readRetained = (text: string) =>
  taken(`${SMALLEST}retain: [${quoted(text)}]\n`, (c) => c.retain.map(({ name, qtype }) => [name, qtype]));
const readUpstream = (text: string) =>
  taken(`${CLUSTER}upstreams: [${quoted(text)}]\n`, (c) => c.upstreams[0]);

t.test('durations and sizes are accepted up to their bounds and not beyond', async (t) => {
  const durations: [text: string, ms: number | undefined][] = [
    ['999ms', undefined],
    ['1000ms', 1000],
    ['1s', 1000],
    ['59m', 3_540_000],
    ['60m', 3_600_000],
    ['3601s', undefined],
    ['01s', 1000],
    ['1S', undefined],
    ['1 s', undefined],
    ['1.5s', undefined],
    ['s', undefined],
    ['999999999999d', undefined],
    ['9999999999999999999999s', undefined],
  ];
  for (const [text, ms] of durations)
    t.match(await readInterval(text), ms === undefined ? { message: String } : { value: ms }, text);
  const sizes: [text: string, octets: number | undefined][] = [
    ['1023KiB', undefined],
    ['1024KiB', 1_048_576],
    ['1MiB', 1_048_576],
    ['16GiB', 17_179_869_184],
    ['16385MiB', undefined],
    ['64mib', undefined],
    ['64', undefined],
  ];
  for (const [text, octets] of sizes)
    t.match(await readSize(text), octets === undefined ? { message: String } : { value: octets }, text);
});

t.test('a duration is written with the largest unit that divides it, and reads back', async (t) => {
  for (const [ms, text] of [
    [0, '0ms'],
    [1, '1ms'],
    [1500, '1500ms'],
    [60_000, '1m'],
    [86_400_000, '1d'],
    [90_000, '90s'],
  ] as const) {
    t.equal(durationText(ms), text);
  }
  fc.assert(
    fc.property(fc.nat(1_000_000_000), (ms) =>
      t.strictSame(readDuration(durationText(ms), '0s', '365d'), { value: ms }),
    ),
    { numRuns: RUNS, seed: SEED },
  );
});

t.test('a network is accepted only with its first address', async (t) => {
  const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
  const property = fc.asyncProperty(octets, fc.nat(32), async (parts, prefix) => {
    const bits = parts.reduce((all, part) => all * 256n + BigInt(part), 0n);
    const base = (bits >> BigInt(32 - prefix)) << BigInt(32 - prefix);
    const text = [24n, 16n, 8n, 0n].map((shift) => (base >> shift) & 255n).join('.');
    const reading = await readNetwork(`${parts.join('.')}/${prefix}`);
    return 'value' in reading
      ? base === bits && reading.value === `${text}/${prefix}`
      : reading.fix === `write ${text}/${prefix}`;
  });
  await fc.assert(property, { numRuns: RUNS, seed: SEED });
  t.pass(`seed ${SEED}, ${RUNS} runs`);
});

t.test('an address is inside a network of its own family only', async (t) => {
  const cases: [address: string, networks: string[], is: boolean][] = [
    ['10.1.2.3', ['10.0.0.0/8'], true],
    ['11.0.0.0', ['10.0.0.0/8'], false],
    ['11.0.0.0', ['10.0.0.0/8', '11.0.0.0/32'], true],
    ['fd00::1', ['10.0.0.0/8', 'fc00::/7'], true],
    ['10.0.0.1', ['::/0'], false],
    ['::1', ['0.0.0.0/0'], false],
    ['10.0.0.1', [], false],
  ];
  for (const [address, networks, is] of cases)
    t.equal(isInside(address, networks), is, `${address} in ${networks}`);
});

t.test('addresses in odd spellings are refused', async (t) => {
  for (const text of [
    '1',
    '0x7f.1',
    '127.1',
    '0177.0.0.1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '[1.2.3.4',
    '[::1',
    '::1]',
    '[]',
    '[::1]53',
    '1::2::3',
    ' 10.0.0.1',
    '10.0.0.1 ',
  ]) {
    t.match(readSocketAddress(text, 53, 0), { message: String }, text);
    t.match(await readUpstream(text), { message: String }, text);
  }
});

t.test('an accepted name fits the wire and comes back from it unchanged', async (t) => {
  const label = fc.oneof(fc.string({ maxLength: 5 }), fc.stringMatching(/^[a-zA-Z0-9_-]{1,64}$/));
  const names = fc.array(label, { maxLength: 8 }).map((labels) => labels.join('.'));
  let taken = 0;
  const property = fc.asyncProperty(names, async (text) => {
    const reading = await readDomainName(text);
    if (!('value' in reading) || reading.value === undefined) return true;
    taken++;
    return nameFromWire(nameToWire(reading.value)) === reading.value;
  });
  await fc.assert(property, { numRuns: RUNS, seed: SEED });
  t.ok(taken > 0, 'some names are accepted');
  const longest = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
  t.match(await readDomainName(longest), { value: longest }, '255 octets on the wire');
  t.match(await readDomainName(`${longest}d`), { message: 'longer than 255 octets' });
  t.equal(nameToWire(longest).length, 255);
});

t.test('a name to retain stands for its addresses unless it says a type', async (t) => {
  const cases: [text: string, name: string, qtypes: number[]][] = [
    ['Registry.Example.', 'registry.example', [1, 28]],
    ['registry.example A', 'registry.example', [1, 28]],
    ['  registry.example   aaaa ', 'registry.example', [1, 28]],
    ['_ntp._udp.example SRV', '_ntp._udp.example', [33]],
    ['registry.example TYPE65', 'registry.example', [65]],
    ['registry.example TYPE65280', 'registry.example', [65_280]],
  ];
  for (const [text, name, qtypes] of cases)
    t.strictSame(await readRetained(text), { value: qtypes.map((qtype) => [name, qtype]) }, text);
  for (const text of [
    'a OPT',
    'a TYPE0',
    'a AXFR',
    'a TSIG',
    'a TYPE128',
    'a TYPE65536',
    'a -',
    'A A A',
    '',
  ]) {
    t.match(await readRetained(text), { message: String }, text);
  }
});

t.test('a link-local upstream is accepted with its interface, in brackets and with a port too', async (t) => {
  for (const [text, address, port] of [
    ['fe80::1%eth0', 'fe80::1%eth0', 53],
    ['[FE80:0::1%eth0.100]', 'fe80::1%eth0.100', 53],
    ['[fe80::1%eth0]:5353', 'fe80::1%eth0', 5353],
  ] as const)
    t.match(await readUpstream(text), { value: { address, port } }, text);
  t.match(await readUpstream('tls://[fe80::1%eth0]#dns.example'), {
    value: { transport: 'tls', serverName: 'dns.example', address: 'fe80::1%eth0', port: 853 },
  });
  t.match(await readUpstream('fe80::1'), { message: 'a link-local address without its interface' });
  t.match(await readUpstream('fd00::1%eth0'), { fix: 'write fd00::1' });
  t.match(await readNetwork('fe80::%eth0/10'), { fix: 'write fe80::/10' });
});
