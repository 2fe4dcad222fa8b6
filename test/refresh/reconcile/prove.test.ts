import fc from 'fast-check';
import t from 'tap';
import type {
  AddressProof,
  CheckResult,
  EndpointRecord,
  KnownAddress,
} from '../../../src/records/endpoint-record.ts';
import { refusalsBy } from '../../../src/refresh/reconcile/decision.ts';
import {
  decide,
  emptyRecord,
  keep,
  type PlanSettings,
  withProofs,
} from '../../../src/refresh/reconcile/plan.ts';
import {
  asAnswered,
  initialStanding,
  isInDoubt,
  movesAtMs,
  nextStanding,
  type Standing,
} from '../../../src/refresh/reconcile/prove.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 200);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff);
t.comment(`fast-check seed ${seed}, ${numRuns} runs`);

const [A, B, C, D] = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
const MINUTE_MS = 60_000;

const PROVEN: CheckResult = { kind: 'proven' };
const WRONG: CheckResult = { kind: 'refused', reason: 'other-authority' };
const SILENT: CheckResult = { kind: 'silent', reason: 'timeout' };
const NO_AUTHORITY: CheckResult = { kind: 'untried', reason: 'no-authority', isListening: true };
const NOT_ASKED: CheckResult = { kind: 'untried', reason: 'not-asked' };

const settings: PlanSettings = {
  endpoint: 'api.example',
  pin: [],
  isProving: true,
  refusalOf: refusalsBy(['10.0.0.0/8']),
  confirmAfterMs: 15_000,
  maximumAgeMs: { dns: 155_000, route53: 920_000, interfaces: 920_000, kubernetes: 200_000 },
};

/** One result a minute. */
function after(...results: readonly CheckResult[]): Standing {
  return results.reduce<Standing>((standing, result, at) => nextStanding(standing, result, at * MINUTE_MS), {
    silences: 0,
  });
}

t.test('what a history of checks makes of an address', (t) => {
  const many = (count: number, result: CheckResult) => Array.from({ length: count }, () => result);
  const table: readonly (readonly [
    what: string,
    history: readonly CheckResult[],
    proof: string,
    place: number,
  ])[] = [
    ['never silent', [PROVEN], 'proven', 0],
    ['outside its time by the clock', [{ kind: 'proven', reason: 'expired' }], 'proven expired', 1],
    ['one lost packet', [PROVEN, SILENT], 'proven', 0],
    ['silent twice', [PROVEN, SILENT, SILENT], 'unproven timeout', 4],
    ['back again', [PROVEN, SILENT, SILENT, PROVEN], 'proven', 0],
    ['never reached', [SILENT, SILENT], 'unproven timeout', 5],
    ['another server from the start', [WRONG], 'refused other-authority', 6],
    ['another server once, after a proof', [PROVEN, WRONG], 'unproven other-authority', 6],
    ['another server twice', [PROVEN, WRONG, WRONG], 'refused other-authority', 6],
    ['another server, and then silence', [PROVEN, WRONG, SILENT, SILENT], 'unproven other-authority', 6],
    [
      'another server that restarts',
      [PROVEN, WRONG, WRONG, SILENT, SILENT, SILENT],
      'refused other-authority',
      6,
    ],
    ['the right server after another', [PROVEN, WRONG, WRONG, PROVEN], 'proven', 0],
    ['silence, then another server', [PROVEN, SILENT, SILENT, WRONG], 'unproven other-authority', 6],
    [
      'silence, then another server twice',
      [PROVEN, SILENT, SILENT, WRONG, WRONG],
      'refused other-authority',
      6,
    ],
    ['no authority is known', [NO_AUTHORITY], 'unproven no-authority', 3],
    ['no authority for half an hour', [PROVEN, ...many(30, NO_AUTHORITY)], 'proven', 0],
    ['no authority for an hour', [PROVEN, ...many(61, NO_AUTHORITY)], 'unproven no-authority', 2],
    ['a fault of this host for half an hour', [PROVEN, ...many(30, NOT_ASKED)], 'proven', 0],
    ['a fault of this host is no silence', [PROVEN, SILENT, NOT_ASKED, NOT_ASKED], 'proven', 0],
    ['refused, and no authority any more', [WRONG, ...many(90, NO_AUTHORITY)], 'refused other-authority', 6],
    [
      'not listening, and no authority',
      [PROVEN, ...many(2, { ...NO_AUTHORITY, isListening: false })],
      'unproven no-authority',
      4,
    ],
  ];
  for (const [what, history, proof, place] of table) {
    const standing = after(...history);
    const { state, reason } = standing.proof ?? {};
    t.equal([state, reason].filter(Boolean).join(' '), proof, `${what}: proof`);
    t.equal(standing.place, place, `${what}: place`);
  }
  t.end();
});

