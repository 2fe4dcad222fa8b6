/** Finds the differences between two records of one cluster, for the log, the ledger and the metrics. Pure. */
import {
  addressesOf,
  type ClusterDetails,
  type EndpointRecord,
  type HeldChange,
  hasSameJson,
  type KnownAddress,
  type Pin,
  type ProofReason,
  type ProofState,
  servedIn,
} from '../../records/endpoint-record.ts';
import { hasSameAddresses } from './decision.ts';

export type Change =
  | {
      readonly kind: 'addresses';
      readonly added: readonly string[];
      readonly removed: readonly string[];
      readonly basis: EndpointRecord['basis'];
    }
  | { readonly kind: 'basis'; readonly from: EndpointRecord['basis']; readonly to: EndpointRecord['basis'] }
  | { readonly kind: 'endpoint'; readonly from: string | undefined; readonly to: string }
  | { readonly kind: 'details'; readonly fields: readonly (keyof ClusterDetails)[] }
  | { readonly kind: 'held'; readonly held: HeldChange }
  | { readonly kind: 'released'; readonly held: HeldChange; readonly outcome: 'adopted' | 'dropped' }
  | { readonly kind: 'pinned'; readonly pin: Pin }
  | { readonly kind: 'unpinned'; readonly pin: Pin; readonly by: PinEnd; readonly ranMs: number }
  | {
      readonly kind: 'proof';
      readonly address: string;
      readonly from?: ProofState;
      readonly to: ProofState;
      readonly reason?: ProofReason;
    }
  | {
      /** A refused address leaves the answers because a proven address exists; or a withheld address comes into them. */
      readonly kind: 'withheld';
      readonly address: string;
      readonly isWithheld: boolean;
      readonly reason?: ProofReason;
    }
  | { readonly kind: 'refresh-failed' }
  | { readonly kind: 'refresh-recovered' };

/** How a pin ended: its time was up, or a command removed or replaced it. */
export type PinEnd = 'time' | 'command';

/** Confirmations are no changes. */
export function changesBetween(
  before: EndpointRecord,
  after: EndpointRecord,
  nowMs: number,
): readonly Change[] {
  const changes: Change[] = [];
  if (after.endpoint !== undefined && after.endpoint !== before.endpoint)
    changes.push({ kind: 'endpoint', from: before.endpoint, to: after.endpoint });
  const fields = DETAIL_FIELDS.filter(
    (field) => String(before.details?.[field]) !== String(after.details?.[field]),
  );
  if (fields.length > 0) changes.push({ kind: 'details', fields });
  changes.push(...pinChanges(before.pin, after.pin, nowMs));
  changes.push(
    ...addressChanges(before, after),
    ...heldChanges(before, after),
    ...proofChanges(before, after),
    ...withheldChanges(before, after),
  );
  if (before.lastRefreshFailed !== after.lastRefreshFailed)
    changes.push({ kind: after.lastRefreshFailed ? 'refresh-failed' : 'refresh-recovered' });
  return changes;
}

/** The type demands every field: a field that is not compared is never learned where other details are known already. */
const DETAILS: Readonly<Record<Exclude<keyof ClusterDetails, 'learnedAtMs'>, true>> = {
  id: true,
  endpoint: true,
  vpcId: true,
  subnetIds: true,
  certificateAuthority: true,
  generation: true,
  outpost: true,
};
// the assertion: the type of DETAILS names its keys
const DETAIL_FIELDS = Object.keys(DETAILS) as readonly (keyof typeof DETAILS)[];

function pinChanges(before: Pin | undefined, after: Pin | undefined, nowMs: number): readonly Change[] {
  if (hasSameJson(before, after)) return [];
  const changes: Change[] = [];
  if (before !== undefined) {
    const by = before.untilMs <= nowMs ? 'time' : 'command';
    const ranMs = Math.max(0, Math.round(Math.min(nowMs, before.untilMs) - before.sinceMs));
    changes.push({ kind: 'unpinned', pin: before, by, ranMs });
  }
  if (after !== undefined) changes.push({ kind: 'pinned', pin: after });
  return changes;
}

function addressChanges(before: EndpointRecord, after: EndpointRecord): readonly Change[] {
  const had = addressesOf(before);
  const has = addressesOf(after);
  if (hasSameAddresses(had, has)) {
    return before.basis === after.basis ? [] : [{ kind: 'basis', from: before.basis, to: after.basis }];
  }
  const added = has.filter((address) => !had.includes(address));
  const removed = had.filter((address) => !has.includes(address));
  return [{ kind: 'addresses', added, removed, basis: after.basis }];
}

/** The changes of proofs. Every new address is unproven at first, so that alone is no change. */
function proofChanges(before: EndpointRecord, after: EndpointRecord): readonly Change[] {
  const all = ({ addresses, leaving = [] }: EndpointRecord) => [...addresses, ...leaving];
  const had = new Map(all(before).map(({ address, proof }) => [address, proof?.state]));
  return all(after).flatMap(({ address, proof }): readonly Change[] => {
    if (proof === undefined || !had.has(address)) return [];
    const from = had.get(address);
    if (proof.state === (from ?? 'unproven')) return [];
    const { state: to, reason } = proof;
    const cause = reason === undefined ? {} : { reason };
    return [{ kind: 'proof', address, ...(from === undefined ? {} : { from }), to, ...cause }];
  });
}

/**
 * A new address that waits for its proof has not left; with its proof it comes. An address that the sources drop has its own
 * change.
 */
function withheldChanges(before: EndpointRecord, after: EndpointRecord): readonly Change[] {
  if (before.addresses === after.addresses && before.leaving === after.leaving) return [];
  const was = servedIn(before);
  const is = servedIn(after);
  const wasServed = new Set(was.served.map(({ address }) => address));
  const wasWithheld = new Set(was.withheld.map(({ address }) => address));
  const left = is.withheld.filter((one) => isRefused(one) && wasServed.has(one.address));
  const back = is.served.filter(({ address }) => wasWithheld.has(address));
  return [
    ...left.map(({ address, proof }) => ({
      kind: 'withheld' as const,
      address,
      isWithheld: true,
      ...(proof?.reason === undefined ? {} : { reason: proof.reason }),
    })),
    ...back.map(({ address }) => ({ kind: 'withheld' as const, address, isWithheld: false })),
  ];
}

function isRefused({ proof }: KnownAddress): boolean {
  return proof?.state === 'refused';
}

function heldChanges({ held: before }: EndpointRecord, after: EndpointRecord): readonly Change[] {
  const { held } = after;
  if (before !== undefined && held !== undefined && hasSameAddresses(before.addresses, held.addresses)) {
    return [];
  }
  const changes: Change[] = [];
  if (before !== undefined) {
    const isAdopted = hasSameAddresses(before.addresses, addressesOf(after));
    changes.push({ kind: 'released', held: before, outcome: isAdopted ? 'adopted' : 'dropped' });
  }
  if (held !== undefined) changes.push({ kind: 'held', held });
  return changes;
}

/** Whether the set of addresses changes, or would have without the guard. */
export function hasAddressChange(changes: readonly Change[]): boolean {
  return changes.some(({ kind }) => kind === 'addresses' || kind === 'held' || kind === 'released');
}
