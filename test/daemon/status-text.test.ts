import t from 'tap';
import { statusStrings } from '../../src/daemon/server-report.ts';
import type { LinkReport } from '../../src/link/link-monitor.ts';
import { clusterSnapshot, sourceSnapshot } from './snapshots.ts';

function link(condition: LinkReport['summary']['condition'], sinceMs: number): LinkReport {
  const summary = { condition, reason: 'timeout', sinceMs, failuresInARow: 0, successesInARow: 0 };
  return { summary, paths: [] };
}

t.test('link, age, what is served, and each source: short strings in a fixed order', async (t) => {
  const cluster = clusterSnapshot({
    basis: 'kept',
    confirmedAgoMs: 3 * 86_400_000,
    sources: [
      sourceSnapshot({ lastSuccessAgoMs: 45_000 }),
      sourceSnapshot({
        source: 'interfaces',
        latest: 'failed',
        lastSuccessAgoMs: 7_300_000,
        lastFailure: { reason: 'timeout', detail: 'x', agoMs: 1 },
      }),
      sourceSnapshot({ source: 'cluster', latest: 'untried' }),
    ],
    held: { addresses: ['10.0.0.9'], reason: 'loses 2 of 3 addresses', heldForMs: 5000 },
  });
  t.same(statusStrings(cluster, link('disconnected', 1_000_000), 1_600_000), [
    'link=disconnected for 10m: timeout',
    'age=3d',
    'addresses=2 basis=kept',
    'dns=45s ago',
    'interfaces=2h ago failing: timeout',
    'cluster=never',
    'held=10.0.0.9',
  ]);
});

t.test('never confirmed is unknown; a failure that is over is not told', async (t) => {
  const source = sourceSnapshot({
    lastSuccessAgoMs: 0,
    lastFailure: { reason: 'timeout', detail: '', agoMs: 9 },
  });
  const strings = statusStrings(clusterSnapshot({ serves: [], sources: [source] }), link('connected', 0), 0);
  t.same(strings, ['link=connected for 0s', 'age=unknown', 'addresses=0 basis=name', 'dns=0s ago']);
});

t.test('credentials are told while they are in trouble', async (t) => {
  const told = (condition: 'accepted' | 'expired') => {
    const credentials = { condition, detail: 'x', sinceAgoMs: 600_000 };
    return statusStrings(clusterSnapshot({ sources: [], credentials }), link('connected', 0), 0).slice(3);
  };
  t.same(told('accepted'), []);
  t.same(told('expired'), ['credentials=expired for 10m']);
});

t.test('a cluster that is gone leaves the link', async (t) => {
  t.same(statusStrings(undefined, link('unknown', 500), 0), ['link=unknown for 0s'], 'and no negative age');
});

t.test('ages in the unit that a person reads', async (t) => {
  for (const [ms, text] of [
    [0, '0s'],
    [119_000, '119s'],
    [120_000, '2m'],
    [7_199_000, '120m'],
    [7_200_000, '2h'],
    [172_799_000, '48h'],
    [172_800_000, '2d'],
    [400 * 86_400_000, '400d'],
  ] as const)
    t.same(statusStrings(undefined, link('connected', 0), ms), [`link=connected for ${text}`]);
});

t.test('no string is longer than 255 octets, whatever is held', async (t) => {
  const addresses = Array.from({ length: 64 }, (_, at) => `10.100.100.${100 + at}`);
  const cluster = clusterSnapshot({ held: { addresses, reason: '', heldForMs: 0 } });
  for (const text of statusStrings(cluster, link('connected', 0), 0)) t.ok(Buffer.byteLength(text) <= 255);
});

t.test('a string that is cut ends with a whole letter, whatever the reason of a pin says', async (t) => {
  for (let ascii = 0; ascii < 4; ascii++) {
    const why = `${'x'.repeat(ascii)}${'\u{1F6E0}'.repeat(120)}`; // four octets each
    const pin = {
      addresses: ['10.0.0.9'],
      origin: 'command' as const,
      endsInMs: 60_000,
      why,
      unpinned: [],
      refused: [],
    };
    const text = statusStrings(clusterSnapshot({ pin }), link('connected', 0), 0).at(-1) ?? '';
    t.match(text, /^pin=10\.0\.0\.9 by command, ends in 60s: x*(\u{1F6E0})+$/u);
    t.ok(Buffer.byteLength(text) > 251 && Buffer.byteLength(text) <= 255);
  }
});

t.test('the proof of each address is said, and whether it is served', (t) => {
  const proof = (state: 'proven' | 'refused', more: object = {}) => ({ state, sinceAgoMs: 60_000, ...more });
  const one = { isDead: false, provenance: {} };
  const cluster = clusterSnapshot({
    addresses: [{ ...one, address: '10.0.0.1', proof: proof('proven') }],
    withheld: [{ ...one, address: '10.0.0.2', proof: proof('refused', { reason: 'other-name' }) }],
  });
  const strings = statusStrings(cluster, link('connected', 0), 0);
  t.ok(strings.includes('10.0.0.1=proven for 60s'));
  t.ok(strings.includes('10.0.0.2=refused for 60s: other-name, not served'));
  t.end();
});
