/**
 * Decides what the checks of an address mean: whether the address is proven, and where it stands among the answers. Pure.
 *
 *     was         this check shows         becomes
 *     any         the right certificate    proven
 *     not proven  another server           refused
 *     proven      another server           unproven, and last among the answers; only then, when a second check agrees, refused
 *     any         silence, twice           unproven; a refused address stays refused, because the other server may only restart
 *     any         nothing could be tried   as it was; a proof ends an hour after its last handshake
 *
 * The order of the answers follows, from first to last: proven, unproven, silent, another server. An address changes its place
 * at most once in 30 s, so that a flapping address does not send clients to and fro.
 */
import {
  type AddressProof,
  type CheckResult,
  type EndpointRecord,
  isForeign,
  isProven,
  type KnownAddress,
  servedIn,
} from '../../records/endpoint-record.ts';

/** Everything that is known of one address on account of its checks. */
export interface Standing {
  readonly proof?: AddressProof;
  /** Checks in a row without an answer. */
  readonly silences: number;
  /** Its place among the answers: a smaller number stands before a larger number. Absent before the first check. */
  readonly place?: number;
  /** When its place last changed. The first place is no change. */
  readonly movedAtMs?: number;
  /** The place that it takes as soon as it may move again. */
  readonly awaited?: number;
}

/** Checks without an answer before an address counts as silent: one lost packet proves nothing. */
const SILENCES_TO_DIE = 2;
const MOVE_AFTER_MS = 30_000;
/** How long a proof lasts while no handshake can be tried, such as without the file of the authority. */
const PROOF_LASTS_MS = 3_600_000;
/** The time of the last proof goes to the disk in steps of this size. */
const PROVEN_STEP_MS = 600_000;

/** The standing of an address from before the first check of this process. */
export function initialStanding({ proof }: KnownAddress): Standing {
  return proof === undefined ? { silences: 0 } : { proof, silences: 0 };
}

export function nextStanding(before: Standing, result: CheckResult, nowMs: number): Standing {
  const isSilent = result.kind === 'silent' || (result.kind === 'untried' && result.isListening === false);
  const isUnknown = result.kind === 'untried' && result.isListening === undefined;
  const silences = isUnknown ? before.silences : isSilent ? before.silences + 1 : 0;
  const proof = nextProof(before, result, silences, nowMs);
  const wanted = placeOf({ proof, silences });
  const { place = wanted, movedAtMs } = before;
  const standing = { ...(proof === undefined ? {} : { proof }), silences, place };
  const moved = movedAtMs === undefined ? {} : { movedAtMs };
  if (place === wanted) return { ...standing, ...moved };
  if (movedAtMs !== undefined && nowMs - movedAtMs < MOVE_AFTER_MS)
    return { ...standing, ...moved, awaited: wanted };
  return { ...standing, place: wanted, movedAtMs: nowMs };
}

/** When the address may take its awaited place; undefined where it awaits none. */
export function movesAtMs({ awaited, movedAtMs }: Standing): number | undefined {
  return awaited === undefined || movedAtMs === undefined ? undefined : movedAtMs + MOVE_AFTER_MS;
}

/** Whether the last checks had no answer. */
export function isSilent({ silences }: Standing): boolean {
  return silences >= SILENCES_TO_DIE;
}

/** Whether a second check is wanted soon: it ends the doubt about an address that was proven. */
export function isInDoubt({ proof, silences, place }: Standing): boolean {
  if (proof?.state === 'proven') return silences > 0;
  return proof?.state === 'unproven' && isForeign(proof) && place === LAST;
}

function nextProof(
  { proof: before, place }: Standing,
  result: CheckResult,
  silences: number,
  nowMs: number,
): AddressProof | undefined {
  switch (result.kind) {
    case 'proven': {
      const { provenAtMs } = before ?? {};
      const isRecent = provenAtMs !== undefined && nowMs - provenAtMs < PROVEN_STEP_MS;
      const isSame = isProven({ proof: before }) && before?.reason === result.reason;
      return became(before, 'proven', result.reason, isSame && isRecent ? provenAtMs : nowMs, nowMs);
    }
    case 'refused': {
      const wasProven = before?.provenAtMs !== undefined && before.state !== 'refused';
      const isLast = before?.state === 'unproven' && place === LAST;
      const state = wasProven && !isLast ? 'unproven' : 'refused';
      return became(before, state, result.reason, before?.provenAtMs, nowMs);
    }
    case 'silent':
      if (before?.state === 'refused' || (before !== undefined && silences < SILENCES_TO_DIE)) return before;
      return became(before, 'unproven', reasonOf(before, result), before?.provenAtMs, nowMs);
    case 'untried': {
      if (before?.state === 'refused') return before;
      if (before?.state === 'proven' && silences < SILENCES_TO_DIE) {
        const isOver = nowMs - (before.provenAtMs ?? before.sinceMs) >= PROOF_LASTS_MS;
        if (!isOver) return before;
      }
      return became(before, 'unproven', reasonOf(before, result), before?.provenAtMs, nowMs);
    }
  }
}

/** A server that was seen there is more than silence. */
function reasonOf(
  before: AddressProof | undefined,
  { reason }: Extract<CheckResult, { kind: 'silent' | 'untried' }>,
): AddressProof['reason'] {
  return before?.state === 'unproven' && isForeign(before) ? before.reason : reason;
}

function became(
  before: AddressProof | undefined,
  state: AddressProof['state'],
  reason: AddressProof['reason'],
  provenAtMs: number | undefined,
  nowMs: number,
): AddressProof {
  const isSame = before?.state === state && before.reason === reason && before.provenAtMs === provenAtMs;
  if (isSame) return before;
  return {
    state,
    sinceMs: before?.state === state ? before.sinceMs : nowMs,
    ...(reason === undefined ? {} : { reason }),
    ...(provenAtMs === undefined ? {} : { provenAtMs }),
  };
}

/** The place of an address at which another server answers. */
const LAST = 6;

/** Addresses that were proven once stand before addresses that never were. */
function placeOf({ proof, silences }: Standing): number {
  if (proof !== undefined && (proof.state === 'refused' || isForeign(proof))) return LAST;
  if (proof?.state === 'proven') return proof.reason === undefined ? 0 : 1;
  const isNew = proof?.provenAtMs === undefined;
  if (silences >= SILENCES_TO_DIE) return isNew ? 5 : 4;
  return isNew ? 3 : 2;
}

/** The record with its addresses as they are answered: without those that are withheld; those after the first place are marked. */
export function asAnswered(record: EndpointRecord, standings: ReadonlyMap<string, Standing>): EndpointRecord {
  const { served, withheld } = servedIn(record);
  const placed = served.map((one) => {
    const standing = standings.get(one.address) ?? initialStanding(one);
    return { one, place: standing.place ?? placeOf(standing) };
  });
  const first = Math.min(...placed.map(({ place }) => place));
  const isWhole = withheld.length === 0 && record.leaving === undefined;
  if (isWhole && placed.every(({ place }) => place === first)) return record;
  const { leaving: _, ...rest } = record;
  const addresses = placed
    .sort((some, other) => some.place - other.place)
    .map(({ one, place }) => (place === first ? one : { ...one, isLast: true }));
  return { ...rest, addresses };
}
