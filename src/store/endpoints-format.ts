/**
 * Defines the octets of `endpoints.json`, and the times at which they are written. The file is a checked JSON file (see
 * checked-json.ts) whose content is the endpoint records. Each address has a line of its own:
 *
 *     "clusters": [ { "cluster": ..., "addresses": [ ... ] } ]
 */
import * as v from 'valibot';
import {
  type AddressProof,
  BASES,
  compareRecords,
  type EndpointRecord,
  isEndpointAddress,
  type KnownAddress,
  PROOF_REASONS,
  PROOF_STATES,
  type SeenBy,
} from '../records/endpoint-record.ts';
import { perSource } from '../records/sources.ts';
import {
  attemptRead,
  count,
  flag,
  list,
  object,
  type Reader,
  text,
  word as words,
} from '../runtime/forms.ts';
import type { Steps } from '../runtime/slices.ts';
import {
  type CheckedList,
  decodeList,
  type Encoded,
  type Envelope,
  encodeList,
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
  const back = attemptRead(RECORD, JSON.parse(JSON.stringify(composeRecord(record))));
  return back.kind === 'ok' ? undefined : back.text;
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

function composeAddress({ address, provenance, lackedSinceMs, proof, awaitsProof }: KnownAddress): object {
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

const PRINTABLE = /^[^\p{Cc}]{1,255}$/u;
const word = v.pipe(text, v.regex(PRINTABLE, 'not a word of 1 to 255 printable characters'));
const address = v.pipe(text, v.check(isEndpointAddress, 'not an IPv4 address'));
const MAX_WHY_TEXT = 1_000;
const MAX_UPSTREAMS_TEXT = 4_096; // upstreams are at most a few dozen, each of some 60 characters
const shortText = (most: number) => v.pipe(text, v.maxLength(most, `longer than ${most} characters`));
const many = <Item>(reader: Reader<Item>, least = 0) => list(reader, { least, most: MAX_ITEMS });

const SEEN = v.pipe(
  object({ firstSeen: time, lastSeen: time, status: v.exactOptional(word) }),
  v.transform(({ firstSeen, lastSeen, ...rest }) => ({
    firstSeenMs: firstSeen,
    lastSeenMs: lastSeen,
    ...rest,
  })),
);

const PROOF = v.pipe(
  object({
    state: words(...PROOF_STATES),
    since: time,
    reason: v.exactOptional(text),
    provenAt: v.exactOptional(time),
  }),
  v.transform(({ state, since, reason: found, provenAt }) => {
    // a reason that only a later version knows is no fault of the file
    const reason = PROOF_REASONS.find((known) => known === found);
    return {
      state,
      sinceMs: since,
      ...(reason === undefined ? {} : { reason }),
      ...(provenAt === undefined ? {} : { provenAtMs: provenAt }),
    };
  }),
);

const ADDRESS = v.pipe(
  object({
    address,
    ...perSource(() => v.exactOptional(SEEN)),
    pin: v.exactOptional(SEEN),
    lackedSince: v.exactOptional(time),
    proof: v.exactOptional(PROOF),
    awaitsProof: v.exactOptional(v.literal(true, 'not true')),
  }),
  v.transform(({ address, lackedSince, proof, awaitsProof, ...provenance }) => ({
    address,
    provenance,
    ...(lackedSince === undefined ? {} : { lackedSinceMs: lackedSince }),
    ...(proof === undefined ? {} : { proof }),
    ...(awaitsProof === undefined ? {} : { awaitsProof }),
  })),
);

const DETAILS = v.pipe(
  object({
    id: v.exactOptional(word),
    endpoint: name,
    vpcId: v.exactOptional(word),
    subnetIds: many(word),
    certificateAuthority: v.exactOptional(text),
    generation: v.exactOptional(words('ebs', 'instance-store')),
    outpost: v.exactOptional(word),
    learnedAt: time,
  }),
  v.transform(({ learnedAt, ...rest }) => ({ ...rest, learnedAtMs: learnedAt })),
);

const HELD = v.pipe(
  object({
    addresses: many(address),
    reason: text,
    since: time,
    awaits: v.exactOptional(words('interfaces')),
    ttlSeconds: v.exactOptional(count),
    upstream: v.exactOptional(shortText(MAX_UPSTREAMS_TEXT)),
  }),
  v.transform(({ since, ...rest }) => ({ ...rest, sinceMs: since })),
);

const PIN = v.pipe(
  object({
    addresses: many(address, 1),
    why: shortText(MAX_WHY_TEXT),
    by: word,
    since: time,
    until: time,
    leftMs: v.exactOptional(count),
  }),
  v.transform(({ since, until, ...rest }) => ({ ...rest, sinceMs: since, untilMs: until })),
);

const RECORD = v.pipe(
  object({
    cluster: word,
    region: v.exactOptional(word),
    details: v.exactOptional(DETAILS),
    endpoint: v.exactOptional(name),
    formerEndpoints: v.exactOptional(many(name)),
    addresses: many(ADDRESS),
    leaving: v.exactOptional(many(ADDRESS)),
    unpinned: v.exactOptional(many(ADDRESS)),
    corroborated: v.exactOptional(many(address)),
    ttlSeconds: count,
    basis: words(...BASES),
    changedAt: v.exactOptional(time),
    confirmedAt: object(perSource(() => v.exactOptional(time))),
    pin: v.exactOptional(PIN),
    held: v.exactOptional(HELD),
    lastRefreshFailed: flag,
  }),
  v.transform(({ changedAt, confirmedAt, ...rest }) => ({
    ...rest,
    ...(changedAt === undefined ? {} : { changedAtMs: changedAt }),
    confirmedAtMs: confirmedAt,
  })),
);

/** A time in the future is no fault: the clock that wrote it may have been wrong. */
const LIST: CheckedList<EndpointRecord> = {
  envelope: ENVELOPE,
  key: 'clusters',
  compose: composeRecord,
  reader: RECORD,
  refuse,
  composed: new WeakMap(),
};