t.test('the time of a proof is its first moment, and the last proof is noted in steps', (t) => {
  const standing = after(...Array.from({ length: 15 }, () => PROVEN));
  t.strictSame(standing.proof, { state: 'proven', sinceMs: 0, provenAtMs: 10 * MINUTE_MS });
  const lost = [SILENT, SILENT].reduce((one, result) => nextStanding(one, result, 20 * MINUTE_MS), standing);
  t.strictSame(lost.proof, {
    state: 'unproven',
    sinceMs: 20 * MINUTE_MS,
    reason: 'timeout',
    provenAtMs: 10 * MINUTE_MS,
  });
  t.end();
});

t.test('a flapping address moves at most once in 30 s, and a doubt is asked again soon', (t) => {
  let standing: Standing = { silences: 0 };
  const moves: number[] = [];
  for (let second = 0; second < 600; second++) {
    const isUp = Math.floor(second / 3) % 2 === 0;
    const next = nextStanding(standing, isUp ? PROVEN : SILENT, second * 1_000);
    if (standing.place !== undefined && next.place !== standing.place) moves.push(second);
    standing = next;
  }
  t.ok(moves.length > 4, `${moves.length} moves`);
  for (const [at, second] of moves.entries()) if (at > 0) t.ok(second - (moves[at - 1] ?? 0) >= 30);
  t.end();
});

/** A record with these addresses, as DNS and EC2 agree on them. */
function decided(before: EndpointRecord, addresses: readonly string[], nowMs: number): EndpointRecord {
  const view = { addresses, ttlSeconds: 60, observedAtMs: nowMs };
  const state = { latest: 'succeeded', view } as const;
  const sources = [
    { source: 'dns', ...state },
    { source: 'interfaces', ...state },
  ] as const;
  return decide(before, sources, settings, nowMs).record;
}

function proven(
  before: EndpointRecord,
  proofs: Readonly<Record<string, AddressProof['state']>>,
): EndpointRecord {
  const standings = Object.entries(proofs).map(([address, state]): [string, Standing] => [
    address,
    { silences: 0, proof: { state, sinceMs: 0 } },
  ]);
  return withProofs(before, new Map(standings), 0).record;
}

const names = ({ addresses }: EndpointRecord) => addresses.map(({ address }) => address).join(' ');
const answeredIn = (record: EndpointRecord) => names(asAnswered(record, new Map()));
const EMPTY = emptyRecord('demo', 'us-west-2');

t.test('a new address is served when it is proven, or when no address is proven any more', (t) => {
  const both = proven(decided(EMPTY, [A, B], 0), { [A]: 'proven', [B]: 'proven' });
  const grown = decided(both, [A, B, C], 1_000);
  t.equal(names(grown), `${A} ${B} ${C}`, 'the record has it');
  t.equal(answeredIn(grown), `${A} ${B}`, 'a client does not get it');
  t.equal(answeredIn(proven(grown, { [C]: 'unproven' })), `${A} ${B}`);
  t.equal(answeredIn(proven(grown, { [C]: 'refused' })), `${A} ${B}`);
  const admitted = proven(grown, { [C]: 'proven' });
  t.equal(answeredIn(admitted), `${A} ${B} ${C}`);
  t.equal(
    answeredIn(proven(admitted, { [C]: 'unproven' })),
    `${A} ${B} ${C}`,
    'an address that was proven once',
  );
  const alone = proven(grown, { [A]: 'unproven', [B]: 'unproven' });
  t.equal(answeredIn(alone), `${A} ${B} ${C}`);
  t.equal(answeredIn(proven(alone, { [A]: 'proven' })), `${A} ${B}`, 'it is still not proven');
  t.end();
});

