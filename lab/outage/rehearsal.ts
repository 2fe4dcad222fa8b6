/**
 * A drill, and then a real cut of the same length with the same questions. The report of the drill must name the effects of
 * the cut.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { type DrillReportBody, drillReport } from '../../src/admin/drill-control.ts';
import type { Lab } from '../check.ts';
import { eventually } from '../commands.ts';
import { ADDRESSES, ENDPOINT } from '../sandbox-site.ts';
import { tryClients } from './clients.ts';
import { isData, isStale, untilWhole } from './cut-round.ts';
import type { Journal } from './journal.ts';
import type { LabSite } from './lab-site.ts';
import { RETAINED_NAME, SITE_ZONE } from './near-side.ts';
import { ask, askAll, LONG_NAME, LONG_TTL_SECONDS, SHORT_NAME, SHORT_TTL_MS } from './questions.ts';

const LENGTH_MS = 20_000;

/** Some of each kind; no other client asks for them during the drill. */
const NEVER_ASKED = ['one.short.example.com', 'two.short.example.com'] as const;
const AWS_NAME = 'sts.us-west-2.amazonaws.com';
const NAMES = [
  ...NEVER_ASKED,
  AWS_NAME,
  SHORT_NAME,
  LONG_NAME,
  RETAINED_NAME,
  `drill.${SITE_ZONE}`,
  ENDPOINT,
];

/** Sorted, in lower case. */
interface Hurt {
  readonly failed: readonly string[];
  readonly stale: readonly string[];
}

export async function rehearsal(lab: Lab, site: LabSite, journal: Journal): Promise<void> {
  let report: DrillReportBody | undefined;
  let rehearsed: Hurt | undefined;
  await lab.step('drill: every client finds the endpoint while it runs', async () => {
    await untilWhole(site);
    await site.nearSide.drill('start', '--for', '1h');
    journal.begin('drill, stopped early', Date.now());
    await tryClients(site, journal, ADDRESSES);
    await site.nearSide.drill('stop');
    assert.equal((await readReport(site)).endedBy, 'command');
  });
  await lab.step('drill: it runs for as long as was said, and ends by itself', async () => {
    await untilReady(site);
    await site.nearSide.drill('start', '--for', `${LENGTH_MS / 1000}s`);
    const startedMs = Date.now();
    journal.begin('drill', startedMs);
    rehearsed = await hurtOf(site, startedMs + LENGTH_MS - 5000);
    const { state } = await readReport(site);
    assert.equal(state, 'running');
    report = await eventually('the end of the drill', LENGTH_MS, async () => {
      const report = await readReport(site);
      return report.state === 'ended' ? report : undefined;
    });
    assert.deepEqual([report.state, report.endedBy, report.forMs], ['ended', 'time', LENGTH_MS]);
    await untilReady(site);
  });
  let real: Hurt | undefined;
  await lab.step('drill: then a real cut of the same length', async () => {
    const cutMs = await site.network.setCut('down');
    journal.begin('down, as in the drill', cutMs);
    real = await hurtOf(site, cutMs + LENGTH_MS - 5000);
    await sleep(cutMs + LENGTH_MS - Date.now());
  });
  await lab.step('drill: its report names exactly the names that fail in the real cut', async () => {
    lab.note(`failed in the cut: ${real?.failed.join(', ')}; stale: ${real?.stale.join(', ')}`);
    assert.ok(real !== undefined && real.failed.length > 0 && real.stale.length > 0);
    assert.deepEqual(namesOf(report?.failed), real.failed);
    assert.deepEqual(namesOf(report?.stale), real.stale);
    assert.deepEqual(rehearsed, real, 'and the clients saw the same in both');
  });
  await lab.step('drill: it counts the endpoint answers, and proposes to retain what can be', async () => {
    const endpoint = report?.endpoints.find((one) => one.endpoint.toLowerCase() === ENDPOINT.toLowerCase());
    assert.ok((endpoint?.answers ?? 0) > LENGTH_MS / 2, JSON.stringify(report?.endpoints)); // half the load
    assert.deepEqual(report?.retain.map(({ name }) => name).sort(), [...NEVER_ASKED, SHORT_NAME].sort());
  });
}

/** A crash may cost the forwarded answers of the last minute: the new process has those that are on the disk. */
export async function crash(lab: Lab, site: LabSite, journal: Journal): Promise<void> {
  await lab.step('killed in the cut: the new process has the answers of a minute ago', async () => {
    const snapshot = await eventually('a snapshot of the answers', 70_000, async () => {
      const { state } = await site.nearSide.status();
      return (state.snapshot.answers ?? 0) >= 2 ? state.snapshot : undefined;
    });
    journal.begin('killed', Date.now());
    const { toMs } = await site.nearSide.killAndRestart(0);
    journal.begin('new process', toMs);
    const [short, long, retained] = await askAll(site, [SHORT_NAME, LONG_NAME, RETAINED_NAME]);
    assert.ok(short !== undefined && long !== undefined && retained !== undefined);
    isStale(short);
    isData(long);
    assert.ok((long.answer[0]?.ttlSeconds ?? LONG_TTL_SECONDS) < LONG_TTL_SECONDS, 'its age goes on');
    isData(retained);
    lab.note(`${snapshot.answers} answers on the disk, written ${snapshot.ageSeconds?.toFixed(0)} s before`);
  });
}

/** Asks all of them twice, once now and once at `againMs`. */
async function hurtOf(site: LabSite, againMs: number): Promise<Hurt> {
  const failed = new Set<string>();
  const stale = new Set<string>();
  for (const round of ['now', 'again']) {
    if (round === 'again') await sleep(Math.max(0, againMs - Date.now()));
    const replies = await Promise.all(NAMES.map(async (name) => ({ name, reply: await ask(site, name) })));
    for (const { name, reply } of replies) {
      if (reply.status === 'SERVFAIL') failed.add(name.toLowerCase());
      // a retained answer is given without end: no client is hurt
      else if (reply.edns?.extendedErrors.includes(3) && name !== RETAINED_NAME)
        stale.add(name.toLowerCase());
    }
  }
  return { failed: [...failed].sort(), stale: [...stale].sort() };
}

/** All names are answered, and the answers that have to be stale have expired. */
async function untilReady(site: LabSite): Promise<void> {
  await untilWhole(site);
  for (const name of [SHORT_NAME, LONG_NAME]) await ask(site, name);
  await sleep(SHORT_TTL_MS + 1000);
}

async function readReport(site: LabSite): Promise<DrillReportBody> {
  return v.parse(drillReport, JSON.parse(await site.nearSide.drill('report', '--json')));
}

function namesOf(asked: DrillReportBody['failed'] | undefined): string[] {
  return [...new Set(asked?.names.map(({ name }) => name.toLowerCase()))].sort();
}
