/**
 * Defines the octets of `endpoints.json`, and the times at which they are written. The file is a checked JSON file (see
 * checked-json.ts) whose content is the endpoint records. Each address has a line of its own:
 *
 *     "clusters": [ { "cluster": ..., "addresses": [ ... ] } ]
 */
import * as z from 'zod';
import {
  type AddressProof,
  BASES,
  compareRecords,
  type EndpointRecord,
  isEndpointAddress,
  PROOF_REASONS,
  PROOF_STATES,
  type SeenBy,
  type ServedAddress,
} from '../records/endpoint-record.ts';
import { perSource } from '../records/sources.ts';
import type { Steps } from '../runtime/slices.ts';
import {
  type CheckedList,
  decodeList,
  type Encoded,
  type Envelope,
  encodeList,
  issueText,
  MAX_ITEMS,
  moment,
  name,
  time,
  type Written,
} from './checked-json.ts';
import type { StateFormat } from './state-format.ts';
import { STORE_MESSAGES } from './store-messages.ts';
/** Far more than 1,000 clusters need, and read in a moment. */
export const MAX_FILE_OCTETS = 16 * 1024 * 1024;

const ENVELOPE: Envelope = {
  format: 'outpost-dns endpoints',
  version: 1,
  about: [
    'the endpoint addresses that outpost-dns keeps, and serves while AWS cannot be reached',
    'replaced whole by the server; the generation before this one is endpoints.previous.json',
    "checksum by hand: jq -jcS 'del(.checksum)' endpoints.json | sha256sum",
  ],
  maxOctets: MAX_FILE_OCTETS,
  lineDepth: 4, // file, clusters, cluster, addresses, address: every address on one line together with its provenance
};

type Records = readonly EndpointRecord[];
export type EndpointsFile = Written<Records>;

/** `endpoints.json`. */
export const ENDPOINTS: StateFormat<Records> = {
  name: 'endpoints',
  maxOctets: MAX_FILE_OCTETS,
  policy: {
    confirmEveryMs: 60_000,
    messages: { failing: STORE_MESSAGES.endpointsFail, recovered: STORE_MESSAGES.endpointsSaved },
  },
  encode: encodeEndpoints,
  decode: (octets) => decodeList(LIST, octets),
  compare: compareRecords,
  merge: mergeRecords,
  *answered(records) {
    for (const { cluster, region, endpoint, addresses } of records) {
      if (endpoint !== undefined && addresses.length > 0) yield `${endpoint} ${cluster} ${region ?? ''}`;
    }
  },
};

function mergeRecords(ours: Records, theirs: Records): Records {
  const keyOf = ({ cluster, region }: EndpointRecord) => `${cluster} ${region ?? ''}`;
  const answering = new Set(ours.filter(({ addresses }) => addresses.length > 0).map(keyOf));
  const added = theirs.filter((record) => record.addresses.length > 0 && !answering.has(keyOf(record)));
  const replaced = new Set(added.map(keyOf));
  return [...ours.filter((record) => !replaced.has(keyOf(record))), ...added];
}

function* encodeEndpoints(file: EndpointsFile): Steps<Encoded> {
  const encoded = yield* encodeList(LIST, file);
  const isWhole = encoded.kind === 'refused' || encoded.leftOut === undefined;
  return isWhole ? encoded : { kind: 'refused', detail: `more than ${MAX_FILE_OCTETS} octets` };
}

/** Reads the record back: a file that cannot be read would be worse than none. */
function refuse(record: EndpointRecord): string | undefined {
  const back = RECORD.safeParse(JSON.parse(JSON.stringify(composeRecord(record))));
  return back.success ? undefined : issueText(back.error);
}

function composeRecord(record: EndpointRecord): object {
  const { details, held, pin } = record;
  return {
    cluster: record.cluster,
    region: record.region,
    endpoint: record.endpoint,
    formerEndpoints: record.formerEndpoints,
    basis: record.basis,
    ttlSeconds: Math.round(record.ttlSeconds),
    lastRefreshFailed: record.lastRefreshFailed,
    changedAt: record.changedAtMs === undefined ? undefined : moment(record.changedAtMs),
    confirmedAt: mapValues(record.confirmedAtMs, moment),
    addresses: record.addresses.map(composeAddress),
    leaving: record.leaving?.map(composeAddress),
    unpinned: record.unpinned?.map(composeAddress),
    corroborated: record.corroborated,
    pin: pin && {
      addresses: pin.addresses,
      why: pin.why,
      by: pin.by,
      since: moment(pin.sinceMs),
      until: moment(pin.untilMs),
      leftMs: pin.leftMs,
    },
    held: held && {
      addresses: held.addresses,
      reason: held.reason,
      since: moment(held.sinceMs),
      awaits: held.awaits,
      ttlSeconds: held.ttlSeconds === undefined ? undefined : Math.round(held.ttlSeconds),
      upstream: held.upstream,
    },
    details: details && {
      id: details.id,
      endpoint: details.endpoint,
      vpcId: details.vpcId,
      subnetIds: details.subnetIds,
      generation: details.generation,
      outpost: details.outpost,
      learnedAt: moment(details.learnedAtMs),
      certificateAuthority: details.certificateAuthority,
    },
  };
}

