/**
 * Whether an address is proven to be the API server of its cluster. A TLS handshake proves it: the certificate is for the
 * endpoint's name, and the cluster's own authority signed it. It refuses to know how a proof is tried; far-side/ does that.
 */

/**
 * `proven`: the last handshake showed the right certificate. `refused`: a server with a different certificate, or without TLS,
 * answers there. `unproven`: neither is known, because nothing answers, or because no authority is known.
 */
export const PROOF_STATES = ['proven', 'unproven', 'refused'] as const;
export type ProofState = (typeof PROOF_STATES)[number];

/** Why an address is not proven, or what is odd about its proof. The list is fixed: each reason is a label of a metric. */
export const PROOF_REASONS = [
  'other-authority', // the certificate is not signed by an authority of the cluster
  'other-name', // the certificate is not for the name of the endpoint
  'no-tls', // a server answers, and does not complete a handshake by TLS
  'timeout', // nothing answered in time
  'network', // the connection is refused or reset, or there is no route
  'no-authority', // no authority of the cluster is known here
  'not-asked', // a fault of this host: the handshake was not tried
  'expired', // proven, although the certificate has ended by the clock of this host
  'not-yet-valid', // proven, although the certificate begins later by the clock of this host
] as const;
export type ProofReason = (typeof PROOF_REASONS)[number];

export interface AddressProof {
  readonly state: ProofState;
  /** The beginning of this state, wall ms. */
  readonly sinceMs: number;
  readonly reason?: ProofReason;
  /** The last successful proof, wall ms; renewed in steps of some minutes. It stays after the proof is lost. */
  readonly provenAtMs?: number;
}

/** Reasons for which another server than the API server answers at the address. */
const FOREIGN: ReadonlySet<ProofReason | undefined> = new Set(['other-authority', 'other-name', 'no-tls']);

export function isForeign({ reason }: Pick<AddressProof, 'reason'>): boolean {
  return FOREIGN.has(reason);
}

export function isProven({ proof }: { readonly proof?: AddressProof }): boolean {
  return proof?.state === 'proven';
}

/** The part of a record that decides which of its addresses are served. */
export interface Provable<Address> {
  readonly addresses: readonly Address[];
  /** Proven addresses that the sources have dropped; see `servedIn`. */
  readonly leaving?: readonly Address[];
  readonly basis: string;
}

interface ProvableAddress {
  readonly address: string;
  readonly proof?: AddressProof;
  readonly awaitsProof?: true;
}

export interface Served<Address> {
  readonly served: readonly Address[];
  readonly withheld: readonly Address[];
}

/**
 * The addresses that are served, and those that are not, because a proven address exists.
 *
 *     a proven address exists    served                                        withheld
 *     yes                        proven; unproven that was served before       refused; new and not proven yet
 *     no                         all, the refused too: a name is always answered    none
 *     pinned                     the pin, whatever is proven                   none
 */
export function servedIn<Address extends ProvableAddress>(record: Provable<Address>): Served<Address> {
  const { addresses, leaving = [], basis } = record;
  const all = [...addresses, ...leaving];
  if (basis === 'pin' || !all.some(isProven)) return { served: all, withheld: [] };
  const isWithheld = (one: Address) =>
    one.proof?.state === 'refused' || (one.awaitsProof === true && !isProven(one));
  return { served: all.filter((one) => !isWithheld(one)), withheld: all.filter(isWithheld) };
}
