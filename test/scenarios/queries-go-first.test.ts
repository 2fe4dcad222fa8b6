/** Queries are answered during all other work: no status page, scrape or reload delays them. */
import { connect } from 'node:net';
import t from 'tap';
import { pause } from '../helpers/patience.ts';
import { isReady } from './readiness.ts';
import { ENDPOINT, Site } from './site.ts';

const QUERIES = 300;

t.test(
  'ten status pages that are never read, five scrapers and a reload: every query has its answer',
  async (t) => {
    const site = await Site.open(t);
    const server = site.start();
    await isReady(server);
    const { httpPort } = site.ports;
    const readers = Array.from({ length: 10 }, () => {
      const reader = connect(httpPort, '127.0.0.1');
      reader.on('error', () => undefined);
      reader.pause();
      for (let page = 0; page < 20; page++)
        reader.write(`GET ${page % 2 === 0 ? '/' : '/status'} HTTP/1.1\r\nHost: x\r\n\r\n`);
      return reader;
    });
    t.teardown(() => readers.map((reader) => reader.destroy()));

    let isBusy = true;
    let scrapes = 0;
    const scrapers = Array.from({ length: 5 }, async () => {
      while (isBusy) {
        const { status } = await server.get('/metrics');
        if (status === 200) scrapes++;
      }
    });
    const afterMs: number[] = [];
    for (let at = 0; at < QUERIES; at++) {
      if (at % 100 === 50) server.signal('SIGHUP');
      const reply = await server.ask({ name: ENDPOINT });
      if (reply.answers.length > 0) afterMs.push(reply.afterMs);
      await pause(2);
    }
    isBusy = false;
    await Promise.all(scrapers);
    t.equal(afterMs.length, QUERIES);
    t.ok(scrapes > 0, `${scrapes} scrapes meanwhile`);
    t.ok(server.logged('configuration reloaded').length > 0, 'reloaded meanwhile');
    const lag = (await server.metric('nodejs_eventloop_lag_max_seconds')).get('');
    t.type(lag, 'number', 'the delay of the loop can be read');
    afterMs.sort((a, b) => a - b);
    t.comment(
      `reply after ${afterMs[QUERIES / 2]?.toFixed(1)} ms, at worst ${afterMs.at(-1)?.toFixed(1)} ms`,
    );
  },
);
