/** The pages of the HTTP server: a literal list of paths, each with its purpose. */
import type { Panel, RoomReport } from '../report/report.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import { loadInTurns, type NodeModules } from '../runtime/memory.ts';
import { inPieces, inSlices, jsonTexts, type Pause, type Steps } from '../runtime/slices.ts';
import { JSON_TYPE, type Page, textPage } from './http-server.ts';
import type { Metrics } from './metrics.ts';
import { STATUS_PAGE_POLICY, statusPageTexts, type TimelineEvent } from './status-page.ts';

/** The part of the status from which the server writes `/readyz`. */
interface Readiness {
  readonly server: { readonly ready: boolean; readonly notReady: readonly string[] };
}

interface PagesOptions<Status extends Readiness> {
  readonly reports: readonly RoomReport<Status>[];
  readonly status: () => Status | Promise<Status>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly pause?: Pause;
  /** Whether `/metrics` has Node's own as well. */
  readonly processMetrics?: boolean;
  /** Differs after every command of an operator, who then sees its effect at once. */
  readonly revision?: () => string;
  /** The newest events, the newest first. */
  readonly timeline?: () => Promise<readonly TimelineEvent[]>;
  /** Panels of the page alone, below the first two. */
  readonly pagePanels?: () => Promise<readonly Panel[]>;
  /** Without timers there is no `/live`. */
  readonly timers?: Timers;
}

/** `/panels`: the status as a person reads it, for `outpost-dns status` to draw. */
export interface PanelsBody {
  readonly ready: boolean;
  readonly panels: readonly Panel[];
}

type MakePage = () => Page | Promise<Page>;

/** How old a page may be: all who ask within the same second get the same page. */
const SHARED_MS = 1_000;

export function createPages<Status extends Readiness>(
  options: PagesOptions<Status>,
): ReadonlyMap<string, MakePage> {
  const { reports, status, timers, revision } = options;
  const { processMetrics = true, pause = async () => undefined } = options;
  let metrics: Metrics | undefined;
  const shared = (make: MakePage) => sharedPage(make, options);
  const panels = async (): Promise<PanelsBody> => {
    const all = await status();
    const panels = await inSlices(joiningPanels(panelsOf(reports, all)), pause);
    return { ready: all.server.ready, panels };
  };
  const json = async (value: unknown): Promise<Page> => ({
    status: 200,
    contentType: JSON_TYPE,
    body: await inPieces(jsonLine(value), pause),
  });
  /** For a person; its foot names the other pages. */
  const html = async (): Promise<Page> => {
    const events = (await options.timeline?.()) ?? [];
    const all = (await panels()).panels;
    const shown = [...all.slice(0, 2), ...((await options.pagePanels?.()) ?? []), ...all.slice(2)];
    const body = await inPieces(statusPageTexts(shown, events), pause);
    return { status: 200, contentType: 'text/html; charset=utf-8', body, policy: STATUS_PAGE_POLICY };
  };
  return new Map<string, MakePage>([
    ['/', shared(html)],
    ...(timers === undefined ? [] : [['/live', livePage({ timers, revision })] as const]),
    [
      '/metrics',
      shared(async () => {
        // fails where an upgrade replaces the file at this moment: the next scrape imports it again
        const { createMetrics } = await importMetrics(pause);
        metrics ??= createMetrics(reports, status, processMetrics, pause);
        await pause();
        const { contentType, render } = metrics;
        return { status: 200, contentType, body: await render() };
      }),
    ],
    // alive: the event loop runs, so a supervisor need not restart us; says nothing about AWS or upstreams
    ['/healthz', () => textPage(200, 'ok\n')],
    ['/readyz', shared(async () => readiness(await status()))],
    ['/status', shared(async () => json(await status()))],
    ['/panels', shared(async () => json(await panels()))],
  ]);
}

/** By the first scrape: prom-client takes more time to load than all pages together. */
export const importMetrics = (pause: Pause) =>
  loadInTurns(pause, () => import('./metrics.ts'), METRICS_NEEDS);

/** The modules of Node that prom-client loads. */
export const METRICS_NEEDS: NodeModules = [() => process.getBuiltinModule('node:v8')];

function* jsonLine(value: unknown): Iterable<string> {
  yield* jsonTexts(value);
  yield '\n';
}

function* panelsOf<Status>(reports: readonly RoomReport<Status>[], status: Status): Iterable<Panel> {
  for (const report of reports) yield* report.panels(status);
}

/** A panel a step. Each title once, where it comes last, so that several rooms may end one panel together; the panel without a title first. */
export function* joiningPanels(panels: Iterable<Panel>): Steps<readonly Panel[]> {
  const joined = new Map<string | undefined, Panel>([[undefined, {}]]);
  for (const panel of panels) {
    const before = joined.get(panel.title) ?? {};
    if (panel.title !== undefined) joined.delete(panel.title);
    joined.set(panel.title, {
      ...before,
      ...panel,
      notes: [...(before.notes ?? []), ...(panel.notes ?? [])],
      facts: [...(before.facts ?? []), ...(panel.facts ?? [])],
      rows: [...(before.rows ?? []), ...(panel.rows ?? [])],
    });
    yield;
  }
  return [...joined.values()];
}

/** One page for all who ask within a second; a page that failed is not kept. */
function sharedPage(
  make: MakePage,
  { clock, revision = () => '' }: Pick<PagesOptions<Readiness>, 'clock' | 'revision'>,
): MakePage {
  let page: Promise<Page> | undefined;
  let madeMs = 0;
  let madeAt = '';
  return () => {
    const nowMs = clock.monotonicMs();
    const now = revision();
    if (page !== undefined && nowMs - madeMs < SHARED_MS && now === madeAt) return page;
    madeMs = nowMs;
    madeAt = now;
    const next = Promise.resolve().then(make);
    page = next;
    next.catch(() => {
      if (page === next) page = undefined;
    });
    return next;
  };
}

function readiness({ server }: Readiness): Page {
  return server.ready
    ? textPage(200, 'ready\n')
    : textPage(503, `not ready\n${server.notReady.join('\n')}\n`);
}

// Tells open pages when to load themselves again, by server-sent events. An event carries no data, because all pages
// then get the one page that is made for them together. A page that hears nothing knows that the connection is lost.

interface LiveOptions {
  readonly timers: Timers;
  /** Differs after a change that a person waits for: open pages hear of such a change within a second. */
  readonly revision?: (() => string) | undefined;
}

const POLL_MS = 1_000;
const EVERY_POLLS = 5;
/** A browser connects again this long after a loss. */
const RETRY_MS = 2_000;
const TICK = 'data: tick\n\n';

/** One timer for all open pages, and none while no page is open. */
export function livePage({ timers, revision = () => '' }: LiveOptions): () => Page {
  const open = new Set<(text: string) => void>();
  let isPolling = false;
  let polls = 0;
  let told = '';
  const poll = (): void => {
    const now = revision();
    polls += 1;
    if (now !== told || polls >= EVERY_POLLS) {
      told = now;
      polls = 0;
      for (const send of open) send(TICK);
    }
    isPolling = open.size > 0;
    if (isPolling) timers.after(POLL_MS, poll);
  };
  return () => ({
    status: 200,
    contentType: 'text/event-stream; charset=utf-8',
    body: `retry: ${RETRY_MS}\n\n`,
    stream: (send) => {
      if (open.size === 0) told = revision();
      open.add(send);
      if (!isPolling) timers.after(POLL_MS, poll);
      isPolling = true;
      return {
        [Symbol.dispose]() {
          open.delete(send);
        },
      };
    },
  });
}
