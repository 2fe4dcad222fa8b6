import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import t from 'tap';
import { parse, stringify } from 'yaml';
import * as z from 'zod';
import { callSandbox } from '../../sandbox/control-client.ts';
import { until } from '../helpers/patience.ts';
import { freePorts } from './free-ports.ts';
import { isReady } from './readiness.ts';
import { Process, ServerProcess } from './server-process.ts';
import { DEMO, ENDPOINT, folder, HURRY } from './site.ts';

const regionLine = z.object({
  configFile: z.string(),
  regionUrl: z.string(),
  dnsAddress: z.string(),
  controlPath: z.string(),
  environment: z.record(z.string(), z.string()),
});

t.test(
  'a name survives a disconnect, a kill -9 and a start without AWS, and follows the change afterwards',
  async (t) => {
    const ports = await freePorts();
    const begunMs = performance.now();
    const tell = (text: string): void =>
      t.comment(`${((performance.now() - begunMs) / 1000).toFixed(2).padStart(6)} s  ${text}`);

    const region = new Process(
      t,
      ['sandbox', '--region-only', '--port', `${ports.dnsPort}`, '--http-port', `${ports.httpPort}`],
      {},
    );
    const line = await until(
      'the Region prints its environment',
      () => region.stdout.includes('\n') && region.stdout,
    );
    const { configFile, environment, controlPath } = regionLine.parse(JSON.parse(line));
    const command = (path: string, body: object) => callSandbox(controlPath, 'POST', path, body);
    tell(`Region runs, pid ${region.pid}`);

    const config = parse(await readFile(configFile, 'utf8'));
    const ownConfig = `${folder(t)}/outpost-dns.yaml`;
    // polls with a shorter time-out: the cut has to be noticed within the time of a test
    await writeFile(ownConfig, stringify({ ...config, refresh: { ...HURRY, deadline: '6s' } }));
    const serve = () => new ServerProcess(t, ownConfig, ports, environment);
    const first = serve();
    await isReady(first);
    t.same(await first.addresses(ENDPOINT), DEMO, 'resolved while connected');
    const www = { name: 'www.example.com' };
    t.match(
      await first.ask(www),
      { rcode: 0, aa: false, answers: { length: 2 } },
      'and so is the rest of the world',
    );
    tell(`server, pid ${first.pid}, answers: ${DEMO.join(' ')}`);

    await command('/link', { state: 'down' });
    tell('link cut');
    let quick = 0;
    // a wait for the far side would take 1.8 s for each; a machine may stand still during many queries
    await until('ten are answered at once', async () => {
      const reply = await first.ask({ name: ENDPOINT });
      t.same(reply.answers.map(({ data }) => data).toSorted(), DEMO, 'resolved over a cut link');
      if (reply.afterMs < 1000) quick++;
      return quick === 10;
    });
    tell('resolved over the cut link');
    await until(
      'the cut is noticed',
      async () => (await first.status()).link.summary.condition === 'disconnected',
    );
    tell('the server says: disconnected');
    t.match(await first.get('/readyz'), { status: 200 }, 'ready all the same');
    t.ok(existsSync(`${config.state.directory}/endpoints.json`), 'the state is on disk');

    const { signal } = await first.kill('SIGKILL');
    t.equal(signal, 'SIGKILL');
    tell('server killed with SIGKILL');
    const second = serve();
    const reply = await second.firstAnswer({ name: ENDPOINT });
    tell(
      `started again, link still cut: first answer ${reply.sinceStartMs.toFixed(0)} ms after the start of the process`,
    );
    t.same(
      reply.answers.map(({ data }) => data).toSorted(),
      DEMO,
      'resolved after the restart, AWS unreachable',
    );
    t.match(reply, { rcode: 0, aa: true, ra: true });
    await until('a poll has failed', () => second.logged('source fails').length > 0);
    const polled = second.log.findIndex(({ msg }) => msg === 'source fails');
    const listened = second.log.findIndex(({ msg }) => msg === 'listening');
    t.ok(listened >= 0 && polled > listened, 'it answers before its first poll');
    t.match(await second.get('/readyz'), { status: 200 });

    const [from = '', ...kept] = DEMO;
    const to = '10.0.1.77';
    await command('/eni', { cluster: 'demo', from, to });
    tell(`interface changed: ${from} to ${to}`);
    t.same(await second.addresses(ENDPOINT), DEMO, 'no source knows yet');

    const changed = [...kept, to].toSorted();
    await command('/link', { state: 'up' });
    const restoredMs = performance.now();
    const sinceRestored = () => `${((performance.now() - restoredMs) / 1000).toFixed(2)} s`;
    tell('link restored');
    await until(
      'DNS gives the new address',
      async () => `${await second.addresses(ENDPOINT)}` === `${changed}`,
    );
    tell(`DNS gives the new address ${sinceRestored()} after the link came back`);
    await until('the metric shows it', async () => `${await second.addressesInMetric()}` === `${changed}`);
    tell(`the metric shows it ${sinceRestored()} after the link came back`);
    t.match(await second.ask({ name: `77.1.0.10.in-addr.arpa`, type: 'PTR' }), {
      answers: [{ data: ENDPOINT.toLowerCase() }],
    });
    t.match(
      await second.ask({ name: '10.1.0.10.in-addr.arpa', type: 'PTR' }),
      { rcode: 3 },
      'the old address is nobody',
    );
    await until('it is on disk', async () =>
      (await readFile(`${config.state.directory}/endpoints.json`, 'utf8')).includes(to),
    );
    await until(
      'connected again',
      async () => (await second.status()).link.summary.condition === 'connected',
    );
    tell('the server says: connected');

    const end = await second.kill('SIGTERM');
    tell(`server stopped in ${end.afterMs.toFixed(0)} ms`);
    t.match(end, { code: 0, signal: null });
    t.match(await region.kill('SIGTERM'), { code: 0 });
    t.notOk(existsSync(controlPath), 'the control socket is gone');
  },
);
