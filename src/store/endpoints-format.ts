import { createHash } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { z } from 'zod';
import { normalizeName } from '../protocol/words/name.ts';
import { canonicalJson, isDeeperThan } from './canonical-json.ts';
import type { EndpointRecord, SeenBy, ServedAddress } from './endpoint-record.ts';

/**
 * The octets of `endpoints.json`: JSON that a person can read at 3 a.m. and carry to another host.
 *
 *     { "about": [...], "format": "outpost-dns endpoints", "version": 1, "generation": 42, "writtenAt": "2026-...Z",
 *       "checksum": "sha256:...", "clusters": [ { "cluster": ..., "addresses": [ one a line ] } ] }
 *
 * The checksum is the SHA-256, in lower-case hex, of this text in UTF-8: the whole object without its member
 * `checksum`, members sorted by key at every level, no white space anywhere, no line feed at the end. By hand:
 *
 *     jq -jcS 'del(.checksum)' endpoints.json | sha256sum
 *
 * So layout is free, and everything that is said is covered: members that this version does not know are ignored by
 * it, but not by the checksum. A new member needs no new version; a new word in an enumeration or another meaning does.
 */

const FORMAT = 'outpost-dns endpoints';
const VERSION = 1;
const ABOUT = [
  'the endpoint addresses that outpost-dns keeps, and serves while AWS cannot be reached',
  'replaced whole by the server; the generation before this one is endpoints.previous.json',
  "checksum by hand: jq -jcS 'del(.checksum)' endpoints.json | sha256sum",
];

/** Far above what 1,000 clusters need, and read in a moment. */
export const MAX_FILE_OCTETS = 16 * 1024 * 1024;
const MAX_DEPTH = 32; // our own is 6; bounds the recursion over a file that somebody else wrote

export interface EndpointsFile {
  /** Counts the writes of the file. */
  readonly generation: number;
  /** Wall ms. */
  readonly writtenAtMs: number;
  readonly records: readonly EndpointRecord[];
}

export type CorruptReason =
  | 'empty'
  | 'too-large'
  | 'not-utf8'
  | 'not-json'
  | 'too-deep'
  | 'bad-header'
  | 'checksum-mismatch'
  | 'bad-content';

export type Decoded =
  | { readonly kind: 'ok'; readonly file: EndpointsFile }
  | { readonly kind: 'corrupt'; readonly reason: CorruptReason; readonly detail: string }
  | { readonly kind: 'foreign'; readonly reason: 'not-our-format'; readonly detail: string }
  | { readonly kind: 'newer'; readonly version: number };

export type Encoded =
  | { readonly kind: 'encoded'; readonly octets: Uint8Array }
  | { readonly kind: 'refused'; readonly detail: string };

/** Composes the file. Refuses what `decodeEndpoints` would not take back: a file that cannot be read is worse than none. */
export function encodeEndpoints(file: EndpointsFile): Encoded {
  let content: Record<string, unknown>;
  try {
    content = {
      about: ABOUT,
      format: FORMAT,
      version: VERSION,
      generation: file.generation,
      writtenAt: moment(file.writtenAtMs),
      checksum: '',
      clusters: file.records.map(composeRecord),
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // RangeError: a time that is none
    return { kind: 'refused', detail: 'a time is out of range' };
  }
  content['checksum'] = checksumOf(content);
  const octets = new TextEncoder().encode(`${print(content, 0)}\n`);
  const back = decodeEndpoints(octets);
  if (back.kind === 'ok') return { kind: 'encoded', octets };
  return { kind: 'refused', detail: 'detail' in back ? back.detail : back.kind };
}

function composeRecord(record: EndpointRecord): object {
  const { details, held } = record;
  return {
    cluster: record.cluster,
    region: record.region,
    endpoint: record.endpoint,
    basis: record.basis,
    ttlSeconds: Math.round(record.ttlSeconds),
    lastRefreshFailed: record.lastRefreshFailed,
    changedAt: record.changedAtMs === undefined ? undefined : moment(record.changedAtMs),
    confirmedAt: mapValues(record.confirmedAtMs, moment),
    addresses: record.addresses.map(composeAddress),
    held: held && { addresses: held.addresses, reason: held.reason, since: moment(held.sinceMs) },
    details: details && {
      endpoint: details.endpoint,
      vpcId: details.vpcId,
      subnetIds: details.subnetIds,
      generation: details.generation,
      learnedAt: moment(details.learnedAtMs),
      certificateAuthority: details.certificateAuthority,
    },
  };
}

function composeAddress({ address, provenance }: ServedAddress): object {
  const seen = (by: SeenBy) => ({ firstSeen: moment(by.firstSeenMs), lastSeen: moment(by.lastSeenMs) });
  return { address, ...mapValues(provenance, seen) };
}

function mapValues<V, W>(
  of: Readonly<Record<string, V | undefined>>,
  to: (value: V) => W,
): Record<string, W> {
  const mapped: Record<string, W> = {};
  for (const [key, value] of Object.entries(of)) if (value !== undefined) mapped[key] = to(value);
  return mapped;
}

/** Throws RangeError when `ms` is no time. */
function moment(ms: number): string {
  return new Date(Math.round(ms)).toISOString();
}

const ADDRESS_DEPTH = 4; // file, clusters, cluster, addresses, address

/** JSON with two spaces an indent, and every address on one line together with its provenance. */
function print(value: unknown, depth: number): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const isList = Array.isArray(value);
  const items = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .map(([key, item]) => `${isList ? '' : `${JSON.stringify(key)}: `}${print(item, depth + 1)}`);
  const [open, close] = isList ? '[]' : '{}';
  if (items.length === 0) return `${open}${close}`;
  if (depth >= ADDRESS_DEPTH) return isList ? `[${items.join(', ')}]` : `{ ${items.join(', ')} }`;
  const indent = '  '.repeat(depth);
  return `${open}\n${indent}  ${items.join(`,\n${indent}  `)}\n${indent}${close}`;
}