t.test('proven addresses stay until one of the set that replaces them is proven', (t) => {
  const both = proven(decided(EMPTY, [A, B], 0), { [A]: 'proven', [B]: 'proven' });
  const held = decided(both, [C, D], 60_000);
  t.equal(answeredIn(held), `${A} ${B}`, 'held back by the guard');
  const replaced = decided(held, [C, D], 120_000);
  t.equal(names(replaced), `${C} ${D}`);
  t.equal(answeredIn(replaced), `${A} ${B}`);
  t.equal(answeredIn(proven(replaced, { [A]: 'unproven' })), B);
  const gone = proven(replaced, { [A]: 'unproven', [B]: 'refused' });
  t.equal(answeredIn(gone), `${C} ${D}`, 'the old servers are gone: the new set is served without a proof');
  t.equal(answeredIn(proven(replaced, { [D]: 'proven' })), D, 'the new set is right');
  t.end();
});

t.test(
  'a restart keeps what is withheld and what stays; a cluster that is not proven any more forgets it',
  (t) => {
    const both = proven(decided(EMPTY, [A, B], 0), { [A]: 'proven', [B]: 'proven' });
    const replaced = decided(decided(both, [C, D], 60_000), [C, D], 120_000);
    const again = keep(replaced, [], settings, 130_000).record;
    t.equal(answeredIn(again), `${A} ${B}`);
    const bare = keep(replaced, [], { ...settings, isProving: false }, 130_000).record;
    t.equal(answeredIn(bare), `${C} ${D}`);
    t.notMatch(JSON.stringify(bare), /proof|leaving|awaits/i);
    t.end();
  },
);

t.test('a pin wins over every proof, and its end takes up what was known before', (t) => {
  const both = proven(decided(EMPTY, [A, B], 0), { [A]: 'proven', [B]: 'refused' });
  t.equal(answeredIn(both), A);
  const pinned = keep(both, [], { ...settings, pin: [B, D] }, 1_000).record;
  t.equal(answeredIn(pinned), `${D} ${B}`, 'refused or not: last, and served');
  const refused = proven(pinned, { [D]: 'refused' });
  t.equal(names(asAnswered(refused, new Map())), `${B} ${D}`);
  t.equal(answeredIn(keep(refused, [], settings, 2_000).record), A);
  t.end();
});

t.test('the clock of a zone moves when the served set changes, and not with a repeated proof', (t) => {
  const both = proven(decided(EMPTY, [A, B], 5), { [A]: 'proven', [B]: 'proven' });
  t.equal(both.changedAtMs, 5);
  const standings = new Map([[B, { silences: 0, proof: { state: 'refused', sinceMs: 9 } } as const]]);
  const { record, changes } = withProofs(both, standings, 9);
  t.equal(record.changedAtMs, 9);
  t.strictSame(changes, [
    { kind: 'proof', address: B, from: 'proven', to: 'refused' },
    { kind: 'withheld', address: B, isWithheld: true },
  ]);
  t.equal(withProofs(record, standings, 10).record, record, 'the same object');
  t.end();
});

t.test('a new address comes into the answers with its proof, and not before', (t) => {
  const one = proven(decided(EMPTY, [A], 0), { [A]: 'proven' });
  const waiting = decided(one, [A, D], 1_000);
  t.equal(answeredIn(waiting), A);
  const standings = new Map([[D, { silences: 0, proof: { state: 'proven', sinceMs: 2_000 } } as const]]);
  const { changes } = withProofs(waiting, standings, 2_000);
  t.match(changes.at(-1), { kind: 'withheld', address: D, isWithheld: false });
  t.end();
});

/** What may happen, in any order: time passes, a check ends, the sources change, the server starts again. */
type Step =
  | { readonly kind: 'check'; readonly at: number; readonly result: CheckResult; readonly waitMs: number }
  | { readonly kind: 'sources'; readonly addresses: readonly string[]; readonly waitMs: number }
  | { readonly kind: 'restart'; readonly waitMs: number };

const POOL = [A, B, C, D];
const waitMs = fc.constantFrom(100, 2_000, 10_000, 16_000, 31_000, 600_000);
const anyResult = fc.constantFrom<CheckResult>(
  PROVEN,
  PROVEN,
  WRONG,
  SILENT,
  SILENT,
  NO_AUTHORITY,
  NOT_ASKED,
  {
    kind: 'proven',
    reason: 'not-yet-valid',
  },
);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('check'), at: fc.nat(3), result: anyResult, waitMs }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('sources'), addresses: fc.subarray(POOL), waitMs }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart'), waitMs }) },
);

