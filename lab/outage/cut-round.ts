/** One kind of cut from its begin to the refresh after it: how it is noticed, which clients it affects, and how it ends. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../check.ts';
import { eventually, must } from '../commands.ts';
import { ENDPOINT } from '../sandbox-site.ts';
import { tryClients } from './clients.ts';
import { type CutFigures, FIGURES, type Figure, type Journal, median } from './journal.ts';
import type { LabSite } from './lab-site.ts';
import { type LogLine, RETAINED_NAME, SITE_ZONE } from './near-side.ts';
import { CUT_MEANS, type Cut } from './network.ts';
import { ask, askAll, LONG_NAME, type Reply, SHORT_NAME, unknownName } from './questions.ts';

/** The promised limits, with room for a busy machine; medians need no room. */
const BOUNDS_MS = {
  /** No promise: a quiet link is probed every 10 s, a doubt three times. */
  noticed: 25_000,
  /** A late answer that gets through restarts the count. */
  noticedLossy: 60_000,
  /** 5 s, the deadline. */
  firstUnknown: 6_000,
  atOnce: 10,
  /** RFC 8767: 1.8 s for an upstream that is not known to be dead. */
  staleWhileConnected: 2_500,
  /** 3 s. */
  found: 4_500,
  /** And a second answer, half a second later. */
  upstreamUp: 5_500,
  /** 5 s more. */
  refreshed: 9_500,
  /** 0.5 s. */
  listening: 2_000,
};

/** By then it has been probed three times, with answers that take 6 s. */
const SLOW_MS = 20_000;
const ASKED = 7;
const RESTART_PAUSE_MS = 500;

export interface Move {
  readonly from: string;
  readonly to: string;
}

