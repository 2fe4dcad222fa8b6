/** What one source alone can do to a set that two kinds of source have confirmed, whatever it says and for however long. */
import fc from 'fast-check';
import t from 'tap';
import { addressesOf, type EndpointRecord } from '../../../src/records/endpoint-record.ts';
import type { AddressSource } from '../../../src/records/sources.ts';
import { refusalsBy, type SourceState } from '../../../src/refresh/reconcile/decision.ts';
import { decide, emptyRecord, keep, type PlanSettings } from '../../../src/refresh/reconcile/plan.ts';
import { atOnce } from '../../../src/runtime/slices.ts';
import { ENDPOINTS } from '../../../src/store/endpoints-format.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 400);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}`);

const FAR_MS = 1e12;
const settings: PlanSettings = {
  endpoint: 'api.example',
  pin: [],
  refusalOf: refusalsBy(['10.0.0.0/8']),
  confirmAfterMs: 15_000,
  maximumAgeMs: { dns: FAR_MS, route53: FAR_MS, interfaces: FAR_MS, kubernetes: FAR_MS },
};
const START_MS = 1_000;
const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'];
const STRANGERS = ['10.9.9.1', '10.9.9.2', '10.9.9.3', '52.94.1.1'];

function saw(source: AddressSource, addresses: readonly string[], nowMs: number, more = {}): SourceState {
  return { source, latest: 'succeeded', view: { addresses, observedAtMs: nowMs, ...more } };
}

function silent(source: AddressSource, before?: SourceState): SourceState {
  return { source, latest: 'failed', failure: 'timeout', view: before?.view };
}

/** A set that both the name and the listing of EC2 have given. */
function agreedOn(addresses: readonly string[]): EndpointRecord {
  const states = [saw('dns', addresses, START_MS), saw('interfaces', addresses, START_MS)];
  return decide(emptyRecord('my-cluster', 'us-west-2'), states, settings, START_MS).record;
}

/** What another process reads back from the file. */
function restarted(record: EndpointRecord): EndpointRecord {
  const encoded = atOnce(ENDPOINTS.encode({ generation: 1, writtenAtMs: 0, content: [record] }));
  if (encoded.kind !== 'encoded') throw new Error(encoded.detail);
  const decoded = atOnce(ENDPOINTS.decode(encoded.octets));
  if (decoded.kind !== 'ok' || decoded.file.content[0] === undefined) throw new Error(decoded.kind);
  return decoded.file.content[0];
}

interface Lie {
  /** Absent: the liar is silent. */
  readonly addresses?: readonly string[];
  readonly ttlSeconds: number;
  readonly upstream: string;
  readonly waitMs: number;
  /** Whether the honest source is heard this time. */
  readonly isHonestHeard: boolean;
  readonly isRestart: boolean;
}

const lie = fc.record({
  addresses: fc.option(fc.shuffledSubarray([...ADDRESSES, ...STRANGERS], { minLength: 1, maxLength: 8 }), {
    nil: undefined,
  }),
  ttlSeconds: fc.constantFrom(0, 5, 60, 86_400),
  upstream: fc.constantFrom('10.0.0.53:53', '10.0.0.54:53'),
  waitMs: fc.constantFrom(0, 1_000, 15_000, 61_000, 3_600_000, 7_200_000),
  isHonestHeard: fc.boolean(),
  isRestart: fc.boolean(),
}) as fc.Arbitrary<Lie>;
const truth = fc.integer({ min: 1, max: 6 }).map((count) => ADDRESSES.slice(0, count));
const story = fc.record({ agreed: truth, lies: fc.array(lie, { maxLength: 25 }) });

/** Plays the lies of one source against what the honest one says, and gives the sets that were served. */
function play(
  { agreed, lies }: { agreed: readonly string[]; lies: readonly Lie[] },
  liar: 'dns' | 'interfaces',
): (readonly string[])[] {
  const honest = liar === 'dns' ? 'interfaces' : 'dns';
  let record = agreedOn(agreed);
  let nowMs = START_MS;
  let last: Partial<Record<'dns' | 'interfaces', SourceState>> = {};
  return lies.map(({ addresses, ttlSeconds, upstream, waitMs, isHonestHeard, isRestart }) => {
    nowMs += waitMs;
    if (isRestart) {
      record = keep(restarted(record), [], settings, nowMs).record;
      last = {};
    }
    const given =
      addresses === undefined
        ? silent(liar, last[liar])
        : saw(liar, addresses, nowMs, liar === 'dns' ? { ttlSeconds, upstream } : {});
    const heard = isHonestHeard ? saw(honest, agreed, nowMs) : silent(honest, last[honest]);
    last = { [liar]: given, [honest]: heard };
    record = (addresses === undefined && !isHonestHeard ? keep : decide)(
      record,
      [given, heard],
      settings,
      nowMs,
    ).record;
    return addressesOf(record);
  });
}

t.test('names alone never add an address, nor take away more than half of a corroborated set', (t) => {
  fc.assert(
    fc.property(story, ({ agreed, lies }) =>
      play({ agreed, lies }, 'dns').every(
        (served) => served.every((address) => agreed.includes(address)) && served.length * 2 >= agreed.length,
      ),
    ),
    { numRuns: RUNS, seed },
  );
  t.end();
});

t.test(
  'a listing alone never takes away an address that the name has, nor one that it had within a day',
  (t) => {
    fc.assert(
      fc.property(story, ({ agreed, lies }) => {
        // for up to a day: then a name that is silent speaks for nothing
        const elapsedMs = (at: number) => lies.slice(0, at + 1).reduce((sum, { waitMs }) => sum + waitMs, 0);
        const withinDay = lies.filter((_, at) => elapsedMs(at) < 86_400_000);
        return play({ agreed, lies: withinDay }, 'interfaces').every((served) =>
          agreed.every((address) => served.includes(address)),
        );
      }),
      { numRuns: RUNS, seed },
    );
    t.end();
  },
);