t.test('over random histories every promise of a proof holds', (t) => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
      let record = decided(EMPTY, [A, B], 0);
      let standings = new Map<string, Standing>();
      let nowMs = 0;
      const movedAtMs = new Map<string, number>();
      for (const step of steps) {
        nowMs += step.waitMs;
        const before = { record, standings };
        if (step.kind === 'restart') {
          standings = new Map();
          movedAtMs.clear();
          record = keep(record, [], settings, nowMs).record;
        } else if (step.kind === 'sources') {
          record = step.addresses.length === 0 ? record : decided(record, step.addresses, nowMs);
        } else {
          const watched = all(record);
          const one = watched[step.at % watched.length];
          if (one === undefined) continue;
          const known = standings.get(one.address) ?? initialStanding(one);
          const next = nextStanding(known, step.result, nowMs);
          checkMove(one.address, known, next, nowMs, movedAtMs);
          standings = new Map(standings).set(one.address, next);
          record = withProofs(record, standings, nowMs).record;
        }
        standings = new Map(
          all(record).map((one) => [one.address, standings.get(one.address) ?? initialStanding(one)]),
        );
        checkServed(before, { record, standings });
      }
    }),
    { seed, numRuns },
  );
  t.pass(`${numRuns} histories`);
  t.end();
});

function all({ addresses, leaving = [] }: EndpointRecord): readonly KnownAddress[] {
  return [...addresses, ...leaving];
}

function must(is: boolean, what: string, facts: unknown): void {
  if (!is) throw new Error(`${what}: ${JSON.stringify(facts)}`);
}

function checkMove(
  address: string,
  before: Standing,
  after: Standing,
  nowMs: number,
  movedAtMs: Map<string, number>,
): void {
  const facts = { address, before, after, nowMs };
  const isLost = before.proof?.state === 'proven' && after.proof?.state !== 'proven';
  must(!(before.proof?.state === 'proven' && after.proof?.state === 'refused'), 'refused at once', facts);
  if (isLost && after.awaited === undefined) must((after.place ?? 0) >= 2, 'a lost proof is not last', facts);
  const wasProven = before.proof?.provenAtMs !== undefined && before.proof.state !== 'refused';
  if (wasProven && after.proof?.state === 'refused')
    must(before.place === 6, 'refused before it was last', facts);
  if (isInDoubt(after)) must(after.proof !== undefined, 'doubt about nothing', facts);
  if (before.place === undefined || before.place === after.place) return;
  must(nowMs - (movedAtMs.get(address) ?? Number.NEGATIVE_INFINITY) >= 30_000, 'moved too soon', facts);
  must(movesAtMs(after) === undefined, 'moved and waits', facts);
  movedAtMs.set(address, nowMs);
}

interface World {
  readonly record: EndpointRecord;
  readonly standings: ReadonlyMap<string, Standing>;
}

function checkServed(before: World, { record, standings }: World): void {
  const facts = { record, standings: [...standings] };
  const { addresses } = asAnswered(record, standings);
  must(addresses.length > 0, 'an endpoint without an answer', facts);
  const isProven = ({ proof }: KnownAddress) => proof?.state === 'proven';
  const known = all(record);
  if (known.some(isProven)) {
    must(addresses.some(isProven), 'no proven address is served', facts);
    must(!addresses.some(({ proof }) => proof?.state === 'refused'), 'a refused address is served', facts);
  } else must(addresses.length === known.length, 'an address is withheld for nothing', facts);
  // a new address beside proven addresses
  const had = new Set(all(before.record).map(({ address }) => address));
  const hadProven = all(before.record).some(isProven);
  for (const one of addresses) {
    if (had.has(one.address) || isProven(one) || !known.some(isProven)) continue;
    must(!hadProven, 'a new address is served before its proof', { one, ...facts });
  }
  // the order follows the places
  const places = addresses.map(({ address }) => standings.get(address)?.place ?? 0);
  const lasts = addresses.map(({ isLast }) => isLast === true);
  must(lasts.indexOf(false) === 0, 'nobody is first', facts);
  must(
    lasts.every((isLast, at) => at === 0 || isLast || !lasts[at - 1]),
    'last before first',
    { places, ...facts },
  );
}
