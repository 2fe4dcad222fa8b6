import t from 'tap';
import { type AddressProof, type EndpointRecord, PROOF_REASONS } from '../../src/records/endpoint-record.ts';
import { proofText, proofWarnings, REASON_TEXT } from '../../src/refresh/cluster-warnings.ts';
import { emptyRecord } from '../../src/refresh/reconcile/plan.ts';

const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];

function warningsOf(
  proofs: Readonly<Record<string, Partial<AddressProof> & { readonly isNew?: true }>>,
  more: Partial<EndpointRecord> = {},
): readonly string[] {
  const addresses = Object.entries(proofs).map(([address, { isNew, ...proof }]) => ({
    address,
    provenance: {},
    proof: { state: 'unproven' as const, sinceMs: 0, ...proof },
    ...(isNew === undefined ? {} : { awaitsProof: isNew }),
  }));
  return proofWarnings({ ...emptyRecord('demo', undefined), basis: 'name', addresses, ...more });
}

t.test('a person hears of a proof that is lost, refused, awaited or odd, and of nothing else', (t) => {
  t.strictSame(warningsOf({ [A]: { state: 'proven' }, [B]: { reason: 'timeout' } }), []);
  t.strictSame(warningsOf({ [A]: { reason: 'no-authority' } }), []);
  t.strictSame(warningsOf({ [A]: { state: 'proven' }, [B]: { reason: 'timeout', provenAtMs: 1 } }), [
    `${B} has lost its proof and is answered last: it does not answer in time`,
  ]);
  t.match(warningsOf({ [A]: { reason: 'other-name', provenAtMs: 1 } }), [
    /lost its proof.*a second check decides$/,
  ]);
  t.strictSame(warningsOf({ [A]: { state: 'proven' }, [B]: { state: 'refused', reason: 'other-name' } }), [
    `${B} is refused, and is not served while proven addresses exist: its certificate is not for the name of the endpoint`,
  ]);
  t.match(warningsOf({ [A]: { state: 'proven' }, [B]: { reason: 'network', isNew: true } }), [
    `${B} is new and not proven yet, and is not served while proven addresses exist: this host cannot connect to it`,
  ]);
  t.match(warningsOf({ [A]: { state: 'proven', reason: 'expired' } }), [
    /is proven, but .* is the clock right/,
  ]);
  t.match(warningsOf({ [A]: { state: 'refused', reason: 'other-authority' } }), [
    /^10.0.0.1 is refused: its/,
    /every address is refused, so all of them are served: .*probe\.ca/,
  ]);
  const leaving = [{ address: C, provenance: {}, proof: { state: 'proven', sinceMs: 0 } as const }];
  t.match(warningsOf({ [A]: { isNew: true } }, { leaving }), [
    /is new and not proven yet/,
    `${C} stays, although the sources have dropped it: it is proven, and no address of the sources is`,
  ]);
  t.end();
});

t.test('every reason has its words', (t) => {
  t.strictSame(Object.keys(REASON_TEXT).sort(), [...PROOF_REASONS].sort());
  t.equal(proofText({ state: 'proven' }), 'proven');
  t.equal(proofText({ state: 'unproven', reason: 'timeout' }), 'unproven: it does not answer in time');
  t.end();
});