t.test('a listing alone adds nothing while the name has something in common with it', (t) => {
  fc.assert(
    fc.property(story, ({ agreed, lies }) => {
      const overlapping = lies.map(({ addresses, ...rest }) => ({
        ...rest,
        addresses: [...(addresses ?? []), agreed[0] ?? ''],
        isHonestHeard: true,
      }));
      return play({ agreed, lies: overlapping }, 'interfaces').every((served) =>
        served.every((address) => agreed.includes(address)),
      );
    }),
    { numRuns: RUNS, seed },
  );
  t.end();
});

t.test('the guard is not walked round in two steps: {1, 2}, then {1, X}, then {X}', (t) => {
  const [one, two, stranger] = ['10.0.0.1', '10.0.0.2', '10.9.9.9'];
  for (const failure of ['timeout', 'network', 'malformed', 'no-credentials'] as const) {
    let record = agreedOn([one, two]);
    for (const [at, given] of [[one, stranger], [stranger], [stranger], [one], [stranger]].entries()) {
      const nowMs = START_MS + (at + 1) * 3_600_000;
      const states: readonly SourceState[] = [
        saw('dns', given, nowMs, { ttlSeconds: 60 }),
        { source: 'interfaces', latest: 'failed', failure },
      ];
      record = decide(restarted(record), states, settings, nowMs).record;
      t.notOk(addressesOf(record).includes(stranger), `${failure}: ${given}`);
      t.ok(addressesOf(record).includes(one), `${failure}: ${given}`);
    }
  }
  t.end();
});

t.test('where no witness is awaited, small steps add up against the set that was corroborated', (t) => {
  const [one, two, other, stranger] = ['10.0.0.1', '10.0.0.2', '10.0.0.8', '10.0.0.9'];
  const first = { ...agreedOn([one, two]), confirmedAtMs: { dns: START_MS } };
  const step = (record: EndpointRecord, given: readonly string[], nowMs: number, more = {}) =>
    decide(record, [saw('dns', given, nowMs, { ttlSeconds: 300, ...more })], settings, nowMs).record;
  const half = step(first, [one, other], 2_000);
  t.strictSame(addressesOf(half), [one, other], 'half of it is taken at once');
  const held = step(half, [other, stranger], 4_000, { upstream: 'a' });
  t.strictSame(addressesOf(held), [one, other], 'and the other half is not');
  t.match(held.held, { reason: 'loses 2 of 2 addresses', ttlSeconds: 300, upstream: 'a' });
  t.strictSame(restarted(held).held, held.held);
  t.strictSame(restarted(held).corroborated, [one, two]);

  const cached = step(held, [other, stranger], 4_000 + 299_000, { upstream: 'a' });
  t.strictSame(addressesOf(cached), [one, other], 'what a cache still holds is no repetition');
  t.strictSame(
    addressesOf(step(cached, [other, stranger], 4_000 + 300_000, { upstream: 'a' })).toSorted(),
    [other, stranger].toSorted(),
    'after the TTL it is',
  );
  t.strictSame(
    addressesOf(step(held, [other, stranger], 20_000, { upstream: 'b' })).toSorted(),
    [other, stranger].toSorted(),
    'so it is from another upstream',
  );
  t.strictSame(addressesOf(step(held, [other, stranger], 5_000, { upstream: 'b' })), [one, other], 'later');
  t.end();
});

t.test('names that drop what the interfaces still list are not believed about most of the set', (t) => {
  const all = ADDRESSES.slice(0, 3);
  let record = agreedOn(all);
  for (let at = 1; at < 6; at++) {
    const nowMs = START_MS + at * 3_600_000;
    const states = [saw('dns', ['10.0.0.1'], nowMs), saw('interfaces', all, nowMs)];
    record = decide(record, states, settings, nowMs).record;
    t.strictSame(addressesOf(record), all);
  }
  t.match(record.held, {
    awaits: 'interfaces',
    reason: /of which the interfaces list 10\.0\.0\.2, 10\.0\.0\.3/,
  });
  t.end();
});

t.test('a name that begins to speak leaves out the interfaces that it never had', (t) => {
  const nine = ['1', '2', '3', '4', '5', '6', '7', '8', '9'].map((last) => `10.0.1.${last}`);
  const listed = (nowMs: number) => saw('interfaces', nine, nowMs);
  const before = decide(emptyRecord('old', 'us-west-2'), [listed(1)], settings, 1).record;
  const named = (nowMs: number) => [saw('dns', nine.slice(0, 3), nowMs), listed(nowMs)];
  const held = decide(before, named(2), settings, 2).record;
  t.strictSame(addressesOf(held), nine);
  t.strictSame(addressesOf(decide(held, named(20_000), settings, 20_000).record), nine.slice(0, 3));
  t.end();
});

t.test('an old state file has no corroborated set: what it serves is one', (t) => {
  const { corroborated: _, ...old } = agreedOn(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  const states = (nowMs: number, given: readonly string[]) => [
    saw('dns', given, nowMs),
    silent('interfaces'),
  ];
  const small = decide(restarted(old), states(9_000, ['10.0.0.1', '10.0.0.2']), settings, 9_000).record;
  const next = decide(restarted(small), states(99_000, ['10.0.0.1']), settings, 99_000).record;
  t.strictSame(addressesOf(next), ['10.0.0.1', '10.0.0.2']);
  t.match(next.held, { reason: 'loses 2 of 3 addresses', awaits: 'interfaces' });
  t.end();
});
