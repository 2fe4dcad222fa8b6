/** Shows what an outage would cost now, as `check --as-if-cut` finds it. */
import type { AsIfCutReport } from '../admin/as-if-cut-control.ts';
import { type Panel, toned } from '../report/report.ts';
import { inBackground } from '../runtime/background.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Timers } from '../runtime/timers.ts';

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
    if (panels === undefined && running !== undefined) await endOf(running, timers);
    return (
      panels ?? [{ title: TITLE, about: 'the server is finding out: some seconds where its cache is full' }]
    );
  };
}

/** Resolves at the end of `running`, or after `WAIT_MS`. */
function endOf(running: Promise<void>, timers: Timers): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = timers.after(WAIT_MS, resolve);
  running.then(resolve, resolve);
  return promise.finally(() => timer[Symbol.dispose]());
}
