/**
 * The pages of the running daemon: what each of them reads, the timeline of the ledger, and the panel of a cut. The first request
 * loads this file.
 */

import type { AsIfCutReport } from '../admin/drill-control.ts';
import type { Pages } from '../admin/http-server.ts';
import { createPages } from '../admin/pages.ts';
import type { TimelineEvent } from '../admin/status-page.ts';
import { CLUSTERS_PER_TURN } from '../refresh/refresh-plane.ts';
import { type Panel, toned } from '../report/report.ts';
import { inBackground } from '../runtime/background.ts';
import { type Clock, endsWithin, type Timers } from '../runtime/clock.ts';
import { inSlices } from '../runtime/slices.ts';
import { readRecent } from '../store/ledger-reader.ts';
import { sentenceOfEntry } from '../store/ledger-sentence.ts';
import { rehearseCut } from './as-if-cut.ts';
import type { DaemonParts } from './parts.ts';
import { ROOM_REPORTS } from './report.ts';
import type { Rooms } from './rooms.ts';
import type { Daemon } from './running-daemon.ts';

export { importMetrics } from '../admin/pages.ts';

export function pagesOf(parts: DaemonParts, rooms: Rooms, daemon: Daemon): Pages {
  const { clock, pause, timers } = parts;
  return createPages({
    reports: ROOM_REPORTS,
    status: () => inSlices(daemon.reporting(), pause, CLUSTERS_PER_TURN),
    clock,
    pause,
    revision: () => daemon.revision,
    timers,
    timeline: timelineOf(parts, rooms),
    pagePanels: cutPanelOf(() => rehearseCut(parts, rooms), parts),
  });
}

/** Events on the page; `outpost-dns history` has all of them. */
const MOST_EVENTS = 200;
/** A page does not wait longer for the disk: it then shows the events of before. */
const EVENTS_WAIT_MS = 1_000;

/** The newest events, the newest first. The files are read again only after the ledger has written. */
function timelineOf({ config, pause, timers }: DaemonParts, { ledger, files }: Rooms) {
  let readAt = -1;
  let events: readonly TimelineEvent[] = [];
  let reading: Promise<void> | undefined;
  const read = async (written: number): Promise<void> => {
    const entries = await readRecent(config.state.directory, MOST_EVENTS, pause, files);
    readAt = written;
    events = entries.map((entry) => {
      const { text, tone = 'plain' } = sentenceOfEntry(entry);
      const crash = entry.isAfterCrash ? ', after a run that ended without a stop' : '';
      return { at: entry.at, kind: entry.kind, text: `${text}${crash}`, tone };
    });
  };
  return async (): Promise<readonly TimelineEvent[]> => {
    const { written } = ledger.state();
    if (written === readAt) return events;
    reading ??= inBackground('admin', () => read(written)).finally(() => {
      reading = undefined;
    });
    await endsWithin(timers, reading, EVENTS_WAIT_MS);
    return events;
  };
}

const TITLE = 'If the link were cut now';
/** Failing questions on the page; `outpost-dns check --as-if-cut` lists more. */
const MOST_ROWS = 10;

const GROUPS = [
  ['endpoints', 'endpoints'],
  ['retained', 'retained names'],
  ['asked', 'names asked for in the last day'],
] as const satisfies readonly (readonly [keyof AsIfCutReport, string])[];

export function cutPanel(report: AsIfCutReport): Panel {
  const counts = GROUPS.map(([group, text]) => {
    const { tried, failing, more } = report[group];
    return { text, tried, failing, fails: failing.length + more };
  });
  const fails = counts.reduce((sum, group) => sum + group.fails, 0);
  const rows = counts.flatMap(({ text, failing }) =>
    failing.map(({ name, type, step }) => [name, type, text, step]),
  );
  const isBad = counts.slice(0, 2).some((group) => group.fails > 0);
  return {
    title: TITLE,
    badge:
      fails === 0
        ? toned('good', 'nothing would fail')
        : toned(isBad ? 'bad' : 'doubtful', `${fails} would fail`),
    about: 'what is known here alone; outpost-dns check --as-if-cut says the fixes',
    facts: [
      ...counts.map(
        ({ text, tried, fails }) =>
          [text, tried === 0 ? 'none' : `${tried - fails} of ${tried} answered`] as const,
      ),
      ...(report.failByRule === 0
        ? []
        : [['fail at once by a rule', `${report.failByRule} names, services of AWS most likely`] as const]),
    ],
    ...(rows.length === 0
      ? {}
      : { head: ['name', 'type', 'group', 'fails at'], rows: rows.slice(0, MOST_ROWS) }),
    ...(fails > MOST_ROWS ? { rest: `and ${fails - MOST_ROWS} more` } : {}),
  };
}

/** How old the rehearsal on the page may be: it takes some seconds of small steps where the cache is full. */
const EVERY_MS = 60_000;
/** How long the first page waits for it: a rehearsal of a small cache is part of the first page that a person sees. */
const WAIT_MS = 300;

/** A rehearsal runs only for a page that is open. Where it takes longer than a person waits, the panel says so until it ends. */
export function cutPanelOf(
  rehearse: () => Promise<AsIfCutReport>,
  { clock, timers }: { readonly clock: Pick<Clock, 'monotonicMs'>; readonly timers: Timers },
): () => Promise<readonly Panel[]> {
  let panels: readonly Panel[] | undefined;
  let startedMs = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | undefined;
  return async () => {
    const nowMs = clock.monotonicMs();
    if (nowMs - startedMs >= EVERY_MS) {
      startedMs = nowMs;
      running = inBackground('admin', async () => {
        panels = [cutPanel(await rehearse())];
      });
    }
    if (panels === undefined) await endsWithin(timers, running, WAIT_MS);
    return (
      panels ?? [{ title: TITLE, about: 'the server is finding out: some seconds where its cache is full' }]
    );
  };
}