export interface Round {
  readonly lab: Lab;
  readonly site: LabSite;
  readonly journal: Journal;
  readonly cut: Cut;
  /** The change of an ENI in the Region during the cut. */
  readonly move: Move;
  /** The addresses that are served until the cut is over, sorted. */
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/** In a slow network all traffic crosses the link, late; in all others none does. */
const goesOnWorking = (cut: Cut): boolean => cut === 'slow';

export async function cutRound(round: Round): Promise<void> {
  const { lab, site, journal, cut } = round;
  lab.note(`${cut}: ${CUT_MEANS[cut]}`);
  const figures = journal.cut(cut);
  const step = (name: string, action: () => Promise<void>) => lab.step(`${cut}: ${name}`, action);
  await untilWhole(site);
  await askAll(site, [SHORT_NAME, LONG_NAME]);
  const cutMs = await site.network.setCut(cut);
  journal.begin(cut, cutMs);
  await step('an unknown name is answered within the deadline', () => firstUnknown(round, figures));
  await step(goesOnWorking(cut) ? 'it is not taken for a cut' : 'the cut is noticed', async () => {
    for (const [figure, ms] of await noticed(site, cut, cutMs)) figures.of.set(figure, ms);
  });
  await step('names are answered at once, stale or not at all', () => knownCut(round, figures));
  await step("the site's own server is asked as ever", () => siteZone(round, figures));
  await step('every client finds the endpoint', () => tryClients(site, journal, round.before));
  await site.farSide.moveInterface(round.move.from, round.move.to);
  await step('kill -9 and a new process: it answers soon, and with what was known', () =>
    killed(round, figures),
  );
  // the return below proves only something if the link was lost before
  await step('the new process sees it as the one before did', async () => {
    await noticed(site, cut, site.nearSide.gaps.at(-1)?.toMs ?? 0);
  });
  // the server may notice before the command that restores the link has ended
  const askedMs = Date.now();
  const restoredMs = await site.network.setCut(undefined);
  journal.begin(`${cut}, restored`, restoredMs);
  await step('the return of the link is noticed, and so are the changes during the cut', () =>
    found(round, figures, askedMs, restoredMs),
  );
  await step('every client finds the endpoint after it', () => tryClients(site, journal, round.after));
}

async function firstUnknown({ site, cut }: Round, figures: CutFigures): Promise<void> {
  const reply = await ask(site, unknownName());
  figures.of.set('firstUnknown', reply.serverMs);
  assert.ok(reply.serverMs <= BOUNDS_MS.firstUnknown, `after ${reply.serverMs.toFixed(0)} ms`);
  // of a lossy link's packets one in five gets through, and a single answer is enough
  if (cut === 'down' || cut === 'black hole') isFailure(reply);
}

/** Resolves to the time until each path was reported in the server's log. */
async function noticed(site: LabSite, cut: Cut, sinceMs: number): Promise<ReadonlyMap<Figure, number>> {
  const withinMs = cut === 'lossy' ? BOUNDS_MS.noticedLossy : BOUNDS_MS.noticed;
  const took = async (figure: Figure, matches: (line: LogLine) => boolean) => {
    const { atMs } = await site.nearSide.logged(FIGURES[figure], sinceMs, withinMs, matches);
    return [figure, atMs - sinceMs] as const;
  };
  const isAws = ({ msg, fields }: LogLine) =>
    msg === 'link changed' && fields['side'] === 'aws' && fields['to'] === 'disconnected';
  const isDown = ({ msg }: LogLine) => msg === 'upstream is down';
  if (!goesOnWorking(cut)) return new Map(await Promise.all([took('aws', isAws), took('upstream', isDown)]));
  // a late answer is an answer
  await sleep(Math.max(0, sinceMs + SLOW_MS - Date.now()));
  const { link } = await site.nearSide.status();
  assert.notEqual(link.summary.condition, 'disconnected', JSON.stringify(link));
  return new Map();
}

async function knownCut({ site, cut }: Round, figures: CutFigures): Promise<void> {
  const names = Array.from({ length: goesOnWorking(cut) ? 2 : ASKED }, unknownName);
  const unknown = await askAll(site, names);
  const stale = await askAll(
    site,
    Array.from({ length: names.length }, () => SHORT_NAME),
  );
  const long = await ask(site, LONG_NAME);
  const retained = await ask(site, RETAINED_NAME);
  const figure = (name: Figure, replies: readonly Reply[]) => {
    const ms = median(replies.map(({ serverMs }) => serverMs));
    figures.of.set(name, ms);
    return ms;
  };
  const unknownMs = figure('unknown', unknown);
  const staleMs = figure('stale', stale);
  for (const kept of [long, retained]) isData(kept);
  assert.deepEqual(long.edns?.extendedErrors ?? [], [], long.text);
  if (goesOnWorking(cut)) {
    assert.ok(unknownMs <= BOUNDS_MS.firstUnknown && staleMs <= BOUNDS_MS.staleWhileConnected);
    for (const reply of stale) isData(reply);
    return;
  }
  for (const reply of unknown) isFailure(reply);
  for (const reply of stale) isStale(reply);
  for (const ms of [unknownMs, staleMs]) assert.ok(ms <= BOUNDS_MS.atOnce, `median ${ms.toFixed(2)} ms`);
}

async function siteZone({ site }: Round, figures: CutFigures): Promise<void> {
  const names = Array.from({ length: ASKED }, (_, at) => `${Date.now()}-${at}.${SITE_ZONE}`);
  const replies = await askAll(site, names);
  for (const reply of replies) {
    isData(reply);
    assert.deepEqual(reply.edns?.extendedErrors ?? [], [], reply.text);
  }
  const ms = median(replies.map(({ serverMs }) => serverMs));
  figures.of.set('site', ms);
  assert.ok(ms <= 2 * BOUNDS_MS.atOnce, `median ${ms.toFixed(2)} ms`);
}

async function killed(round: Round, figures: CutFigures): Promise<void> {
  const { site, journal, cut } = round;
  journal.begin(`${cut}, killed`, Date.now());
  const { startedMs, toMs } = await site.nearSide.killAndRestart(RESTART_PAUSE_MS);
  journal.begin(`${cut}, new process`, toMs);
  figures.of.set('listening', toMs - startedMs);
  await tryClients(site, journal, round.before);
  isData(await ask(site, RETAINED_NAME));
  assert.ok(toMs - startedMs <= BOUNDS_MS.listening, `it listens after ${toMs - startedMs} ms`);
}

async function found(
  { site, cut, after }: Round,
  figures: CutFigures,
  askedMs: number,
  restoredMs: number,
): Promise<void> {
  const took = async (figure: 'found' | 'upstreamUp', matches: (line: LogLine) => boolean) => {
    const { atMs } = await site.nearSide.logged(FIGURES[figure], askedMs, 30_000, matches);
    figures.of.set(figure, Math.max(0, atMs - restoredMs));
  };
  const isSign = ({ msg, fields }: LogLine) =>
    msg === 'link changed' && ['recovering', 'connected'].includes(String(fields['to']));
  const isUp = ({ msg }: LogLine) => msg === 'upstream is up';
  const refreshed = untilServed(site, after);
  if (!goesOnWorking(cut)) await Promise.all([took('found', isSign), took('upstreamUp', isUp)]);
  figures.of.set('refreshed', (await refreshed) - restoredMs);
  for (const figure of ['found', 'upstreamUp', 'refreshed'] as const) {
    const ms = figures.of.get(figure) ?? 0;
    assert.ok(ms <= BOUNDS_MS[figure], `${FIGURES[figure]} after ${ms} ms`);
  }
}

/** Resolves once the last cut is over for the server too: a path that is not yet trusted again has a shorter time-out. */
export async function untilWhole(site: LabSite): Promise<void> {
  await eventually('upstream and AWS are back', 30_000, async () => {
    const { link, upstreams } = await site.nearSide.status();
    const isBack = link.summary.condition === 'connected' && upstreams.every(({ isHealthy }) => isHealthy);
    return isBack ? true : undefined;
  });
}

/** Resolves to when a client was given these addresses; ms since 1970. */
export function untilServed(site: LabSite, addresses: readonly string[]): Promise<number> {
  return eventually(`${addresses.join(', ')} served`, 30_000, async () => {
    const shown = await must(site.withinClient(['dig', '+short', ENDPOINT]));
    return shown.trim().split('\n').sort().join() === addresses.join() ? Date.now() : undefined;
  });
}

export function isData(reply: Reply): void {
  assert.equal(reply.status, 'NOERROR', reply.text);
  assert.ok(reply.answer.length > 0, reply.text);
}

/** RFC 8914: 22 no reachable authority, 23 network error. */
function isFailure(reply: Reply): void {
  assert.equal(reply.status, 'SERVFAIL', reply.text);
  assert.ok(
    reply.edns?.extendedErrors.some((code) => code === 22 || code === 23),
    reply.text,
  );
}

export function isStale(reply: Reply): void {
  isData(reply);
  assert.equal(reply.answer[0]?.ttlSeconds, 30, reply.text);
  assert.deepEqual(reply.edns?.extendedErrors, [3], reply.text);
}
