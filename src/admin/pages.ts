/** The pages of the HTTP server: a literal list of paths, each with its purpose. */
import { joinPanels, type Panel, type RoomReport } from '../report/report.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Pause } from '../runtime/slices.ts';
import { jsonPage, type Page, textPage } from './http-server.ts';
import { createMetrics } from './metrics.ts';
import { STATUS_PAGE_POLICY, statusPage } from './status-page.ts';

/** The part of the status from which the server writes `/readyz`. */
export interface Readiness {
  readonly server: { readonly ready: boolean; readonly notReady: readonly string[] };
}

export interface PagesOptions<Status extends Readiness> {
  readonly reports: readonly RoomReport<Status>[];
  readonly status: () => Status | Promise<Status>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly pause?: Pause;
  /** Whether `/metrics` has Node's own as well. */
  readonly processMetrics?: boolean;
  /** Differs after every command of an operator, who then sees its effect at once. */
  readonly revision?: () => string;
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
  const { reports, status, processMetrics = true, pause } = options;
  const metrics = createMetrics(reports, status, processMetrics, pause);
  const shared = (make: MakePage) => sharedPage(make, options);
  const panels = async (): Promise<PanelsBody> => {
    const all = await status();
    return { ready: all.server.ready, panels: joinPanels(reports.flatMap((report) => report.panels(all))) };
  };
  return new Map<string, MakePage>([
    ['/', shared(async () => statusHtml((await panels()).panels))],
    [
      '/metrics',
      shared(async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.render() })),
    ],
    // alive: the event loop runs, so a supervisor need not restart us; says nothing about AWS or upstreams
    ['/healthz', () => textPage(200, 'ok\n')],
    ['/readyz', shared(async () => readiness(await status()))],
    ['/status', shared(async () => jsonPage(200, await status()))],
    ['/panels', shared(async () => jsonPage(200, await panels()))],
  ]);
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

/** For a person; its foot names the other pages. */
function statusHtml(panels: readonly Panel[]): Page {
  const body = statusPage(panels);
  return { status: 200, contentType: 'text/html; charset=utf-8', body, policy: STATUS_PAGE_POLICY };
}

function readiness({ server }: Readiness): Page {
  return server.ready
    ? textPage(200, 'ready\n')
    : textPage(503, `not ready\n${server.notReady.join('\n')}\n`);
}
