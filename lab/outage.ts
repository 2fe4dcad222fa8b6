/**
 * A disconnect and its end, of four kinds, in a small network with other people's clients. No query is lost or slow, and
 * every client finds the endpoint. The figures go to `lab-out/outage.md`.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import type { Lab, LabCheck } from './check.ts';
import { run } from './commands.ts';
import type { Exchange } from './outage/capture.ts';
import { CLIENT_TOOLS, tryClients } from './outage/clients.ts';
import { cutRound, untilServed } from './outage/cut-round.ts';
import { Journal, loadRows, lostOutside, quantile, type Sent, withoutStops } from './outage/journal.ts';
import { LabSite, OTHER_ADDRESS, QUERIES_PER_SECOND } from './outage/lab-site.ts';
import { CUTS, REGION_ADDRESS, SITE_LAN_ADDRESS } from './outage/network.ts';
import { crash, rehearsal } from './outage/rehearsal.ts';
import { ADDRESSES, ENDPOINT } from './sandbox-site.ts';

/** Of the server's answer time, at p99.9, starts included: the goal, which is reported. */
const GOAL_MS = 5;
/** What a machine that others use cannot break: seen there 2 to 6 ms. */
const BOUND_MS = 50;
/** A query in flight when the process was killed is as lost as a query that came later. */
const KILL_TOLERANCE_MS = 250;
/** The program loads files while it answers: these times are also shown apart. */
const STARTING_MS = 3000;

/** The address of the ENI that moves. */
const [HOME = '', ...OTHERS] = ADDRESSES;
const withFirst = (address: string): readonly string[] => [address, ...OTHERS].sort();

export const outage: LabCheck = {
  name: 'outage',
  about:
    'four kinds of cut between site and Region, with other clients, 1,000 queries/s, kill -9 and a drill',
  tools: ['ip', 'git', 'nft', 'named', 'unbound', 'openssl', 'tcpdump', 'chrt', 'taskset', ...CLIENT_TOOLS],
  async run(lab) {
    await using site = await LabSite.start(lab.workshop, 'outage');
    const journal = new Journal();
    await lab.step('a client reaches the site and not the Region', () => isolated(site));
    await lab.step('connected: the endpoint is learned', () => site.untilLearned());
    await site.startLoad();
    journal.begin('connected', Date.now());
    await lab.step('connected: every client finds the endpoint', () => tryClients(site, journal, ADDRESSES));
    for (const [at, cut] of CUTS.entries()) {
      // an ENI moves there and back again
      const move = at % 2 === 0 ? { from: HOME, to: OTHER_ADDRESS } : { from: OTHER_ADDRESS, to: HOME };
      await cutRound({
        lab,
        site,
        journal,
        cut,
        move,
        before: withFirst(move.from),
        after: withFirst(move.to),
      });
    }
    await rehearsal(lab, site, journal);
    await crash(lab, site, journal);
    await changeInCut(lab, site, journal);
    await lab.step('history has an event for it', () => history(site));
    journal.end(Date.now());
    await site.endLoad();
    await judgeLoad(lab, site, journal);
  },
};

/** In the cut with the crash: AWS cannot tell this address, but the cluster can. */
async function changeInCut(lab: Lab, site: LabSite, journal: Journal): Promise<void> {
  const moved = withFirst(OTHER_ADDRESS);
  await lab.step('a change during the cut is seen by asking the cluster', async () => {
    await site.farSide.moveInterface(HOME, OTHER_ADDRESS);
    await site.nearSide.askCluster(moved);
    await untilServed(site, moved);
    await tryClients(site, journal, moved);
  });
  await lab.step('restored: every client finds the endpoint', async () => {
    journal.begin('restored', await site.network.setCut(undefined));
    await site.untilLearned();
    await tryClients(site, journal, moved);
  });
}

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
    4,
    'two drills started and ended',
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
  const captured = (await site.capture.exchanges()).filter((one) => one.name === name);
  const exchanges = withoutStops(captured, site.stops());
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
    assert.deepEqual(lost.slice(0, 20), [], `${lost.length} lost`);
  });
  lab.note(
    `${site.stops().length} times a processor of the machine stood still: that time is left out of the server's ` +
      `(with it ${quantile(answerTimes(captured), 0.999).toFixed(2)} ms at p99.9)`,
  );
  await judgeServer(lab, site, exchanges, unseen);
}

async function judgeServer(
  lab: Lab,
  site: LabSite,
  exchanges: readonly Exchange[],
  unseen: number,
): Promise<void> {
  const isStarting = ({ askedMs }: Exchange) =>
    site.nearSide.gaps.some(({ fromMs, toMs }) => askedMs >= fromMs && askedMs < toMs + STARTING_MS);
  const running = answerTimes(exchanges.filter((one) => !isStarting(one)));
  const starting = answerTimes(exchanges.filter(isStarting));
  const all = answerTimes(exchanges);
  const shown = (took: Float64Array, part: number) =>
    `${quantile(took, part).toFixed(2)} ms (p${100 * part})`;
  for (const [what, took] of [
    ['', all],
    [`, ${STARTING_MS / 1000} s after a start`, starting],
    [', otherwise', running],
  ] as const) {
    const quantiles = [0.5, 0.99, 0.999, 0.9999, 1].map((part) => shown(took, part));
    lab.note(`server${what}: ${took.length} answers: ${quantiles.join(', ')}`);
  }
  lab.note(
    `the goal at p99.9 is ${GOAL_MS} ms: ${quantile(all, 0.999) < GOAL_MS ? 'reached' : 'not reached'}`,
  );
  await lab.step(`the server's answer time is under ${BOUND_MS} ms at p99.9, starts included`, async () => {
    assert.equal(unseen, 0, 'packets that the capture has missed');
    assert.ok(starting.length > 0, 'answers after a start');
    assert.ok(quantile(all, 0.999) < BOUND_MS, shown(all, 0.999));
  });
}

/** In ms, ascending, of those that were answered. */
function answerTimes(exchanges: readonly Exchange[]): Float64Array {
  return Float64Array.from(exchanges.map(({ tookMs }) => tookMs).filter(Number.isFinite)).sort();
}
