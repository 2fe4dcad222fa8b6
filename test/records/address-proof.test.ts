import fc from 'fast-check';
import t from 'tap';
import { type AddressProof, PROOF_STATES, servedIn } from '../../src/records/endpoint-record.ts';

interface One {
  readonly address: string;
  readonly proof?: AddressProof;
  readonly awaitsProof?: true;
}

const proof = (state: AddressProof['state']): AddressProof => ({ state, sinceMs: 0 });
const names = (some: readonly One[]) => some.map(({ address }) => address).join(' ');

const A: One = { address: 'A', proof: proof('proven') };
const B: One = { address: 'B', proof: proof('unproven') };
const NEW: One = { address: 'N', proof: proof('unproven'), awaitsProof: true };
const WRONG: One = { address: 'W', proof: proof('refused') };
const UNTRIED: One = { address: 'U' };

t.test('what is served beside a proven address, and what is served without one', (t) => {
  const table: readonly (readonly [
    what: string,
    record: Parameters<typeof servedIn<One>>[0],
    string,
    string,
  ])[] = [
    ['a proven address', { addresses: [A, B, NEW, WRONG, UNTRIED], basis: 'name' }, 'A B U', 'N W'],
    ['no proven address', { addresses: [B, NEW, WRONG, UNTRIED], basis: 'name' }, 'B N W U', ''],
    ['only refused addresses', { addresses: [WRONG], basis: 'kept' }, 'W', ''],
    ['a pin', { addresses: [A, WRONG, NEW], basis: 'pin' }, 'A W N', ''],
    ['a proven address leaves', { addresses: [NEW, WRONG], leaving: [A], basis: 'name' }, 'A', 'N W'],
    ['a leaving address is lost', { addresses: [NEW], leaving: [B], basis: 'name' }, 'N B', ''],
    ['nothing known', { addresses: [], basis: 'none' }, '', ''],
  ];
  for (const [what, record, served, withheld] of table) {
    const found = servedIn(record);
    t.equal(names(found.served), served, `${what}: served`);
    t.equal(names(found.withheld), withheld, `${what}: withheld`);
  }
  t.end();
});

t.test('whatever is proven or refused, a name with addresses is answered', (t) => {
  const one = fc.record(
    {
      address: fc.ipV4(),
      proof: fc.constantFrom(...PROOF_STATES).map(proof),
      awaitsProof: fc.constant(true as const),
    },
    { requiredKeys: ['address'] },
  );
  const record = fc.record({
    addresses: fc.array(one, { minLength: 1 }),
    leaving: fc.array(one),
    basis: fc.string(),
  });
  fc.assert(
    fc.property(record, (record) => {
      const { served, withheld } = servedIn(record);
      const isProvenServed = served.some(({ proof }) => proof?.state === 'proven');
      const isWhole = served.length + withheld.length === record.addresses.length + record.leaving.length;
      return served.length > 0 && isWhole && (withheld.length === 0 || isProvenServed);
    }),
  );
  t.end();
});
