/** Aliases at random over all that can hold them, against a plain walk through the same names. */
import fc from 'fast-check';
import t from 'tap';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { message, rawRecord, rr } from '../../helpers/zone-text.ts';
import { ENDPOINT, endpointRecord, Rig } from './rig.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 150);

/** Where a name lives; what an upstream holds it gives with the rest of the chain (`whole`) or alone (`half`). */
const PLACES = [
  'one.example',
  'two.example',
  'whole.test.example',
  'half.test.example',
  'kept.test.example',
] as const;
type Place = (typeof PLACES)[number];

interface Node {
  readonly place: Place;
  /** Index of the target, or of nothing: the name has an address itself. `endpoint`: an alias to it. */
  readonly to: number | 'address' | 'endpoint' | 'nothing';
}

const graph = fc.array(
  fc.record({
    place: fc.constantFrom(...PLACES),
    to: fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 0, max: 9 }) },
      { weight: 2, arbitrary: fc.constantFrom('address' as const, 'endpoint' as const, 'nothing' as const) },
    ),
  }),
  { minLength: 10, maxLength: 10 },
);

const nameOf = (nodes: readonly Node[], at: number) => `n${at}.${nodes[at]?.place}`;
const addressOf = (at: number) => `10.1.1.${at + 1}`;
const octets = (address: string) => address.split('.').map(Number);

/** Own zones take no loop inside of themselves: such an alias becomes an address. */
function sound(nodes: readonly Node[]): readonly Node[] {
  return nodes.map((node, at) => {
    const isInside = typeof node.to === 'number' && nodes[node.to]?.place === node.place && node.to <= at;
    return isInside && node.place.length < 12 ? { ...node, to: 'address' as const } : node;
  });
}

function expected(
  nodes: readonly Node[],
  start: number,
): { rcode: number; addresses: readonly string[]; aliases: number } {
  const seen = new Set<number>();
  for (let at = start; ; ) {
    if (seen.has(at)) return { rcode: 2, addresses: [], aliases: 0 };
    seen.add(at);
    const { to, place } = nodes[at] ?? { to: 'nothing', place: 'one.example' };
    if (to === 'address') return { rcode: 0, addresses: [addressOf(at)], aliases: seen.size - 1 };
    if (to === 'endpoint') return { rcode: 0, addresses: ['10.0.1.10', '10.0.2.10'], aliases: seen.size };
    if (to === 'nothing') {
      // of a retained name that was never learned nobody knows anything
      if (place === 'kept.test.example') return { rcode: 2, addresses: [], aliases: 0 };
      return { rcode: 3, addresses: [], aliases: seen.size - 1 };
    }
    at = to;
  }
}

function zoneRecords(nodes: readonly Node[], place: Place) {
  return nodes.flatMap(({ place: own, to }, at) => {
    if (own !== place || to === 'nothing') return [];
    const name = nameOf(nodes, at);
    if (to === 'address') return [rr(`${name} 60 A ${addressOf(at)}`)];
    return [rr(`${name} 60 CNAME ${to === 'endpoint' ? ENDPOINT : nameOf(nodes, to)}`)];
  });
}

/** An upstream that knows nothing of own zones and goes as far as it can. */
function upstreamSays(nodes: readonly Node[], question: string): Buffer | { extendedError: number } {
  const [asked = ''] = question.split(' ');
  let at = nodes.findIndex((_, index) => nameOf(nodes, index) === asked);
  if (at < 0 || nodes[at]?.place === 'kept.test.example') return { extendedError: 22 };
  const answers: Buffer[] = [];
  let rcode = 0;
  const seen = new Set<number>();
  for (;;) {
    const node = nodes[at];
    if (
      node === undefined ||
      seen.has(at) ||
      node.place.endsWith('e.example') ||
      node.place.endsWith('o.example')
    )
      break;
    seen.add(at);
    const name = nameOf(nodes, at);
    if (node.to === 'nothing') rcode = 3;
    if (node.to === 'address') answers.push(rawRecord(name, 'A', 60, octets(addressOf(at))));
    if (node.to === 'endpoint') answers.push(rawRecord(name, 'CNAME', 60, nameToWire(ENDPOINT)));
    if (typeof node.to !== 'number') break;
    answers.push(rawRecord(name, 'CNAME', 60, nameToWire(nameOf(nodes, node.to))));
    const next = nodes[node.to];
    if (node.place !== 'whole.test.example' || next?.place !== node.place) break;
    at = node.to;
  }
  const authorities = rcode === 3 ? [rawRecord('.', 'SOA', 60, [0, 0, ...Buffer.alloc(20)])] : [];
  return message({ flags: 0x8180 | rcode, question: [asked, 'A'], answers, authorities });
}

t.test('an alias ends in the same answer by every way, twice', async (t) => {
  await fc.assert(
    fc.asyncProperty(graph, async (given) => {
      const nodes = sound(given);
      const rig = new Rig({
        records: [endpointRecord({ addresses: ['10.0.1.10', '10.0.2.10'] })],
        rules: [
          { name: 'one.example', records: zoneRecords(nodes, 'one.example') },
          { name: 'two.example', records: zoneRecords(nodes, 'two.example') },
        ],
      });
      for (const [at, { place, to }] of nodes.entries()) {
        if (place !== 'kept.test.example' || to === 'nothing') continue;
        const name = nameOf(nodes, at);
        const answer =
          to === 'address'
            ? rawRecord(name, 'A', 60, octets(addressOf(at)))
            : rawRecord(name, 'CNAME', 60, nameToWire(to === 'endpoint' ? ENDPOINT : nameOf(nodes, to)));
        rig.cache.retain(
          name,
          1,
          { message: message({ question: [name, 'A'], answers: [answer] }), ageMs: 0 },
          0,
        );
      }
      rig.says = (question) => upstreamSays(nodes, question);
      for (const start of nodes.keys()) {
        const want = expected(nodes, start);
        for (const it of ['first', 'again']) {
          const reply = await rig.answer({ name: nameOf(nodes, start), edns: {} }, { withinMs: 1000 });
          const what = `n${start} ${it}: ${JSON.stringify(nodes)}`;
          if (reply.tc || reply.octets.length > 1232) throw new Error(`does not fit: ${what}`);
          if (reply.rcode !== want.rcode) throw new Error(`RCODE ${reply.rcode} for ${want.rcode}: ${what}`);
          const found = reply.answers.filter(({ type }) => type === 'A').map(({ data }) => data);
          if (found.toSorted().join() !== want.addresses.join())
            throw new Error(`${found} for ${want.addresses}: ${what}`);
          const aliases = reply.answers.filter(({ type }) => type === 'CNAME').length;
          if (aliases !== want.aliases) throw new Error(`${aliases} aliases for ${want.aliases}: ${what}`);
          if (reply.aa !== (nodes[start]?.place.length === 11 && want.rcode !== 2))
            throw new Error(`AA ${reply.aa}: ${what}`);
        }
      }
    }),
    { numRuns: RUNS },
  );
  t.pass(`${RUNS} graphs`);
});
