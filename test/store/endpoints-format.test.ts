import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import {
  type AddressProof,
  type ClusterDetails,
  canonicalJson,
  type EndpointRecord,
  type HeldChange,
  PROOF_REASONS,
  PROOF_STATES,
} from '../../src/records/endpoint-record.ts';
import { atOnce } from '../../src/runtime/slices.ts';
import type { Decoded } from '../../src/store/checked-json.ts';
import { ENDPOINTS, type EndpointsFile, MAX_FILE_OCTETS } from '../../src/store/endpoints-format.ts';
import { record, wholeSet } from './record-sets.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 200);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff);
t.comment(`fast-check seed ${seed}, ${numRuns} runs`);

const WRITTEN_MS = Date.UTC(2026, 0, 1);
const SAMPLE: EndpointsFile = {
  generation: 42,
  writtenAtMs: WRITTEN_MS,
  content: [
    {
      ...record('my-cluster', ['10.0.3.10', '10.0.3.11']),
      details: {
        id: '4a6c0d1e-0b1a-4a3f-9d2b-0123456789ab',
        endpoint: 'abc.gr7.us-west-2.eks.amazonaws.com',
        vpcId: 'vpc-1',
        subnetIds: ['subnet-1', 'subnet-2'],
        certificateAuthority: 'LS0tLS1CRUdJTg==',
        generation: 'instance-store',
        learnedAtMs: WRITTEN_MS,
      },
      held: {
        addresses: ['10.9.9.9'],
        reason: 'loses more than half',
        sinceMs: WRITTEN_MS,
        awaits: 'interfaces',
        ttlSeconds: 60,
        upstream: '10.0.0.2:53 10.0.0.3:53',
      },
      corroborated: ['10.0.3.10', '10.0.3.11', '10.0.3.13'],
      formerEndpoints: ['def.gr7.us-west-2.eks.amazonaws.com', 'ghi.gr7.us-west-2.eks.amazonaws.com'],
      unpinned: [
        {
          address: '10.0.3.12',
          provenance: {
            interfaces: { firstSeenMs: WRITTEN_MS, lastSeenMs: WRITTEN_MS, status: 'detaching' },
          },
          lackedSinceMs: WRITTEN_MS,
        },
      ],
    },
    {
      cluster: 'bare',
      addresses: [],
      ttlSeconds: 0,
      basis: 'none',
      confirmedAtMs: {},
      lastRefreshFailed: true,
    },
  ],
};

function encode(file: EndpointsFile): Uint8Array {
  const encoded = atOnce(ENDPOINTS.encode(file));
  if (encoded.kind === 'refused') throw new Error(`refused: ${encoded.detail}`);
  return encoded.octets;
}

/** The documented recipe, written down a second time: sorted members, no white space, no `checksum`. */
function checksumByHand(text: string): string {
  const sorted = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(sorted);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, item]) => [key, sorted(item)]),
    );
  };
  const { checksum: _, ...rest } = JSON.parse(text);
  return `sha256:${createHash('sha256')
    .update(JSON.stringify(sorted(rest)))
    .digest('hex')}`;
}

/** A file with its members changed and a checksum that fits the change. */
function tampered(change: (content: Record<string, unknown>) => unknown): Uint8Array {
  const content: Record<string, unknown> = JSON.parse(new TextDecoder().decode(encode(SAMPLE)));
  change(content);
  content['checksum'] = checksumByHand(JSON.stringify(content));
  return new TextEncoder().encode(JSON.stringify(content));
}

/** Sets the member at a path such as `clusters.0.region`. */
function set(path: string, value: unknown): (content: Record<string, unknown>) => void {
  return (content) => {
    const keys = path.split('.');
    const last = keys.pop() ?? '';
    // biome-ignore lint/suspicious/noExplicitAny: walks a file of any shape
    let at: any = content;
    for (const key of keys) at = at[key];
    at[last] = value;
  };
}

function verdict(decoded: Decoded<EndpointsFile['content']>): string {
  if (decoded.kind === 'newer') return `newer ${decoded.version}`;
  return decoded.kind === 'ok' ? 'ok' : `${decoded.kind} ${decoded.reason}`;
}

