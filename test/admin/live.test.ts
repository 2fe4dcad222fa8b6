/** The events for open pages: told in time, one timer for all, a slow reader is let go. */
import { once } from 'node:events';
import { request } from 'node:http';
import t from 'tap';
import { startHttpServer } from '../../src/admin/http-server.ts';
import { livePage } from '../../src/admin/pages.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { until } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

t.test('a page is told every five seconds, and a change within a second', async (t) => {
  const time = new VirtualTime();
  let revision = 'a';
  const page = livePage({ timers: time, revision: () => revision })();
  const heard: number[] = [];
  const open = page.stream?.(() => heard.push(time.monotonicMs()));
  const startMs = time.monotonicMs();
  await time.advance(10_000);
  t.strictSame(
    heard.map((ms) => ms - startMs),
    [5_000, 10_000],
  );
  revision = 'b';
  await time.advance(1_000);
  t.strictSame(heard.map((ms) => ms - startMs).at(-1), 11_000);
  open?.[Symbol.dispose]();
  await time.advance(60_000);
  t.equal(heard.length, 3, 'nothing is sent, and no timer runs, for a page that is closed');
  page.stream?.(() => heard.push(time.monotonicMs()));
  await time.advance(5_000);
  t.equal(heard.length, 4, 'the next page that opens is told again');
});

t.test('over HTTP: the stream stays open, and its end is noticed', async (t) => {
  const time = new VirtualTime();
  const pages = new Map([['/live', livePage({ timers: time })]]);
  const server = await startHttpServer({ address: '127.0.0.1', port: 0, pages, log: new CollectingLog() });
  t.teardown(() => server.close());
  const asked = request({ host: '127.0.0.1', port: server.port, path: '/live' }).end();
  const [response] = await once(asked, 'response');
  t.match(response.headers, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
  });
  response.setEncoding('utf8');
  t.equal(String(await once(response, 'data')), 'retry: 2000\n\n');
  const next = once(response, 'data');
  await time.advance(5_000);
  t.equal(String(await next), 'data: tick\n\n');
  asked.destroy();
  await until('the client has gone', async () => {
    await time.advance(5_000); // what is sent to a client that has gone is refused
    return time.pendingTimers === 0;
  });
  const head = request({ host: '127.0.0.1', port: server.port, path: '/live', method: 'HEAD' }).end();
  const [answer] = await once(head, 'response');
  t.equal(answer.statusCode, 200);
  answer.resume();
  await once(answer, 'end');
});
