/** A host that sleeps: the kernel's time since the boot is a file that the test writes, over /proc/uptime of the server alone. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../helpers/patience.ts';
import { isReady } from './looks.ts';
import { PROGRAM, ServerProcess } from './server-process.ts';
import { folder, Site } from './site.ts';

const mayMount = spawnSync('unshare', ['-m', 'true']).status === 0;

t.test(
  'after an hour of sleep a kept answer has aged by that hour, and everything is asked for again',
  { skip: mayMount ? false : 'mounting over /proc/uptime needs root' },
  async (t) => {
    const site = await Site.open(t);
    const uptime = join(folder(t), 'uptime');
    const startedMs = performance.now();
    let sleptSeconds = 0;
    const write = () =>
      writeFileSync(
        uptime,
        `${((performance.now() - startedMs) / 1000 + 5000 + sleptSeconds).toFixed(2)} 0.00\n`,
      );
    write();
    const writing = setInterval(write, 20);
    t.teardown(() => clearInterval(writing));
    const mount = `mount --bind "${uptime}" /proc/uptime && exec "$0" "$@"`;
    const server = new ServerProcess(t, site.configFile, site.ports, site.sandbox.environment, [
      'unshare',
      ...['-m', 'sh', '-c', mount, PROGRAM],
    ]);
    await isReady(server);
    t.match(await server.ask({ name: 'www.example.com' }), { answers: { length: 2 } });
    const asked = site.sandbox.dns.countOf('www.example.com');
    await server.ask({ name: 'www.example.com' });
    t.equal(site.sandbox.dns.countOf('www.example.com'), asked, 'the answer is kept');
    const before = (await server.status()).server.uptimeSeconds;
    sleptSeconds = 3600;
    await until(
      'the sleep is noticed',
      () => server.logged('the host was suspended: asking again for everything').length > 0,
    );
    t.ok((await server.status()).server.uptimeSeconds >= before + 3500, 'the time that passed counts');
    await server.ask({ name: 'www.example.com' });
    t.ok(site.sandbox.dns.countOf('www.example.com') > asked, 'the answer is old now');
    t.match(await server.kill('SIGTERM'), { code: 0 });
  },
);