t.test(
  'the file reads well: one member a line, times in ISO form, an address with its provenance on one line',
  async (t) => {
    const text = new TextDecoder().decode(encode(SAMPLE));
    const lines = text.split('\n').map((line) => line.trim());
    const seen = '{ "firstSeen": "2026-01-01T00:00:00.000Z", "lastSeen": "2026-01-01T00:00:00.000Z" }';
    for (const line of [
      '"format": "outpost-dns endpoints",',
      '"version": 1,',
      '"generation": 42,',
      '"writtenAt": "2026-01-01T00:00:00.000Z",',
      '"cluster": "my-cluster",',
      `{ "address": "10.0.3.10", "dns": ${seen} },`,
      `{ "address": "10.0.3.11", "dns": ${seen} }`,
      '"subnetIds": ["subnet-1", "subnet-2"],',
    ]) {
      t.ok(lines.includes(line), line);
    }
    t.ok(text.endsWith('}\n'), 'ends with a line feed');
  },
);

t.test('the checksum is the one that the documented recipe gives, for any layout', async (t) => {
  const text = new TextDecoder().decode(encode(SAMPLE));
  t.equal(JSON.parse(text).checksum, checksumByHand(text));
  const compact = new TextEncoder().encode(JSON.stringify(JSON.parse(text)));
  t.equal(verdict(atOnce(ENDPOINTS.decode(compact))), 'ok', 'the same content on one line');
});

t.test(
  'a file that is not whole, or was not written by this program, is refused with its reason',
  async (t) => {
    const text = new TextEncoder();
    const table: Record<string, [octets: Uint8Array, expected: string]> = {
      'the file itself': [encode(SAMPLE), 'ok'],
      'no octet': [new Uint8Array(0), 'corrupt empty'],
      'more than 16 MiB': [new Uint8Array(MAX_FILE_OCTETS + 1), 'corrupt too-large'],
      'zeros, as after a power cut': [new Uint8Array(4096), 'corrupt not-json'],
      'octets that are no UTF-8': [Uint8Array.of(0x7b, 0xff, 0x7d), 'corrupt not-utf8'],
      'nested a million times': [text.encode('['.repeat(1e6) + ']'.repeat(1e6)), 'foreign not-our-format'],
      'nested deeply inside': [
        tampered((content) => {
          content['extra'] = JSON.parse('['.repeat(40) + ']'.repeat(40));
        }),
        'corrupt too-deep',
      ],
      'another kind of JSON': [text.encode('[1,2]'), 'foreign not-our-format'],
      null: [text.encode('null'), 'foreign not-our-format'],
      'another format': [tampered(set('format', 'something else')), 'foreign not-our-format'],
      'a later version': [tampered(set('version', 2)), 'newer 2'],
      'version 0': [tampered(set('version', 0)), 'corrupt bad-header'],
      'version as text': [tampered(set('version', '1')), 'corrupt bad-header'],
      'a checksum that is a number': [
        text.encode(JSON.stringify({ ...JSON.parse(new TextDecoder().decode(encode(SAMPLE))), checksum: 1 })),
        'corrupt checksum-mismatch',
      ],
      'no clusters': [tampered((content) => delete content['clusters']), 'corrupt bad-content'],
      'no cluster at all': [tampered(set('clusters', [])), 'ok'],
      'a negative generation': [tampered(set('generation', -1)), 'corrupt bad-content'],
      'an IPv6 address': [tampered(set('clusters.0.addresses.0.address', '::1')), 'corrupt bad-content'],
      'an address with a leading zero': [
        tampered(set('clusters.0.addresses.0.address', '10.0.0.01')),
        'corrupt bad-content',
      ],
      'a held address that is none': [
        tampered(set('clusters.0.held.addresses', ['x'])),
        'corrupt bad-content',
      ],
      'an endpoint with a label of 64 octets': [
        tampered(set('clusters.0.endpoint', `${'a'.repeat(64)}.example`)),
        'corrupt bad-content',
      ],
      'an empty endpoint': [tampered(set('clusters.0.endpoint', '')), 'corrupt bad-content'],
      'an endpoint in upper case': [tampered(set('clusters.0.endpoint', 'ABC.example')), 'ok'],
      'an empty cluster name': [tampered(set('clusters.0.cluster', '')), 'corrupt bad-content'],
      'a cluster name with a line feed': [tampered(set('clusters.0.cluster', 'a\nb')), 'corrupt bad-content'],
      'a time in the far future': [tampered(set('clusters.0.changedAt', '9999-12-31T23:59:59.999Z')), 'ok'],
      'a time before the clock was set': [tampered(set('writtenAt', '1970-01-01T00:00:00Z')), 'ok'],
      'a time without its zone': [tampered(set('writtenAt', '2026-01-01T00:00:00')), 'corrupt bad-content'],
      'a thirteenth month': [tampered(set('writtenAt', '2026-13-01T00:00:00Z')), 'corrupt bad-content'],
      'a time as a number': [tampered(set('writtenAt', 0)), 'corrupt bad-content'],
      'an unknown basis': [tampered(set('clusters.0.basis', 'guess')), 'corrupt bad-content'],
      'an unknown member': [tampered(set('clusters.0.colour', { deep: [1] })), 'ok'],
      'a member named __proto__': [
        text.encode(new TextDecoder().decode(encode(SAMPLE)).replace('{', '{"__proto__": {},')),
        'corrupt checksum-mismatch',
      ],
    };
    for (const [name, [octets, expected]] of Object.entries(table)) {
      t.equal(verdict(atOnce(ENDPOINTS.decode(octets))), expected, name);
    }
  },
);

