/** Defects thrown into a running server, outside of every try: it serves on, logs and counts them. */
import t from 'tap';
import { until } from '../helpers/patience.ts';
import { keepState, keptRecord } from './kept-state.ts';
import { PROGRAM, ServerProcess } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

const THROWING = `data:text/javascript,${encodeURIComponent(`
process.once('SIGUSR2', () => {
  setTimeout(() => { throw new Error('thrown in a timer'); }, 0);
  setImmediate(() => { throw new Error('thrown in a turn'); });
  process.nextTick(() => { throw new Error('thrown in a tick'); });
  Promise.reject(new Error('rejected'));
  new (process.getBuiltinModule('node:events'))().emit('error', new Error('an event without a listener'));
});`)}`;

t.test('uncaught exceptions and rejections cost no query and no process', async (t) => {
  const site = await Site.open(t);
  await keepState(site.stateDirectory, [keptRecord()]);
  const server = site.start({ ...site.sandbox.environment, NODE_OPTIONS: `--import=${THROWING}` });
  await server.firstAnswer({ name: ENDPOINT });
  await until('it is up as a whole', () => server.status().catch(() => undefined));
  server.signal('SIGUSR2');
  const failures = 'outpost_dns_background_failures_total';
  await until('all are counted', async () => (await server.metric(failures)).get('{kind="other"}') === 5);
  t.same(await server.addresses(ENDPOINT), DEMO);
  t.match(server.logged('work in the background failed: please report it'), [
    { level: 'error', work: 'other' },
  ]);
  t.match(await server.kill('SIGTERM'), { code: 0 });
});

t.test('a limit on the address space costs the threads, not the process', async (t) => {
  const site = await Site.open(t);
  await keepState(site.stateDirectory, [keptRecord()]);
  const { configFile, ports, sandbox } = site;
  const limited = ['sh', '-c', 'ulimit -v 2000000; exec "$0" "$@"', PROGRAM] as const;
  const server = new ServerProcess(t, configFile, ports, sandbox.environment, limited);
  await server.firstAnswer({ name: ENDPOINT });
  const tooLow = /limit on address space is too low/;
  await until('the sources fail for it', async () =>
    (await server.status()).endpoints[0]?.sources.some(({ lastFailure }) =>
      tooLow.test(lastFailure?.detail ?? ''),
    ),
  );
  server.signal('SIGHUP');
  const refused = 'reload refused: the configuration from before runs on';
  await until('the reload is refused', () => server.logged(refused).length > 0);
  t.match(server.logged(refused), [{ faults: [{ message: tooLow }] }]);
  t.same(await server.addresses(ENDPOINT), DEMO);
  t.match(await server.kill('SIGTERM'), { code: 0 });
});
