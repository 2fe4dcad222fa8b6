/** What is kept, through the daemon's own rooms as they are wired: over a cut, and against an upstream that lies. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../helpers/patience.ts';
import { message, rawRecord, soaData } from '../helpers/zone-text.ts';
import { VirtualSite } from './virtual-site.ts';

const NAME = 'registry.corp.example';
const MINUTE_MS = 60_000;

const address = (ttlSeconds: number) =>
  message({ question: [NAME, 'A'], answers: [rawRecord(NAME, 'A', ttlSeconds, [192, 0, 2, 7])] });
const denial = (type: string, flags: number) =>
  message({
    flags,
    question: [NAME, type],
    authorities: [rawRecord('corp.example', 'SOA', 60, soaData(60))],
  });

async function open(t: Test, more = ''): Promise<VirtualSite> {
  const directory = await mkdtemp(join(tmpdir(), 'kept-answers-'));
  const site = await VirtualSite.open(join(directory, 'site'), more);
  t.teardown(async () => {
    await site.close();
    // the disk is real, and the last write may end after the site does
    await rm(directory, { recursive: true, force: true, maxRetries: 50 });
  });
  await site.rooms.answers.start();
  await site.time.advance(2 * MINUTE_MS);
  return site;
}

t.test('asked for in one way, it answers every other in a cut, also with a TTL of 0', async (t) => {
  for (const ttlSeconds of [0, 60]) {
    await t.test(`TTL ${ttlSeconds}`, async (t) => {
      const site = await open(t);
      site.says = (question) => (question === `${NAME} A` ? address(ttlSeconds) : undefined);
      t.match(await site.ask({ name: NAME, edns: { dnssecOk: true } }), { rcode: 0 });
      site.isUp = false;
      await site.time.advance(10 * MINUTE_MS);
      for (const more of [{}, { cd: true }, { edns: { dnssecOk: true } }])
        t.match(await site.ask({ name: NAME, ...more }), { rcode: 0, answers: [{ data: '192.0.2.7' }] });
    });
  }
});

t.test(
  'the answers are written down when a cut begins, though none of them has changed for long',
  async (t) => {
    const site = await open(t);
    site.says = (question) => (question === `${NAME} A` ? address(60) : undefined);
    const written = () => site.rooms.answers.state().writtenAtMs ?? 0;
    await site.ask({ name: NAME });
    await site.time.advance(2 * MINUTE_MS);
    await site.ask({ name: NAME });
    const before = written();
    t.equal(site.rooms.link.cuts.isAnyCut, false);
    site.isUp = false;
    const cutAtMs = site.time.monotonicMs();
    while (!site.rooms.link.cuts.isAnyCut && site.time.monotonicMs() - cutAtMs < 5 * MINUTE_MS)
      await site.time.advance(1_000);
    t.equal(site.rooms.link.cuts.isAnyCut, true);
    await site.time.advance(MINUTE_MS);
    // the disk is real, and virtual time does not wait for it
    await until('the answers are written', async () => {
      await site.time.advance(1_000);
      return written() > before;
    });
    t.ok(written() > before);
  },
);

t.test(
  'ignoreDenials: no denial of a live upstream takes the answer away; status and metrics tell',
  async (t) => {
    const site = await open(t, `retain: [{ name: ${NAME}, ignoreDenials: true }]`);
    site.says = (question) => (question === `${NAME} A` ? address(60) : undefined);
    await site.time.advance(10 * MINUTE_MS);
    t.match(await site.ask({ name: NAME }), { answers: [{ data: '192.0.2.7' }] });
    for (const flags of [0x8183, 0x8180]) {
      site.says = (question) =>
        question.startsWith(NAME) ? denial(question.split(' ')[1]!, flags) : undefined;
      await site.time.advance(60 * MINUTE_MS);
      t.match(await site.ask({ name: NAME, edns: {} }), {
        rcode: 0,
        answers: [{ data: '192.0.2.7', ttl: 30 }],
        ede: 3,
      });
      const retained = site.report.retained.find(({ type }) => type === 'A');
      t.match(retained, { state: 'denied', doubtedAgeSeconds: Number });
      t.ok(retained!.denialsIgnored > 30);
      t.ok(site.report.retainedInAll.denialsIgnored >= retained!.denialsIgnored);
    }
  },
);

t.test(
  'connected, names whose AAAA fails at once take no AAAA from another name of their domain',
  async (t) => {
    const site = await open(t);
    site.says = (question) => {
      const [name = '', type = ''] = question.split(' ');
      if (!name.endsWith('corp.example')) return undefined;
      if (type === 'AAAA' && name.startsWith('old'))
        return message({ flags: 0x8182, question: [name, type] });
      const octets = type === 'A' ? [192, 0, 2, 7] : Array(16).fill(1);
      return message({ question: [name, type], answers: [rawRecord(name, type, 600, octets)] });
    };
    const askBoth = async (name: string) => {
      t.match(await site.ask({ name }), { answers: [{ data: '192.0.2.7' }] });
      return site.ask({ name, type: 'AAAA' });
    };
    for (let at = 0; at < 4; at++) t.match(await askBoth(`old${at}.corp.example`), { rcode: 2 });
    t.match(await askBoth('new.corp.example'), { rcode: 0, answers: [{ type: 'AAAA' }] });
  },
);
