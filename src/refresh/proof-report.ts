/** Says in words what is proven of an address, for warnings, the page and `explain`. Pure. */
import {
  type AddressProof,
  type EndpointRecord,
  isForeign,
  isProven,
  type ProofReason,
  type ProofState,
  servedIn,
} from '../records/endpoint-record.ts';

export const REASON_TEXT: Readonly<Record<ProofReason, string>> = {
  'other-authority': 'its certificate is not signed by an authority of the cluster',
  'other-name': 'its certificate is not for the name of the endpoint',
  'no-tls': 'a server answers there that completes no handshake by TLS',
  timeout: 'it does not answer in time',
  network: 'this host cannot connect to it',
  'no-authority': 'no authority of the cluster is known here',
  'not-asked': 'this host could not try it',
  expired: 'its certificate has ended by the clock of this host',
  'not-yet-valid': 'its certificate begins later by the clock of this host',
};

/** `proven`, or `refused: its certificate is not for the name of the endpoint`. */
export function proofText({
  state,
  reason,
}: {
  readonly state: ProofState;
  readonly reason?: ProofReason;
}): string {
  return reason === undefined ? state : `${state}: ${REASON_TEXT[reason]}`;
}

/** Sentences for a person; empty where all is well, or where nothing can be proven. */
export function proofWarnings(record: EndpointRecord): readonly string[] {
  const { addresses, leaving = [] } = record;
  const { withheld } = servedIn(record);
  const all = [...addresses, ...leaving];
  const warnings: string[] = [];
  for (const { address, proof } of all) {
    if (proof === undefined) continue;
    const isWithheld = withheld.some((one) => one.address === address);
    const warning = proofWarning(address, proof, isWithheld);
    if (warning !== undefined) warnings.push(warning);
  }
  if (leaving.length > 0) {
    const names = leaving.map(({ address }) => address).join(', ');
    warnings.push(
      `${names} stays, although the sources have dropped it: it is proven, and no address of the sources is`,
    );
  }
  const isAllRefused = addresses.length > 0 && addresses.every(({ proof }) => proof?.state === 'refused');
  if (isAllRefused && !all.some(isProven)) {
    warnings.push(
      'every address is refused, so all of them are served: either other hosts have all of them now (pin the right ones), or probe.ca or the kubeconfig has the authority of another cluster',
    );
  }
  return warnings;
}

function proofWarning(address: string, proof: AddressProof, isWithheld: boolean): string | undefined {
  const { state, reason, provenAtMs } = proof;
  const why = reason === undefined ? '' : `: ${REASON_TEXT[reason]}`;
  const rest = isWithheld ? ', and is not served while proven addresses exist' : '';
  if (state === 'refused') return `${address} is refused${rest}${why}`;
  if (state === 'proven') {
    return reason === undefined
      ? undefined
      : `${address} is proven, but ${REASON_TEXT[reason]}: is the clock right, or must the certificate be renewed?`;
  }
  if (isWithheld) return `${address} is new and not proven yet${rest}${why}`;
  if (provenAtMs === undefined) return undefined;
  const lost = `${address} has lost its proof and is answered last${why}`;
  return isForeign(proof) ? `${lost}; a second check decides` : lost;
}
