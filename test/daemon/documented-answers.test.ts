/**
 * One table from the documents to the answer: each feature of the answer side, asked through the daemon's own rooms while
 * connected and in a cut. A key of the configuration that decides about answers and has no row here fails the test. A row
 * whose document no longer says the quoted sentence fails it, too.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { rcodeName } from '../../src/protocol/words/codes.ts';
import { nameToWire } from '../../src/protocol/words/name.ts';
import { message, rawRecord } from '../helpers/zone-text.ts';
import type { ReadReply } from '../serving/resolver/messages.ts';
import { type Ask, ROWS, SITE } from './documented-rows.ts';
import { ENDPOINT, VirtualSite } from './virtual-site.ts';

const root = join(import.meta.dirname, '../..');
const MINUTE_MS = 60_000;

/** Sections whose keys decide what is answered. */
const ANSWERING = ['clusters', 'upstreams', 'zones', 'retain', 'forward', 'cache', 'identity'];
/** Keys of these sections that decide when and how, and not what. */
const NOT_ABOUT_ANSWERS = new Set([
  'clusters.vpcId', // where addresses are looked for
  'clusters.sources',
  'clusters.profile',
  'clusters.route53.zoneId',
  'clusters.route53.findZone',
  'clusters.kubernetes.kubeconfig',
  'clusters.kubernetes.certificate',
  'clusters.kubernetes.key',
  'clusters.kubernetes.ca',
  'clusters.probe.enabled', // the order of addresses: test/serving/resolver/endpoint-names.test.ts
  'clusters.probe.port',
  'clusters.probe.interval',
  'clusters.probe.timeout',
  'clusters.probe.prove', // which addresses are served: test/refresh/reconcile/prove.test.ts
  'clusters.probe.ca',
  'clusters.probe.proxy',
  'forward.deadline', // when: test/serving/forwarder
  'forward.attemptMin',
  'forward.attemptMax',
  'forward.inFlight',
  'forward.caseRandomization',
  'cache.size',
  'cache.prefetch',
]);

function documentedKeys(): readonly string[] {
  const keys: string[] = [];
  let section = '';
  for (const line of readFileSync(join(root, 'docs/configuration.md'), 'utf8').split('\n')) {
    section = /^## (\w+)$/.exec(line)?.[1] ?? section;
    const key = /^\| `([\w.]+)` \|/.exec(line)?.[1];
    if (key !== undefined && ANSWERING.includes(section))
      keys.push(key === section ? key : `${section}.${key}`);
  }
  return keys;
}

t.test('every documented key that decides about answers has a row, and every row a document', async (t) => {
  const keys = documentedKeys();
  t.ok(keys.length > 30);
  const tested = new Set(ROWS.flatMap(({ keys = [] }) => keys));
  t.strictSame(
    keys.filter((key) => !tested.has(key) && !NOT_ABOUT_ANSWERS.has(key)),
    [],
    'keys without a row',
  );
  for (const {
    says: [file, text],
  } of ROWS)
    t.ok(readFileSync(join(root, file), 'utf8').replaceAll(/\s+/g, ' ').includes(text), `${file}: ${text}`);
});

function a(name: string, ttl: number, address: string): Buffer {
  return rawRecord(name, 'A', ttl, address.split('.').map(Number));
}

/** What the upstream across the link knows besides, and what the one on the site does. */
function says(question: string, upstream: string): Buffer | undefined {
  const [name = '', type = ''] = question.split(' ');
  const answer = (...answers: Buffer[]) => message({ question: [name, type], answers });
  if (upstream === SITE) return answer(a(name, 300, '10.4.0.1'));
  if (name.endsWith('.amazonaws.com') && name !== ENDPOINT && type === 'A')
    return answer(a(name, 60, '192.0.2.81'));
  if (name === 'alias.example.com') return answer(rawRecord(name, 'CNAME', 300, nameToWire(ENDPOINT)));
  if (name === 'short.example.com' && type === 'A') return answer(a(name, 30, '192.0.2.82'));
  if (name === 'signed.example.com' && type === 'A') {
    return message({ flags: 0x81a0, question: [name, type], answers: [a(name, 3000, '192.0.2.83')] });
  }
  if (type === 'SRV') {
    return answer(rawRecord(name, 'SRV', 300, [0, 1, 0, 2, 0, 123, ...nameToWire('mail.example.com')]));
  }
  return undefined;
}

const TTL = / ttl=\d+/;

function seen(reply: ReadReply, withTtl: boolean): string {
  const { aa, ad, ede, answers, authorities, rcode } = reply;
  const ttl = (answers[0] ?? authorities[0])?.ttl;
  return [
    rcodeName(rcode),
    aa && 'aa',
    ad && 'ad',
    answers
      .map(({ data }) => data)
      .toSorted()
      .join(', '),
    answers.length > 0 && withTtl && `ttl=${ttl}`,
    ede !== undefined && `ede=${ede}`,
    authorities.length > 0 && `| ${authorities.map(({ owner, type }) => `${owner} ${type}`).join(', ')}`,
    answers.length === 0 && withTtl && `ttl=${ttl}`,
  ]
    .filter((part) => part !== false && part !== '')
    .join(' ');
}

async function check(t: Test, site: VirtualSite, asks: readonly Ask[], state: 'connected' | 'cut') {
  for (const [question, connected, cut] of asks) {
    const want = state === 'connected' ? connected : cut;
    if (want === undefined) continue;
    const [name = '', type = 'A'] =
      typeof question === 'string' ? question.split(' ') : [question.name, question.type];
    const asked = { name, type, edns: {}, ...(typeof question === 'string' ? {} : question) };
    const withTtl = typeof want === 'string' && TTL.test(want);
    const reply = seen(await site.ask(asked), withTtl);
    if (typeof want === 'string')
      t.equal(state === 'cut' ? withoutStale(reply, want) : reply, want, `${name} ${type} ${state}`);
    else t.match(reply, want, `${name} ${type} ${state}`);
  }
}

/** Whether an answer is marked as stale is for its row to say, or not. */
function withoutStale(reply: string, want: string): string {
  return /ede=/.test(want) ? reply : reply.replace(/ ede=(3|19)\b/, '');
}

for (const row of ROWS) {
  t.test(`${row.says[0]}: ${row.says[1]}`, async (t) => {
    const { config = '', cluster = '' } = row;
    const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-documented-'));
    // files are written by turns of the real disk, some of them after the end
    t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }));
    const site = await VirtualSite.open(directory, config, undefined, cluster);
    site.says = says;
    site.onSite.add(SITE);
    await site.time.advance(MINUTE_MS);
    t.equal(site.report.link.summary.condition, 'connected');
    await check(t, site, row.asks, 'connected');
    site.isUp = false;
    site.time.settling = 'promises';
    for (let time = 0; time < 6; time++) await site.ask({ name: `warm${time}.up.example` });
    await site.time.advance(6 * MINUTE_MS);
    site.time.settling = 'all';
    t.equal(site.report.link.summary.condition, 'disconnected');
    await check(t, site, row.asks, 'cut');
    await site.close();
  });
}
