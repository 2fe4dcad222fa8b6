/** The pages of the HTTP server: a literal list of paths and what each is for. */
import type { Clock } from '../runtime/clock.ts';
import { jsonPage, type Page, textPage } from './http-server.ts';
import type { Metrics } from './metrics.ts';
import { STATUS_PAGE_POLICY, statusPage } from './status-page.ts';
import type { StatusReport } from './status-report.ts';

export interface PagesOptions {
  readonly report: () => StatusReport | Promise<StatusReport>;
  readonly metrics: Metrics;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Differs after every command of an operator: who has just given one sees what came of it. */
  readonly revision?: () => string;
}

type MakePage = () => Page | Promise<Page>;

/** How old a page may be: all who ask within the same second get the same page. */
const SHARED_MS = 1_000;

export function createPages(options: PagesOptions): ReadonlyMap<string, MakePage> {
  const { report, metrics } = options;
  const shared = (make: MakePage) => sharedPage(make, options);
  return new Map<string, MakePage>([
    ['/', shared(async () => statusHtml(await report()))],
    [
      '/metrics',
      shared(async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.render() })),
    ],
    // alive: the event loop runs, so a supervisor need not restart us; says nothing about AWS or upstreams
    ['/healthz', () => textPage(200, 'ok\n')],
    ['/readyz', shared(async () => readiness(await report()))],
    ['/status', shared(async () => jsonPage(200, await report()))],
  ]);
}

/** One page for all who ask within a second; a page that failed is not kept. */
function sharedPage(make: MakePage, { clock, revision = () => '' }: PagesOptions): MakePage {
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

/** For a person; the others are named at its foot. */
function statusHtml(report: StatusReport): Page {
  const body = statusPage(report);
  return { status: 200, contentType: 'text/html; charset=utf-8', body, policy: STATUS_PAGE_POLICY };
}

function readiness({ server }: StatusReport): Page {
  return server.ready
    ? textPage(200, 'ready\n')
    : textPage(503, `not ready\n${server.notReady.join('\n')}\n`);
}
