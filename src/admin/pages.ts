/** The pages of the HTTP server: a literal list of paths and what each is for. */
import { jsonPage, type Page, textPage } from './http-server.ts';
import type { Metrics } from './metrics.ts';
import { STATUS_PAGE_POLICY, statusPage } from './status-page.ts';
import type { StatusReport } from './status-report.ts';

export interface PagesOptions {
  readonly report: () => StatusReport;
  readonly metrics: Metrics;
}

export function createPages({
  report,
  metrics,
}: PagesOptions): ReadonlyMap<string, () => Page | Promise<Page>> {
  return new Map<string, () => Page | Promise<Page>>([
    ['/', () => statusHtml(report())],
    [
      '/metrics',
      async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.render() }),
    ],
    // alive: the event loop runs, so a supervisor need not restart us; says nothing about AWS or upstreams
    ['/healthz', () => textPage(200, 'ok\n')],
    ['/readyz', () => readiness(report())],
    ['/status', () => jsonPage(200, report())],
  ]);
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