function composeAddress({ address, provenance, lackedSinceMs, proof, awaitsProof }: ServedAddress): object {
  const seen = (by: SeenBy) => ({
    firstSeen: moment(by.firstSeenMs),
    lastSeen: moment(by.lastSeenMs),
    status: by.status,
  });
  return {
    address,
    ...mapValues(provenance, seen),
    lackedSince: lackedSinceMs === undefined ? undefined : moment(lackedSinceMs),
    proof: proof && composeProof(proof),
    awaitsProof,
  };
}

function composeProof({ state, sinceMs, reason, provenAtMs }: AddressProof): object {
  const provenAt = provenAtMs === undefined ? undefined : moment(provenAtMs);
  return { state, since: moment(sinceMs), reason, provenAt };
}

function mapValues<V, W>(
  of: Readonly<Record<string, V | undefined>>,
  to: (value: V) => W,
): Record<string, W> {
  const mapped: Record<string, W> = {};
  for (const [key, value] of Object.entries(of)) if (value !== undefined) mapped[key] = to(value);
  return mapped;
}

const count = z.int().min(0);
const word = z.string().regex(/^[^\p{Cc}]{1,255}$/u, 'not a word of 1 to 255 printable characters');
const address = z.string().refine(isEndpointAddress, 'not an IPv4 address');
const MAX_WHY_TEXT = 1_000;
const MAX_UPSTREAMS_TEXT = 4_096; // upstreams are at most a few dozen, each of some 60 characters

const SEEN = z
  .object({ firstSeen: time, lastSeen: time, status: word.exactOptional() })
  .transform(({ firstSeen, lastSeen, ...rest }) => ({
    firstSeenMs: firstSeen,
    lastSeenMs: lastSeen,
    ...rest,
  }));

const PROOF = z
  .object({
    state: z.enum(PROOF_STATES),
    since: time,
    reason: z.string().exactOptional(),
    provenAt: time.exactOptional(),
  })
  .transform(({ state, since, reason: text, provenAt }) => {
    // a reason that only a later version knows is no fault of the file
    const reason = PROOF_REASONS.find((known) => known === text);
    return {
      state,
      sinceMs: since,
      ...(reason === undefined ? {} : { reason }),
      ...(provenAt === undefined ? {} : { provenAtMs: provenAt }),
    };
  });

const ADDRESS = z
  .object({
    address,
    ...perSource(() => SEEN.exactOptional()),
    pin: SEEN.exactOptional(),
    lackedSince: time.exactOptional(),
    proof: PROOF.exactOptional(),
    awaitsProof: z.literal(true).exactOptional(),
  })
  .transform(({ address, lackedSince, proof, awaitsProof, ...provenance }) => ({
    address,
    provenance,
    ...(lackedSince === undefined ? {} : { lackedSinceMs: lackedSince }),
    ...(proof === undefined ? {} : { proof }),
    ...(awaitsProof === undefined ? {} : { awaitsProof }),
  }));

const DETAILS = z
  .object({
    id: word.exactOptional(),
    endpoint: name,
    vpcId: word.exactOptional(),
    subnetIds: z.array(word).max(MAX_ITEMS),
    certificateAuthority: z.string().exactOptional(),
    generation: z.enum(['ebs', 'instance-store']).exactOptional(),
    outpost: word.exactOptional(),
    learnedAt: time,
  })
  .transform(({ learnedAt, ...rest }) => ({ ...rest, learnedAtMs: learnedAt }));

const HELD = z
  .object({
    addresses: z.array(address).max(MAX_ITEMS),
    reason: z.string(),
    since: time,
    awaits: z.literal('interfaces').exactOptional(),
    ttlSeconds: count.exactOptional(),
    upstream: z.string().max(MAX_UPSTREAMS_TEXT).exactOptional(),
  })
  .transform(({ since, ...rest }) => ({ ...rest, sinceMs: since }));

const PIN = z
  .object({
    addresses: z.array(address).min(1).max(MAX_ITEMS),
    why: z.string().max(MAX_WHY_TEXT),
    by: word,
    since: time,
    until: time,
    leftMs: count.exactOptional(),
  })
  .transform(({ since, until, ...rest }) => ({ ...rest, sinceMs: since, untilMs: until }));

const CONFIRMED = z.object(perSource(() => time.exactOptional()));

const RECORD = z
  .object({
    cluster: word,
    region: word.exactOptional(),
    details: DETAILS.exactOptional(),
    endpoint: name.exactOptional(),
    formerEndpoints: z.array(name).max(MAX_ITEMS).exactOptional(),
    addresses: z.array(ADDRESS).max(MAX_ITEMS),
    leaving: z.array(ADDRESS).max(MAX_ITEMS).exactOptional(),
    unpinned: z.array(ADDRESS).max(MAX_ITEMS).exactOptional(),
    corroborated: z.array(address).max(MAX_ITEMS).exactOptional(),
    ttlSeconds: count,
    basis: z.enum(BASES),
    changedAt: time.exactOptional(),
    confirmedAt: CONFIRMED,
    pin: PIN.exactOptional(),
    held: HELD.exactOptional(),
    lastRefreshFailed: z.boolean(),
  })
  .transform(({ changedAt, confirmedAt, ...rest }) => ({
    ...rest,
    ...(changedAt === undefined ? {} : { changedAtMs: changedAt }),
    confirmedAtMs: confirmedAt,
  }));

/** A time in the future is no fault: the clock that wrote it may have been wrong. */
const LIST: CheckedList<EndpointRecord> = {
  envelope: ENVELOPE,
  key: 'clusters',
  compose: composeRecord,
  schema: RECORD,
  refuse,
  composed: new WeakMap(),
};
