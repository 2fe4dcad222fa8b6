/**
 * A room that does not exist reports a metric and a panel. Both reach every reader although no reader knows the room. A new
 * metric is written in the room that counts. A new room is one line in the list of src/daemon/report.ts.
 */
import t from 'tap';
import { metricsPage } from '../../scripts/metrics-page.ts';
import { startHttpServer } from '../../src/admin/http-server.ts';
import { createPages } from '../../src/admin/pages.ts';
import { getPanels } from '../../src/commands/server-client.ts';
import { panelLines } from '../../src/commands/status.ts';
import { paintNothing } from '../../src/commands/subcommand.ts';
import { ROOM_REPORTS, type StatusReport } from '../../src/daemon/report.ts';
import { metricsOf, type RoomReport, single, toned } from '../../src/report/report.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { readSourceFiles } from '../helpers/source-files.ts';
import { report } from './report-fixture.ts';

interface CellarStatus {
  readonly cellar: { readonly litres: number };
}

const { gauge } = metricsOf<CellarStatus>();

const CELLAR: RoomReport<CellarStatus> = {
  metrics: [gauge('cellar_litres', 'Water in the cellar.', [], ({ cellar }) => single(cellar.litres))],
  panels: ({ cellar }) => [
    { title: 'Cellar', badge: toned('bad', 'wet'), facts: [['water', `${cellar.litres} l`]] },
    { notes: [toned('bad', 'the cellar is under water')] },
  ],
};

const REPORTS: readonly RoomReport<StatusReport & CellarStatus>[] = [...ROOM_REPORTS, CELLAR];
const status = () => ({ ...report(), cellar: { litres: 700 } });

t.test('a metric and a panel of a made-up room reach every reader', async (t) => {
  const pages = createPages({
    reports: REPORTS,
    status,
    clock: { monotonicMs: () => 0 },
    processMetrics: false,
  });
  const server = await startHttpServer({ address: '127.0.0.1', port: 0, pages, log: new CollectingLog() });
  t.teardown(() => server.close());
  const get = async (path: string) => (await fetch(`http://127.0.0.1:${server.port}${path}`)).text();
  t.match(await get('/metrics'), /^# TYPE outpost_dns_cellar_litres gauge\noutpost_dns_cellar_litres 700$/m);
  t.match(JSON.parse(await get('/status')), { cellar: { litres: 700 } });
  const page = (await get('/')).replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');
  t.match(page, /ready .*the cellar is under water .*Link /, 'troubles come first');
  t.match(page, 'Cellar wet water 700 l');
  t.match(metricsPage(REPORTS), '| `outpost_dns_cellar_litres` | gauge |  | Water in the cellar. |');
  const read = await getPanels({ address: '127.0.0.1', port: server.port }, 5000);
  const lines = panelLines(read.kind === 'read' ? read.facts.panels : [], paintNothing);
  t.match(lines[1], 'the cellar is under water');
  t.strictSame(lines.slice(-2), ['Cellar: wet', '  water  700 l']);
});

t.test('a metric is named in one file under src/, and a panel by no reader', async (t) => {
  const files = readSourceFiles();
  for (const { name } of ROOM_REPORTS.flatMap(
    ({ metrics }): readonly { readonly name: string }[] => metrics,
  )) {
    const short = name.replace('outpost_dns_', '').replace(/_total$/, '');
    const naming = files
      .filter(({ text }) =>
        new RegExp(`(?:gauge|counter|counts\\w*|each|labelled)[(,]\\s*'${short}',`).test(text),
      )
      .map(({ path }) => path);
    t.equal(naming.length, 1, `${short}: ${naming}`);
  }
  const titles = ['Link', 'Upstreams', 'Retained names', 'Server'];
  const readers = files.filter(({ path }) => path.startsWith('admin/') || path.startsWith('commands/'));
  for (const { path, text } of readers) {
    t.strictSame(
      titles.filter((title) => text.includes(`'${title}'`)),
      [],
      path,
    );
  }
});
