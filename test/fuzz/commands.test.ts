/** What a command sends, and a pin in the state file: nothing crashes, and what is taken comes back as it was. */
import fc from 'fast-check';
import t from 'tap';
import { ControlRefusal } from '../../src/admin/control-refusal.ts';
import { flushRoutes } from '../../src/admin/name-control.ts';
import { type PinReport, pinRoutes } from '../../src/admin/pin-control.ts';
import { canonicalJson, type Pin } from '../../src/records/endpoint-record.ts';
import { atOnce } from '../../src/runtime/slices.ts';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { record } from '../store/record-sets.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 1000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

const done: PinReport = { cluster: 'demo', served: [], isSaved: true };
const routes = [
  ...pinRoutes({
    clusters: () => [{ name: 'demo', allowedAddresses: ['10.0.0.0/8'], pin: [] }],
    refusalOf: (address) => (address.startsWith('10.') ? undefined : 'not-allowed'),
    pin: async () => done,
    unpin: async () => done,
  }),
  ...flushRoutes({
    normalName: (text) => (text.length > 3 ? text : undefined),
    cutText: () => 'the link is down',
    flush: async ({ name, below }) => ({
      name,
      below,
      answers: 0,
      retained: [],
      endpoints: [],
      isSaved: true,
    }),
  }),
];

const members = {
  cluster: fc.oneof(fc.constant('demo'), fc.string()),
  addresses: fc.oneof(fc.array(fc.oneof(fc.ipV4(), fc.string()), { maxLength: 80 }), fc.anything()),
  forMs: fc.oneof(fc.double(), fc.integer()),
  why: fc.string({ unit: 'binary', maxLength: 300 }),
  by: fc.string({ maxLength: 300 }),
  name: fc.string(),
  below: fc.oneof(fc.boolean(), fc.anything()),
  evenInCut: fc.oneof(fc.boolean(), fc.anything()),
};

t.test('no body of a command throws: it is done, or refused with a fix', async (t) => {
  const body = fc.oneof(
    { weight: 4, arbitrary: fc.record(members, { requiredKeys: [] }) },
    { weight: 1, arbitrary: fc.anything() },
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...routes), body, async (route, given) => {
      const answer = await route.run(given);
      if (!(answer instanceof ControlRefusal)) return typeof answer === 'object';
      return answer.error !== '' && answer.fix !== '' && !/[\p{Cc}]/u.test(answer.fix);
    }),
    { numRuns, seed },
  );
  t.pass();
});

t.test('a pin comes back from the state file as it went in', (t) => {
  const time = fc.integer({ min: 0, max: Date.UTC(2100, 0) });
  const pin: fc.Arbitrary<Pin> = fc.record({
    addresses: fc.array(fc.ipV4(), { minLength: 1, maxLength: 8 }),
    why: fc.string({ maxLength: 200 }),
    by: fc.constantFrom('ada', 'root', 'uid 1000'),
    sinceMs: time,
    untilMs: time,
    leftMs: fc.nat(),
  });
  fc.assert(
    fc.property(pin, (given) => {
      const content = [{ ...record('one', ['10.0.0.1']), pin: given }];
      const encoded = atOnce(ENDPOINTS.encode({ generation: 1, writtenAtMs: 0, content }));
      if (encoded.kind !== 'encoded') return false;
      const decoded = atOnce(ENDPOINTS.decode(encoded.octets));
      return decoded.kind === 'ok' && canonicalJson(decoded.file.content[0]?.pin) === canonicalJson(given);
    }),
    { numRuns, seed },
  );
  t.end();
});