t.test('unknown members are ignored, but covered by the checksum', async (t) => {
  const octets = tampered(set('clusters.0.colour', 'blue'));
  t.strictSame(atOnce(ENDPOINTS.decode(octets)), { kind: 'ok', file: SAMPLE });
  const changed = new TextEncoder().encode(new TextDecoder().decode(octets).replace('blue', 'bluf'));
  t.equal(verdict(atOnce(ENDPOINTS.decode(changed))), 'corrupt checksum-mismatch');
});

t.test(
  'a file cut off at any length never passes for a whole one, except without its last line feed',
  async (t) => {
    const octets = encode(SAMPLE);
    const passed: number[] = [];
    for (let length = 0; length < octets.length; length++) {
      if (atOnce(ENDPOINTS.decode(octets.subarray(0, length))).kind === 'ok') passed.push(length);
    }
    t.strictSame(passed, [octets.length - 1]);
  },
);

t.test('a file with any one bit flipped never yields another set', async (t) => {
  const octets = encode(SAMPLE);
  const wrong: string[] = [];
  for (let bit = 0; bit < octets.length * 8; bit++) {
    const flipped = Uint8Array.from(octets);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const decoded = atOnce(ENDPOINTS.decode(flipped));
    if (decoded.kind === 'ok' && canonicalJson(decoded.file) !== canonicalJson(SAMPLE))
      wrong.push(`bit ${bit}`);
  }
  t.strictSame(wrong, []);
});

t.test('records that the file could not give back are refused, not written', async (t) => {
  const table: Record<string, Partial<EndpointRecord>> = {
    'an address that is none': { addresses: [{ address: '10.0.0.256', provenance: {} }] },
    'a time that is none': { changedAtMs: Number.NaN },
    'a time beyond the year 9999': { changedAtMs: 8.64e15 },
    'a TTL that is none': { ttlSeconds: Number.NaN },
    'an empty name': { cluster: '' },
  };
  for (const [name, part] of Object.entries(table)) {
    const encoded = atOnce(ENDPOINTS.encode({ ...SAMPLE, content: [{ ...record('a', []), ...part }] }));
    t.equal(encoded.kind, 'refused', name);
  }
  const big = {
    ...record('a', []),
    held: { addresses: [], reason: 'x'.repeat(MAX_FILE_OCTETS), sinceMs: 0 },
  };
  t.equal(atOnce(ENDPOINTS.encode({ ...SAMPLE, content: [big] })).kind, 'refused', 'more than 16 MiB');
});

t.test('a reason of a proof that only a later version knows is left out, and the file is read', async (t) => {
  const proof = { state: 'refused', since: '2026-01-01T00:00:00.000Z' };
  const decoded = atOnce(
    ENDPOINTS.decode(tampered(set('clusters.0.addresses.0.proof', { ...proof, reason: 'of-version-9' }))),
  );
  t.equal(decoded.kind, 'ok');
  if (decoded.kind !== 'ok') return;
  const [address] = decoded.file.content[0]!.addresses;
  t.strictSame(address!.proof, { state: 'refused', sinceMs: WRITTEN_MS });
});

t.test('the verdict of a probe is not kept', async (t) => {
  const [kept] = record('a', ['10.0.0.1']).addresses;
  const dead = { ...record('a', []), addresses: [{ ...kept!, isLast: true }] };
  const decoded = atOnce(ENDPOINTS.decode(encode({ ...SAMPLE, content: [dead] })));
  t.strictSame(decoded, { kind: 'ok', file: { ...SAMPLE, content: [record('a', ['10.0.0.1'])] } });
});

