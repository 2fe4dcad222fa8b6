import t from 'tap';
import * as v from 'valibot';
import {
  DRILL_REPORT_PATH,
  DRILL_START,
  DRILL_STOP,
  drillReport,
  drillRoutes,
} from '../../src/admin/drill-control.ts';
import { asked } from '../drill/asked.ts';
import { virtualDrill } from '../drill/virtual-drill.ts';
import { ask, control } from './control-fixture.ts';

/** The real drill behind the real routes. */
async function setUp(t: Parameters<typeof control>[0], notReady: readonly string[] = []) {
  const { drill, time } = virtualDrill();
  const { path } = await control(
    t,
    drillRoutes(drill, async () => notReady),
  );
  return { time, drill, path };
}

t.test('a drill is started, told of and stopped; each answer is the report as it then is', async (t) => {
  const { time, drill, path } = await setUp(t);
  t.match(await ask(path, 'GET', DRILL_REPORT_PATH), { status: 200, json: { state: 'none' } });
  t.match(await ask(path, 'POST', DRILL_START, '{"forMs":1800000}'), {
    status: 200,
    json: { state: 'running', forMs: 1_800_000, ranMs: 0 },
  });
  t.ok(drill.isRunning);
  drill.report.noteFailed(asked('registry.site.example'));
  drill.report.noteFailed(asked('registry.site.example'));
  drill.report.noteStale(asked('oidc.example', 'HTTPS'));
  drill.report.noteEndpoint({ cluster: 'demo', endpoint: 'abc.example' });
  await time.advance(60_000);
  const expected = {
    state: 'running',
    startedAt: '2026-01-01T00:00:00.000Z',
    forMs: 1_800_000,
    ranMs: 60_000,
    failed: {
      queries: 2,
      names: [{ name: 'registry.site.example', type: 'A', queries: 2 }],
      otherQueries: 0,
    },
    stale: { queries: 1, names: [{ name: 'oidc.example', type: 'HTTPS', queries: 1 }], otherQueries: 0 },
    endpoints: [{ endpoint: 'abc.example', answers: 1 }],
    retain: [{ name: 'registry.site.example', types: ['A'], asked: 2 }],
  };
  const { json } = await ask(path, 'GET', DRILL_REPORT_PATH);
  t.strictSame(json, expected);
  t.strictSame(v.parse(drillReport, json), expected, 'the shape for who asks has all of it');
  t.match(await ask(path, 'POST', DRILL_STOP), {
    status: 200,
    json: { state: 'ended', endedBy: 'command', failed: { queries: 2 } },
  });
  t.notOk(drill.isRunning);
  t.match(await ask(path, 'GET', DRILL_REPORT_PATH), { json: { state: 'ended', ranMs: 60_000 } });
});

t.test('no drill begins while an endpoint has no address: in a drill it could not learn one', async (t) => {
  const { drill, path } = await setUp(t, ['endpoint "abc.example": no address is known yet']);
  t.match(await ask(path, 'POST', DRILL_START, '{"forMs":1800000}'), {
    status: 409,
    json: { error: 'endpoint "abc.example": no address is known yet', fix: /says ready/ },
  });
  t.notOk(drill.isRunning);
});

t.test('what makes no sense is refused, and changes nothing', async (t) => {
  const { time, drill, path } = await setUp(t);
  for (const [body, error] of [
    ['{}', /"forMs"/],
    ['{"forMs":"30m"}', /"forMs"/],
    ['{"forMs":1800000,"more":1}', /more/],
    ['{"forMs":0}', /not a length for a drill: 0 s/],
    ['{"forMs":-1}', /not a length/],
    ['{"forMs":1e300}', /not a length/],
  ] as const) {
    t.match(await ask(path, 'POST', DRILL_START, body), { status: 400, json: { error, fix: /./ } }, body);
  }
  t.match(await ask(path, 'POST', DRILL_STOP), { status: 409, json: { error: /^no drill is running$/ } });
  t.notOk(drill.isRunning);
  await ask(path, 'POST', DRILL_START, '{"forMs":60000}');
  await time.advance(20_000);
  t.match(await ask(path, 'POST', DRILL_START, '{"forMs":120000}'), {
    status: 409,
    json: { error: 'a drill is running already', fix: /in 40 s, or with "outpost-dns drill stop"/ },
  });
});

t.test('of fifty starts at once, one starts the drill', async (t) => {
  const { path } = await setUp(t);
  const replies = await Promise.all(
    Array.from({ length: 50 }, () => ask(path, 'POST', DRILL_START, '{"forMs":60000}')),
  );
  const counts = Map.groupBy(replies, ({ status }) => status);
  t.equal(counts.get(200)?.length, 1);
  t.equal(counts.get(409)?.length, 49);
});