/** Takes a file apart, whatever it holds; never throws. Times in the future are no fault: the clock that wrote them may have been wrong. */
export function decodeEndpoints(octets: Uint8Array): Decoded {
  if (octets.length === 0) return corrupt('empty', 'the file holds no octet');
  if (octets.length > MAX_FILE_OCTETS) return corrupt('too-large', `more than ${MAX_FILE_OCTETS} octets`);
  const parsed = parseJson(octets);
  if ('fault' in parsed) return parsed.fault;
  const content = parsed.value;
  if (!isObject(content) || content['format'] !== FORMAT) {
    return { kind: 'foreign', reason: 'not-our-format', detail: `"format" is not "${FORMAT}"` };
  }
  const { version, checksum } = content;
  if (!isCount(version) || version === 0) {
    return corrupt('bad-header', `"version" is no positive number`);
  }
  if (version > VERSION) return { kind: 'newer', version };
  if (isDeeperThan(content, MAX_DEPTH)) return corrupt('too-deep', `more than ${MAX_DEPTH} levels`);
  if (checksum !== checksumOf(content)) {
    return corrupt('checksum-mismatch', 'the content is not what was written');
  }
  return decodeContent(content);
}

function parseJson(octets: Uint8Array): { readonly value: unknown } | { readonly fault: Decoded } {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(octets);
  } catch {
    return { fault: corrupt('not-utf8', 'the file is not UTF-8') };
  }
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { fault: corrupt('not-json', 'the file is not JSON, or ends early') };
  }
}

function decodeContent(value: unknown): Decoded {
  const content = CONTENT.safeParse(value);
  if (!content.success) {
    const [issue] = content.error.issues;
    return corrupt('bad-content', `${issue?.path.join('.')}: ${issue?.message}`);
  }
  const { generation, writtenAt, clusters } = content.data;
  return { kind: 'ok', file: { generation, writtenAtMs: writtenAt, records: clusters } };
}

function corrupt(reason: CorruptReason, detail: string): Decoded {
  return { kind: 'corrupt', reason, detail };
}

function checksumOf(content: object): string {
  const text = canonicalJson({ ...content, checksum: undefined });
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

const MAX_ITEMS = 100_000; // the size of the file is the bound that matters

const count = z.int().min(0);
const word = z.string().regex(/^[^\p{Cc}]{1,255}$/u, 'not a word of 1 to 255 printable characters');
const address = z.string().refine(isIPv4, 'not an IPv4 address');
const time = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/, 'not a time such as 2026-01-31T09:30:00Z')
  .transform((text) => Date.parse(text))
  .refine(Number.isFinite, 'not a time of this calendar');
const name = z.string().transform((text, context) => {
  try {
    if (text !== '' && text !== '.') return normalizeName(text);
  } catch {
    // falls through: whatever is wrong with it, it is no name
  }
  context.addIssue({ code: 'custom', message: 'not a domain name' });
  return z.NEVER;
});

const SEEN = z
  .object({ firstSeen: time, lastSeen: time })
  .transform(({ firstSeen, lastSeen }) => ({ firstSeenMs: firstSeen, lastSeenMs: lastSeen }));

const ADDRESS = z
  .object({
    address,
    dns: SEEN.exactOptional(),
    route53: SEEN.exactOptional(),
    interfaces: SEEN.exactOptional(),
    cluster: SEEN.exactOptional(),
    pin: SEEN.exactOptional(),
  })
  .transform(({ address, ...provenance }) => ({ address, provenance }));

const DETAILS = z
  .object({
    endpoint: name,
    vpcId: word.exactOptional(),
    subnetIds: z.array(word).max(MAX_ITEMS),
    certificateAuthority: z.string().exactOptional(),
    generation: z.enum(['ebs', 'instance-store']).exactOptional(),
    learnedAt: time,
  })
  .transform(({ learnedAt, ...rest }) => ({ ...rest, learnedAtMs: learnedAt }));

const HELD = z
  .object({ addresses: z.array(address).max(MAX_ITEMS), reason: z.string(), since: time })
  .transform(({ since, ...rest }) => ({ ...rest, sinceMs: since }));

const CONFIRMED = z.object({
  dns: time.exactOptional(),
  route53: time.exactOptional(),
  interfaces: time.exactOptional(),
  cluster: time.exactOptional(),
});

const RECORD = z
  .object({
    cluster: word,
    region: word.exactOptional(),
    details: DETAILS.exactOptional(),
    endpoint: name.exactOptional(),
    addresses: z.array(ADDRESS).max(MAX_ITEMS),
    ttlSeconds: count,
    basis: z.enum(['name', 'overlap', 'interfaces', 'kept', 'pin', 'none']),
    changedAt: time.exactOptional(),
    confirmedAt: CONFIRMED,
    held: HELD.exactOptional(),
    lastRefreshFailed: z.boolean(),
  })
  .transform(({ changedAt, confirmedAt, ...rest }) => ({
    ...rest,
    ...(changedAt === undefined ? {} : { changedAtMs: changedAt }),
    confirmedAtMs: confirmedAt,
  }));

const CONTENT = z.object({ generation: count, writtenAt: time, clusters: z.array(RECORD).max(MAX_ITEMS) });