const ms = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) });
const word = fc.stringMatching(/^[0-9A-Za-z][0-9A-Za-z_-]{0,40}$/);
const text = fc.string({ unit: 'binary' });
const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,20}){1,4}$/);
const ipv4 = fc.ipV4();
const seen = fc.record({ firstSeenMs: ms, lastSeenMs: ms });
const partly: { requiredKeys: [] } = { requiredKeys: [] };
const details: fc.Arbitrary<ClusterDetails> = fc.record(
  {
    id: word,
    endpoint: name,
    vpcId: word,
    subnetIds: fc.array(word, { maxLength: 4 }),
    certificateAuthority: fc.base64String(),
    generation: fc.constantFrom('ebs', 'instance-store'),
    learnedAtMs: ms,
  },
  { requiredKeys: ['endpoint', 'subnetIds', 'learnedAtMs'] },
);
const held: fc.Arbitrary<HeldChange> = fc.record({ addresses: fc.array(ipv4), reason: text, sinceMs: ms });
const proof: fc.Arbitrary<AddressProof> = fc.record(
  {
    state: fc.constantFrom(...PROOF_STATES),
    sinceMs: ms,
    reason: fc.constantFrom(...PROOF_REASONS),
    provenAtMs: ms,
  },
  { requiredKeys: ['state', 'sinceMs'] },
);
const served = fc.record(
  {
    address: ipv4,
    provenance: fc.record(
      { dns: seen, route53: seen, interfaces: seen, kubernetes: seen, cluster: seen, pin: seen },
      partly,
    ),
    proof,
    awaitsProof: fc.constant(true as const),
  },
  { requiredKeys: ['address', 'provenance'] },
);
const anyRecord: fc.Arbitrary<EndpointRecord> = fc.record(
  {
    cluster: word,
    region: word,
    details,
    endpoint: name,
    addresses: fc.array(served),
    leaving: fc.array(served),
    ttlSeconds: fc.nat(),
    basis: fc.constantFrom('name', 'overlap', 'interfaces', 'kept', 'pin', 'none'),
    changedAtMs: ms,
    confirmedAtMs: fc.record({ dns: ms, route53: ms, interfaces: ms, kubernetes: ms, cluster: ms }, partly),
    held,
    lastRefreshFailed: fc.boolean(),
  },
  { requiredKeys: ['cluster', 'addresses', 'ttlSeconds', 'basis', 'confirmedAtMs', 'lastRefreshFailed'] },
);
const anyFile = fc.record({
  generation: fc.nat(),
  writtenAtMs: ms,
  content: fc.array(anyRecord, { maxLength: 5 }),
});

t.test('all that is written comes back, and nothing else', async () => {
  fc.assert(
    fc.property(anyFile, (file) => {
      const decoded = atOnce(ENDPOINTS.decode(encode(file)));
      return decoded.kind === 'ok' && canonicalJson(decoded.file) === canonicalJson(file);
    }),
    { seed, numRuns },
  );
});

t.test('the checksum by hand fits every file that is written', async () => {
  fc.assert(
    fc.property(anyFile, (file) => {
      const written = new TextDecoder().decode(encode(file));
      return JSON.parse(written).checksum === checksumByHand(written);
    }),
    { seed, numRuns },
  );
});

t.test('octets at random, JSON at random and mutilated files are decoded without a throw', async (t) => {
  const whole = encode({ generation: 7, writtenAtMs: WRITTEN_MS, content: wholeSet(7) });
  const mutilated = fc
    .array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
    .map((edits) => {
      const octets = Uint8Array.from(whole);
      for (const [at, octet] of edits) octets[at] = octet;
      return octets;
    });
  const json = fc.json().map((value) => new TextEncoder().encode(value));
  const content = fc.dictionary(fc.constantFrom('clusters', 'generation', 'writtenAt'), fc.jsonValue());
  const resealed = content.map((parts) => tampered((file) => Object.assign(file, parts)));
  const expected = canonicalJson(wholeSet(7));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), json, resealed), (octets) => {
      atOnce(ENDPOINTS.decode(octets));
    }),
    { seed, numRuns },
  );
  fc.assert(
    fc.property(mutilated, (octets) => {
      const decoded = atOnce(ENDPOINTS.decode(octets));
      return decoded.kind !== 'ok' || canonicalJson(decoded.file.content) === expected;
    }),
    { seed, numRuns },
  );
  t.pass('no throw, and no other set');
});
