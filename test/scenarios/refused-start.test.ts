/** A file that was broken after it had been taken: a restart must not cost the site its endpoint. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../helpers/patience.ts';
import { isReady } from './readiness.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

const REFUSED = 'configuration refused: serving with the one that was taken last';

t.test('a restart with a refused file serves with what a reload took last', async (t) => {
  const site = await Site.open(t);
  const accepted = join(site.stateDirectory, 'configuration.accepted');
  const first = site.start();
  await isReady(first);
  await until('the text of the start is kept', () => existsSync(accepted));
  site.configure({ zones: [{ name: 'site.test', records: ['gateway A 10.9.9.1'] }] });
  first.signal('SIGHUP');
  await until('the text of the reload is kept', () => readFileSync(accepted, 'utf8').includes('gateway'));
  appendFileSync(site.configFile, 'colour: blue\n');
  first.signal('SIGHUP');
  await until(
    'the reload is refused',
    () => first.logged('reload refused: the configuration from before runs on').length > 0,
  );
  first.signal('SIGKILL');
  await first.ended;
  site.sandbox.link.set('down');

  const second = site.start();
  await second.firstAnswer({ name: ENDPOINT });
  t.same(await second.addresses(ENDPOINT), DEMO);
  t.match(await second.ask({ name: 'gateway.site.test' }), { answers: [{ data: '10.9.9.1' }] });
  t.match(second.stderr, /colour/, 'every fault is printed');
  await until('the log is loaded', () => second.logged(REFUSED).length > 0);
  t.match(JSON.stringify(second.logged(REFUSED)[0]?.['faults']), /colour/);
  t.match((await second.status()).server.configuration, { lastReloadFailed: true });
  t.equal((await second.metric('outpost_dns_configuration_reload_failed')).get(''), 1);
  t.notMatch(readFileSync(accepted, 'utf8'), 'colour');

  site.configure({});
  second.signal('SIGHUP');
  await until('the repaired file is taken', async () => {
    const { server } = await second.status();
    return !server.configuration.lastReloadFailed;
  });
  t.match(await second.ask({ name: 'gateway.site.test' }), { rcode: 3 });
});

t.test('a restart with a file that cannot be served on this host', async (t) => {
  const site = await Site.open(t);
  const first = site.start();
  await isReady(first);
  const accepted = join(site.stateDirectory, 'configuration.accepted');
  await until('the text is kept', () => existsSync(accepted));
  const text = readFileSync(accepted, 'utf8');
  first.signal('SIGKILL');
  await first.ended;
  const { dnsPort } = site.ports;
  const holder = createSocket('udp4').bind(dnsPort, '127.0.0.2');
  t.teardown(() => holder.close());
  await once(holder, 'listening');
  site.configure({ listen: { dns: [`127.0.0.1:${dnsPort}`, `127.0.0.2:${dnsPort}`] } });
  const second = site.start();
  await second.firstAnswer({ name: ENDPOINT });
  t.same(await second.addresses(ENDPOINT), DEMO);
  t.match(second.stderr, /in use/);
  await until('the log is loaded', () => second.logged(REFUSED).length > 0);
  t.match(JSON.stringify(second.logged(REFUSED)), /in use/);
  t.match((await second.status()).server.configuration, { lastReloadFailed: true });
  t.equal(readFileSync(accepted, 'utf8'), text);
});

t.test('a file that is gone at a restart', async (t) => {
  const site = await Site.open(t);
  const environment = {
    ...site.sandbox.environment,
    OUTPOST_DNS_STATE__DIRECTORY: site.stateDirectory,
  };
  const first = site.start(environment);
  await isReady(first);
  await until('the text is kept', () => existsSync(join(site.stateDirectory, 'configuration.accepted')));
  first.signal('SIGKILL');
  await first.ended;
  rmSync(site.configFile);
  const second = site.start(environment);
  await second.firstAnswer({ name: ENDPOINT });
  t.same(await second.addresses(ENDPOINT), DEMO);
  t.match(second.stderr, /no such file/);
});
