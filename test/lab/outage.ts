/**
 * A disconnect and the way back, four kinds of it, in a small network with other people's clients: nothing lost, nothing slow,
 * nobody who does not find the endpoint. The figures go to `lab-out/outage.md`.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, LabCheck } from './check.ts';
import { run } from './commands.ts';
import { CLIENT_TOOLS, tryClients } from './outage/clients.ts';
import { cutRound } from './outage/cut-round.ts';
import { Journal, type LoadRow, loadRows, lostOutside, quantile, type Sent } from './outage/journal.ts';
import { LabSite, OTHER_ADDRESS, QUERIES_PER_SECOND } from './outage/lab-site.ts';
import { CUTS, REGION_ADDRESS, SITE_LAN_ADDRESS } from './outage/network.ts';
import { askAll, LONG_NAME, SHORT_NAME } from './outage/questions.ts';
import { rehearsal } from './outage/rehearsal.ts';
import { ADDRESSES, ENDPOINT } from './sandbox-site.ts';

/** Of the server's answer time, at p99.9. */
const SERVER_MS = 5;
/** A query that was on its way when the process was killed is as lost as one that came after. */
const KILL_TOLERANCE_MS = 250;
/** What a crash may cost of the forwarded answers: the last minute. */
const KEPT_AFTER_MS = 60_000;

export const outage: LabCheck = {
  name: 'outage',
  about:
    'four kinds of cut between site and Region, with other clients, 1,000 queries/s, kill -9 and a drill',
  tools: ['ip', 'git', 'nft', 'named', 'unbound', 'openssl', 'tcpdump', 'chrt', ...CLIENT_TOOLS],
  async run(lab) {
    await using site = await LabSite.start(lab.workshop, 'outage');
    const journal = new Journal();
    await lab.step('a client reaches the site and not the Region', () => isolated(site));
    await lab.step('connected: the endpoint is learned', () => site.untilLearned());
    await site.startLoad();
    journal.begin('connected', Date.now());
    const warmMs = Date.now();
    await askAll(site, [SHORT_NAME, LONG_NAME]);
    await lab.step('connected: every client finds the endpoint', () => tryClients(site, journal, ADDRESSES));
    const [first = ''] = ADDRESSES;
    const moved = [...ADDRESSES.slice(1), OTHER_ADDRESS].sort();
    for (const [at, cut] of CUTS.entries()) {
      const isKeptOnDisk = Date.now() - warmMs > KEPT_AFTER_MS;
      const round = { lab, site, journal, cut, isKeptOnDisk };
      // there and back again
      if (at % 2 === 0)
        await cutRound({
          ...round,
          move: { from: first, to: OTHER_ADDRESS },
          before: ADDRESSES,
          after: moved,
        });
      else
        await cutRound({
          ...round,
          move: { from: OTHER_ADDRESS, to: first },
          before: moved,
          after: ADDRESSES,
        });
    }
    await rehearsal(lab, site, journal);
    await lab.step('history tells of it', () => history(site));
    journal.end(Date.now());
    await sleep(500);
    await site.endLoad();
    await judgeLoad(lab, site, journal);
  },
};

async function isolated(site: LabSite): Promise<void> {
  const digging = (server: string) =>
    run(site.withinClient(['dig', `@${server}`, '+tries=1', '+timeout=2', ENDPOINT]));
  const [near, far] = [await digging(SITE_LAN_ADDRESS), await digging(REGION_ADDRESS)];
  assert.deepEqual([near.code, far.code], [0, 9], far.stdout); // 9: no reply
}

async function history(site: LabSite): Promise<void> {
  const { events } = JSON.parse(await site.nearSide.history('--json')); // our own program's
  const count = (matches: (event: Record<string, unknown>) => boolean) => events.filter(matches).length;
  const cut = ({ kind, side, to }: Record<string, unknown>) =>
    kind === 'link' && side === 'aws' && to === 'disconnected';
  assert.ok(count(cut) >= CUTS.length - 1, `${count(cut)} times disconnected`);
  assert.ok(count(({ kind }) => kind === 'addresses') >= CUTS.length, 'changes of addresses');
  assert.equal(
    count(({ kind }) => kind === 'drill'),
    2,
    'a drill started and ended',
  );
  assert.equal(
    count(({ kind }) => kind === 'start'),
    1 + site.nearSide.gaps.length,
    'starts',
  );
}

async function judgeLoad(lab: Lab, site: LabSite, journal: Journal): Promise<void> {
  const columns = new Float64Array(Uint8Array.from(await readFile(site.loadFile)).buffer);
  const sent: Sent = {
    sentMs: columns.subarray(0, columns.length / 2),
    tookMs: columns.subarray(columns.length / 2),
  };
  const unseen = await site.capture.end();
  const name = ENDPOINT.toLowerCase();
  const exchanges = (await site.capture.exchanges()).filter((one) => one.name === name);
  const rows = loadRows(journal.phases, sent, exchanges);
  const tables = [
    ...journal.clientTable(site.clients.map((client) => client.name)),
    '',
    ...journal.cutTable(),
    '',
    ...journal.loadTable(rows),
  ];
  for (const line of tables) lab.note(line);
  await writeFile(await lab.workshop.reportFile('outage.md'), `${tables.join('\n')}\n`);
  await lab.step(`${QUERIES_PER_SECOND} queries/s: none lost while the process ran`, async () => {
    const all = rows.reduce((sum, row) => sum + row.sent, 0);
    const seconds = ((sent.sentMs.at(-1) ?? 0) - (sent.sentMs[0] ?? 0)) / 1000;
    assert.ok(all > 0.9 * QUERIES_PER_SECOND * seconds, `${all} queries in ${seconds.toFixed(0)} s`);
    const lost = lostOutside(site.nearSide.gaps, sent, KILL_TOLERANCE_MS);
    assert.deepEqual(lost.map((ms) => new Date(ms).toISOString()).slice(0, 20), []);
  });
  await lab.step(`the server's answer time is under ${SERVER_MS} ms at p99.9 in every phase`, async () => {
    assert.equal(unseen, 0, 'packets that the capture has missed');
    const slow = rows.filter(isSlow).map(({ phase, server }) => `${phase}: ${quantile(server, 0.999)} ms`);
    assert.deepEqual(slow, []);
  });
}

/** Phases of a second or less have no such percentile. */
function isSlow({ server }: LoadRow): boolean {
  return server.length > QUERIES_PER_SECOND && quantile(server, 0.999) > SERVER_MS;
}
