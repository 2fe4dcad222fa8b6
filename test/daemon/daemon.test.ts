import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { connect, createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startSandbox } from '../../sandbox/sandbox.ts';
import type { Config } from '../../src/config/config.ts';
import type { DaemonParts, NetworkParts } from '../../src/daemon/parts.ts';
import { startDaemon } from '../../src/daemon.ts';
import { failed } from '../../src/records/observation.ts';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import { systemPause } from '../../src/runtime/slices.ts';
import { ledgerPath } from '../../src/store/ledger-reader.ts';
import { DirectoryLock } from '../../src/store/state-backend.ts';
import { load } from '../config/loading.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { until } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { freePorts, isFreeForTcp, type Ports } from '../scenarios/free-ports.ts';
import { keepState, keptRecord } from '../scenarios/kept-state.ts';
import { askUdp } from '../scenarios/server-process.ts';
import { DEMO, ENDPOINT } from '../scenarios/site.ts';
import { MadeUpTransport, transportsOf } from '../serving/forwarder/made-up-transport.ts';
import { queryOf } from '../serving/resolver/messages.ts';
import { watchedFiles } from '../store/faulty-files.ts';

interface Bench {
  readonly log: CollectingLog;
  readonly ports: Ports;
  readonly stateDirectory: string;
  text: string;
  parts(more?: Partial<DaemonParts>): Promise<DaemonParts>;
}

/** Everything that a daemon in this process needs; it knows its endpoint by DNS alone, so no AWS client is ever loaded. */
async function bench(t: Test, upstream = '127.0.0.1:9'): Promise<Bench> {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'outpost-dns-daemon-'));
  t.teardown(() => rmSync(stateDirectory, { recursive: true, force: true, maxRetries: 10 }));
  const ports = await freePorts();
  const log = new CollectingLog();
  const own: Bench = {
    log,
    ports,
    stateDirectory,
    text: `clusters: [{ name: demo, endpoint: ${ENDPOINT}, probe: { enabled: false } }]
upstreams: ['${upstream}']
listen: { dns: ['127.0.0.1:${ports.dnsPort}'] }
admin: { listen: '127.0.0.1:${ports.httpPort}' }
state: { directory: ${stateDirectory} }
refresh: { retryMin: 100ms, deadline: 1s }
`,
    parts: async (more = {}) => ({
      config: await load(own.text),
      loadConfig: (): Promise<Config> => load(own.text),
      clock: systemClock,
      timers: systemTimers,
      pause: systemPause,
      random: systemRandom,
      log,
      setLogLevel: () => undefined,
      interfaces: networkInterfaces,
      version: '0.0.0',
      runtime: 'node',
      ...more,
    }),
  };
  return own;
}

async function isLeftFree(t: Test, { ports, stateDirectory }: Bench): Promise<void> {
  t.ok(await isFreeForTcp(ports.dnsPort), 'the DNS port is free');
  t.ok(await isFreeForTcp(ports.httpPort), 'the HTTP port is free');
  const lock = new DirectoryLock(stateDirectory);
  t.equal((await lock.claim()).kind, 'ours', 'the state directory is free');
  lock[Symbol.dispose]();
}

t.test('a start that fails leaves nothing open', async (t) => {
  const one = await bench(t);
  const holder = createServer().listen(one.ports.dnsPort, '127.0.0.1');
  await once(holder, 'listening');
  await t.rejects(startDaemon(await one.parts()), { name: 'ListenerError', code: 'in-use' });
  holder.close();
  await once(holder, 'close');
  await isLeftFree(t, one);
});

t.test(
  'the admin port taken: DNS is served all the same, it is said, and the pages come when it is free',
  async (t) => {
    const one = await bench(t);
    const holder = createServer().listen(one.ports.httpPort, '127.0.0.1');
    await once(holder, 'listening');
    const time = new VirtualTime(new Date().toISOString());
    const daemon = await startDaemon(await one.parts({ clock: time, timers: time }));
    t.match(await askUdp(one.ports.dnsPort, { name: 'localhost' }), { rcode: 0 });
    await time.advance(500);
    const said = () => one.log.lines.filter(({ text }) => text.startsWith('no metrics, health or status'));
    await until('it is said', () => said().length === 1);
    t.match(said(), [{ level: 'error', fields: { code: 'EADDRINUSE' } }]);
    holder.close();
    await once(holder, 'close');
    await time.advance(30_000);
    await until('the pages are there', async () => !(await isFreeForTcp(one.ports.httpPort)));
    await daemon.stop('test');
    await isLeftFree(t, one);
  },
);

t.test(
  'stop closes everything, saves what was confirmed while the directory is ours, and may be called again',
  async (t) => {
    await using sandbox = await startSandbox();
    const one = await bench(t, sandbox.dnsAddress);
    const daemon = await startDaemon(await one.parts());
    await until('it is ready', () => daemon.report().server.ready);
    await daemon.stop('test');
    const text = readFileSync(join(one.stateDirectory, 'endpoints.json'), 'utf8');
    for (const address of DEMO) t.ok(text.includes(address));
    await isLeftFree(t, one);
    await t.resolves(daemon.stop('test'));
  },
);

t.test(
  'a stop takes its steps in turns of their own: pages and commands are not closed in one',
  async (t) => {
    const one = await bench(t);
    await keepState(one.stateDirectory, [withoutRegion(keptRecord())]);
    const count = (kind: string) => process.getActiveResourcesInfo().filter((one) => one === kind).length;
    const before = [count('TCPServerWrap'), count('PipeWrap')] as const;
    const open = () =>
      `pages ${count('TCPServerWrap') - before[0]}, commands ${count('PipeWrap') - before[1]}`;
    const seen: string[] = [];
    const pause = async (): Promise<void> => {
      seen.push(open());
      await systemPause();
    };
    const time = new VirtualTime(new Date().toISOString());
    const daemon = await startDaemon(await one.parts({ clock: time, timers: time, pause }));
    // both are there, and the work that comes later, whose pauses are none of the stop's, never starts
    await time.advance(350);
    await until('pages and commands are there', () => open() === 'pages 1, commands 1');
    seen.length = 0;
    await daemon.stop('test');
    t.strictSame([...new Set(seen)], ['pages 1, commands 1', 'pages 0, commands 1']);
  },
);

t.test('virtual time: a stop answers queries until everything is saved', async (t) => {
  const one = await bench(t);
  await keepState(one.stateDirectory, [withoutRegion(keptRecord())]);
  const time = new VirtualTime(new Date().toISOString());
  const daemon = await startDaemon(await one.parts({ clock: time, timers: time }));
  // on a busy machine the line of the start would be the one that hangs, and the second would pass before the stop waits for it
  await until('the line of the start is written', () => daemon.report().state.ledger.written > 0);
  const { open } = files;
  const last = ledgerPath(one.stateDirectory, 0);
  let isSaving = false;
  files.open = (path, ...more) => {
    if (path !== last) return open(path, ...more);
    isSaving = true;
    return new Promise(() => undefined); // a disk that hangs
  };
  syncBuiltinESMExports();
  t.teardown(() => {
    files.open = open;
    syncBuiltinESMExports();
  });
  const stopping = daemon.stop('test');
  await until('it writes the last line of the ledger', () => isSaving);
  const { answers } = await askUdp(one.ports.dnsPort, { name: ENDPOINT });
  t.equal(answers.length, 3);
  await time.advance(1_000);
  await stopping;
  await isLeftFree(t, one);
});

/** Files whose operations wait while the disk hangs; `waiting` counts those. */
function hangingFiles() {
  let [hanging, waiting] = [Promise.withResolvers<void>(), 0];
  const files = watchedFiles(async () => {
    waiting++;
    await hanging.promise;
    waiting--;
  });
  return {
    files,
    waiting: () => waiting,
    hang: () => {
      hanging = Promise.withResolvers<void>();
    },
    answer: () => hanging.resolve(),
  };
}

t.test(
  'virtual time: a disk that hangs at the start: it serves all the same, and takes what comes late',
  async (t) => {
    const one = await bench(t);
    one.text += `zones: [{ name: site.example, records: ['www A 192.0.2.1'] }]\n`;
    await keepState(one.stateDirectory, [withoutRegion(keptRecord())]);
    const time = new VirtualTime(new Date().toISOString());
    const disk = hangingFiles();
    let hasGivenBack = false;
    const memory = { dropProgram: () => (hasGivenBack = true), trim: () => undefined };
    const starting = startDaemon(
      await one.parts({
        clock: time,
        timers: time,
        files: disk.files,
        keptConfig: { name: 'configuration.checked', compose: async () => new Uint8Array(1) },
        memory: async () => memory,
      }),
    );
    await until('it reads the state', () => disk.waiting() > 0);
    await time.advance(2_000);
    const daemon = await starting;
    t.match(await askUdp(one.ports.dnsPort, { name: 'www.site.example' }), { rcode: 0 });
    t.match(daemon.report().state.faults, [
      /^the disk of ".+" does not answer: what was kept is not known yet$/,
    ]);
    await time.advance(10_000);
    t.ok(disk.waiting() <= 2, 'threads of the pool are left for lookups of names');
    await until('memory goes back without the disk', () => hasGivenBack);
    t.match(daemon.report().state.faults, [/not known yet/, /has not answered for 1\d s: nothing is kept/]);
    disk.answer();
    await until('the state has come', () => daemon.report().state.faults.length === 0);
    const ask = () => askUdp(one.ports.dnsPort, { name: ENDPOINT });
    await until('it is answered', async () => (await ask()).answers.length > 0);
    t.equal((await ask()).answers.length, 3);
    t.match(
      one.log.lines.filter(({ text }) => text.includes('disk of the state directory')),
      [{ text: /serving without what was kept/ }, { text: /nothing is kept/ }, { text: /answers again/ }],
    );
    await daemon.stop('test');
    const text = readFileSync(join(one.stateDirectory, 'endpoints.json'), 'utf8');
    for (const address of DEMO) t.ok(text.includes(address), 'nothing of it is lost');
    await isLeftFree(t, one);
  },
);

t.test(
  'virtual time: a disk that answers while the start publishes what it has: nothing is lost',
  async (t) => {
    const one = await bench(t);
    const others = ['two', 'three'].map((name) => `, { name: ${name}, endpoint: ${name}.example }`).join('');
    one.text = one.text.replace(' }]\n', ` }${others}]\n`);
    await keepState(one.stateDirectory, [withoutRegion(keptRecord())]);
    const time = new VirtualTime(new Date().toISOString());
    const disk = hangingFiles();
    const read = Promise.withResolvers<void>();
    let isOpened = false;
    const files: typeof disk.files = {
      ...disk.files,
      open: (path, ...more) => {
        isOpened ||= path.endsWith('/endpoints.json');
        return disk.files.open(path, ...more);
      },
      readdir: async (directory) => {
        const names = await disk.files.readdir(directory);
        if (isOpened) read.resolve(); // the last operation of reading
        return names;
      },
    };
    let [isLate, pauses] = [false, 0];
    const pause = async (): Promise<void> => {
      // the first pause is that of a machine that stood still
      if (isLate && ++pauses === 2) {
        disk.answer();
        await read.promise;
      }
      await systemPause();
    };
    const starting = startDaemon(await one.parts({ clock: time, timers: time, files, pause }));
    await until('it reads the state', () => disk.waiting() > 0);
    isLate = true;
    await time.advance(2_000);
    const daemon = await starting;
    const ask = () => askUdp(one.ports.dnsPort, { name: ENDPOINT });
    await until('it is answered', async () => (await ask()).answers.length > 0);
    await daemon.stop('test');
    const text = readFileSync(join(one.stateDirectory, 'endpoints.json'), 'utf8');
    for (const address of DEMO) t.ok(text.includes(address));
  },
);

t.test(
  'virtual time: a disk that hangs later: nothing else waits for it, and the end does not',
  async (t) => {
    await using sandbox = await startSandbox();
    const one = await bench(t, sandbox.dnsAddress);
    const time = new VirtualTime(new Date().toISOString());
    const disk = hangingFiles();
    disk.answer();
    sandbox.faults.add({ service: 'dns', kind: 'drop' }); // what is learned before the disk hangs would be saved
    const daemon = await startDaemon(await one.parts({ clock: time, timers: time, files: disk.files }));
    await until('the line of the start is written', () => daemon.report().state.ledger.written > 0);
    disk.hang();
    sandbox.faults.clear();
    for (let at = 0; !daemon.report().server.ready && at < 1000; at++) await time.advance(100);
    const { answers } = await askUdp(one.ports.dnsPort, { name: ENDPOINT });
    t.equal(answers.length, 3, 'learned, and served without the disk');
    await time.advance(600_000);
    t.equal(disk.waiting(), 2);
    t.match(daemon.report().state.faults, [/has not answered for \d+ s: nothing is kept/]);
    let isStopped = false;
    const stopping = daemon.stop('test').then(() => {
      isStopped = true;
    });
    // its waits begin one after the other, some of them after turns of the real loop
    const beganMs = time.monotonicMs();
    await until('it has stopped', async () => {
      if (!isStopped) await time.advance(1_000);
      return isStopped;
    });
    await stopping;
    t.ok(time.monotonicMs() - beganMs <= 120_000, 'a stop ends, whatever the disk does');
    disk.answer();
    await until('the disk has done what waited', () => disk.waiting() === 0);
  },
);

t.test('virtual time: a stop with queries and a poll in flight takes half a second', async (t) => {
  await using sandbox = await startSandbox();
  sandbox.faults.add({ service: 'dns', kind: 'drop' });
  const one = await bench(t, sandbox.dnsAddress);
  const time = new VirtualTime(new Date().toISOString());
  const daemon = await startDaemon(await one.parts({ clock: time, timers: time }));
  await time.advance(0);
  await until('it polls', () => sandbox.dns.countOf(ENDPOINT) > 0, 10);
  const { dnsPort } = one.ports;
  const udp = createSocket('udp4');
  t.teardown(() => udp.close());
  for (let at = 0; at < 20; at++) udp.send(queryOf({ name: `slow-${at}.example.com` }), dnsPort, '127.0.0.1');
  const socket = connect(dnsPort, '127.0.0.1').on('error', () => undefined);
  t.teardown(() => socket.destroy());
  const query = queryOf({ name: 'slow-tcp.example.com' });
  socket.write(Buffer.concat([Buffer.of(0, query.length), query]));
  await until('they wait', () => daemon.report().queries.pending === 21, 10);
  const stopping = daemon.stop('test');
  // what is saved before takes turns of the real loop; the half second begins as the sockets close
  await until('it takes no more connections', () => isFreeForTcp(dnsPort), 10);
  await time.advance(500);
  await stopping;
  t.equal(time.monotonicMs(), 500);
  await isLeftFree(t, one);
});

t.test(
  'it answers from its state before any source is polled: the first poll comes after the first answers',
  async (t) => {
    await using sandbox = await startSandbox();
    const one = await bench(t, sandbox.dnsAddress);
    await keepState(one.stateDirectory, [withoutRegion(keptRecord())]);
    const time = new VirtualTime(new Date().toISOString());
    const daemon = await startDaemon(await one.parts({ clock: time, timers: time }));
    t.teardown(() => daemon.stop('test'));
    const { answers } = await askUdp(one.ports.dnsPort, { name: ENDPOINT });
    t.equal(answers.length, 3);
    t.equal(sandbox.dns.countOf(ENDPOINT), 0, 'no source was polled yet');
    await time.advance(500);
    await until('it polls', () => sandbox.dns.countOf(ENDPOINT) > 0, 10);
    t.equal(sandbox.dns.countOf(ENDPOINT), 1);
  },
);

/** A network in which nobody answers but the Regions to their signs of life. */
function signsOfLife(asked: Set<string>): NetworkParts {
  const open = () => new MadeUpTransport((exchange) => queueMicrotask(() => exchange.fail('network', 'cut')));
  return {
    transports: transportsOf(open),
    poll: async (source) => failed(source, { reason: 'network', reachedFarSide: false, detail: 'cut' }),
    ping: async (region) => {
      asked.add(region);
      return 'answered';
    },
  };
}

t.test(
  'a reload before the first poll: signs of life are asked of the Regions in the new file',
  async (t) => {
    const one = await bench(t);
    const inRegion = (region: string) =>
      one.text.replace(
        /clusters: .*/,
        `clusters: [{ name: demo, region: ${region}, endpoint: ${ENDPOINT} }]`,
      );
    const time = new VirtualTime(new Date().toISOString());
    const asked = new Set<string>();
    one.text = inRegion('us-west-2');
    await keepState(one.stateDirectory, [keptRecord()]);
    const network = signsOfLife(asked);
    const daemon = await startDaemon(await one.parts({ clock: time, timers: time, network }));
    one.text = inRegion('eu-central-1');
    await daemon.reload();
    await time.advance(15_000);
    await daemon.stop('test');
    t.same([...asked], ['eu-central-1']);
  },
);

t.test(
  'virtual time: without a Region memory goes back after the start; holes every 3 s, the program every five minutes',
  async (t) => {
    const one = await bench(t);
    await keepState(one.stateDirectory, [withoutRegion(keptRecord())]);
    const time = new VirtualTime(new Date().toISOString());
    const done: string[] = [];
    const own = { dropProgram: () => void done.push('program'), trim: () => void done.push('holes') };
    const parts = await one.parts({ clock: time, timers: time, memory: async () => own });
    const daemon = await startDaemon(parts);
    await time.advance(450);
    await until('the start is over', () => done.length > 1);
    t.strictSame(
      done.splice(0),
      ['program', 'program'],
      'once it answers, and once it has loaded what it needs soon',
    );
    await time.advance(5_000);
    await until('the rest is loaded', () => done.length > 3);
    const rest = done.splice(0);
    t.strictSame(
      rest,
      ['holes', 'program', 'holes', 'program'],
      'holes; before the rest is loaded, and after',
    );
    await time.advance(300_000);
    const [holes, program] = ['holes', 'program'].map((what) => done.filter((one) => one === what).length);
    t.strictSame({ holes, program }, { holes: 100, program: 1 });
    done.splice(0);
    await daemon.stop('test');
    await time.advance(900_000);
    t.strictSame(done, [], 'a server that has ended does nothing more');
  },
);

t.test('with nothing to serve it polls at once', async (t) => {
  await using sandbox = await startSandbox();
  const one = await bench(t, sandbox.dnsAddress);
  const time = new VirtualTime(new Date().toISOString());
  const daemon = await startDaemon(await one.parts({ clock: time, timers: time }));
  t.teardown(() => daemon.stop('test'));
  await time.advance(0);
  await until('it polls', () => sandbox.dns.countOf(ENDPOINT) > 0, 10);
  t.equal(sandbox.dns.countOf(ENDPOINT), 1);
});

t.test(
  'reload: every key that is declared so is named, until its value is that of the start again',
  async (t) => {
    const one = await bench(t);
    const daemon = await startDaemon(await one.parts());
    t.teardown(() => daemon.stop('test'));
    const good = one.text;
    one.text = `${good
      .replace(/listen: \{ dns/, 'listen: { udp: plain, dns')
      .replace(/(admin: .*:)\d+/, '$19')
      .replace(/directory: (.*) \}/, 'directory: $1/elsewhere }')}log: { format: json }\n`;
    const named = () => one.log.lines.filter(({ text }) => text === 'changed keys need a restart');
    await daemon.reload();
    const declared = Object.keys((await load(good)).untilRestart);
    t.match(declared, ['listen.udp', 'admin.listen', 'state.directory', 'log.format']);
    t.match(named(), [{ level: 'warn', fields: { keys: declared } }]);
    await daemon.reload();
    t.equal(named().length, 2, 'a second reload does not forget');
    one.text = good;
    await daemon.reload();
    t.equal(named().length, 2);
  },
);

t.test('reload: an endpoint whose cluster the file names no more is told, and found again', async (t) => {
  const one = await bench(t);
  await keepState(one.stateDirectory, [withoutRegion(keptRecord())]);
  const daemon = await startDaemon(await one.parts());
  t.teardown(() => daemon.stop('test'));
  const told = () => one.log.lines.filter(({ text }) => text.startsWith('endpoints are no longer answered'));
  const good = one.text;
  one.text = good.replace(/clusters: .*/, 'clusters: [{ name: dmeo, endpoint: other.example }]');
  await daemon.reload();
  t.match(told(), [{ level: 'warn', fields: { endpoints: [ENDPOINT.toLowerCase()], count: 1 } }]);
  one.text = good;
  await daemon.reload();
  t.equal(told().length, 1);
  t.match(await askUdp(one.ports.dnsPort, { name: ENDPOINT }), { answers: { length: DEMO.length } });
  one.text = good.replace('name: demo', 'name: renamed');
  await daemon.reload();
  t.equal(told().length, 1, 'a cluster with a new name keeps its endpoint');
  one.text = good.replace(ENDPOINT, 'mistyped.example');
  await daemon.reload();
  t.match(told()[1], { fields: { endpoints: [ENDPOINT.toLowerCase()], count: 1 } }, 'of the same cluster');
});

t.test('the text that is kept is that of the configuration in force', async (t) => {
  const one = await bench(t);
  const texts = new WeakMap<Config, string>();
  const loadConfig = async () => {
    const config = await load(one.text);
    texts.set(config, one.text);
    return config;
  };
  const time = new VirtualTime(new Date().toISOString());
  const compose = (inForce: Config) => Buffer.from(texts.get(inForce) ?? 'of no file');
  const acceptedConfig = { name: 'accepted', compose };
  const config = await loadConfig();
  const daemon = await startDaemon(
    await one.parts({ clock: time, timers: time, config, loadConfig, acceptedConfig }),
  );
  t.teardown(() => daemon.stop('test'));
  const kept = () => readFileSync(join(one.stateDirectory, 'accepted'), 'utf8');
  const good = one.text;
  const holder = createSocket('udp4').bind(one.ports.dnsPort, '127.0.0.2');
  await once(holder, 'listening');
  one.text = good.replace(/dns: \[/, `dns: ['127.0.0.2:${one.ports.dnsPort}', `);
  await daemon.reload();
  await time.advance(1_000);
  await daemon.keepAccepted();
  t.equal(kept(), good, 'a text that was read, and could not be applied, is not kept');
  holder.close();
  await once(holder, 'close');
  await daemon.reload();
  await daemon.keepAccepted();
  t.equal(kept(), one.text);
});

t.test('virtual time: a disk that hangs holds no reload back', async (t) => {
  const one = await bench(t);
  const time = new VirtualTime(new Date().toISOString());
  const disk = hangingFiles();
  disk.answer();
  const acceptedConfig = { name: 'accepted', compose: () => Buffer.from('text') };
  const daemon = await startDaemon(
    await one.parts({ clock: time, timers: time, files: disk.files, acceptedConfig }),
  );
  disk.hang();
  for (const _ of [1, 2]) await daemon.reload();
  await until('the text waits for the disk', () => disk.waiting() > 0);
  t.notOk(existsSync(join(one.stateDirectory, 'accepted')));
  disk.answer();
  await daemon.keepAccepted();
  t.ok(existsSync(join(one.stateDirectory, 'accepted')));
  await daemon.stop('test');
});

t.test('reload: what cannot be read or bound changes nothing; several in a row become one', async (t) => {
  const one = await bench(t);
  const daemon = await startDaemon(await one.parts());
  t.teardown(() => daemon.stop('test'));
  const good = one.text;
  const failed = () => daemon.report().server.configuration.lastReloadFailed;

  one.text = 'clusters: 7';
  await daemon.reload();
  t.equal(failed(), true);
  one.text = good;
  await daemon.reload();
  t.equal(failed(), false);

  const holder = createSocket('udp4').bind(one.ports.dnsPort, '127.0.0.2');
  await once(holder, 'listening');
  one.text = good.replace(/dns: \[/, `dns: ['127.0.0.2:${one.ports.dnsPort}', `);
  await daemon.reload();
  t.equal(failed(), true);
  t.same(daemon.report().server.listening.length, 1);
  holder.close();
  await once(holder, 'close');
  await Promise.all([daemon.reload(), daemon.reload(), daemon.reload()]);
  t.equal(failed(), false);
  t.same(daemon.report().server.listening.length, 2);
  t.equal(one.log.lines.filter(({ text }) => text === 'configuration reloaded').length, 2);
});

t.test('a stop that comes during a reload waits for it and leaves nothing', async (t) => {
  const one = await bench(t);
  const daemon = await startDaemon(await one.parts());
  one.text = one.text.replace(/dns: \[/, `dns: ['127.0.0.2:${one.ports.dnsPort}', `);
  const reloading = daemon.reload();
  await daemon.stop('test');
  await reloading;
  await isLeftFree(t, one);
});

t.test(
  'a stop does not wait for a reload that hangs: its file lies on a disk that gives nothing',
  async (t) => {
    const one = await bench(t);
    const never = Promise.withResolvers<Config>();
    const asked = Promise.withResolvers<void>();
    const loadConfig = (): Promise<Config> => {
      asked.resolve();
      return never.promise;
    };
    const daemon = await startDaemon(await one.parts({ loadConfig }));
    const reloads = [daemon.reload(), daemon.reload()];
    await asked.promise;
    await daemon.stop('test');
    await Promise.all(reloads);
    await isLeftFree(t, one);
    never.resolve(await load(one.text.replace(/dns: .*/, `dns: ['127.0.0.2:${one.ports.dnsPort}'] }`)));
    await new Promise(setImmediate);
    t.ok(await isFreeForTcp(one.ports.dnsPort), 'what comes after the stop is not taken');
  },
);

t.test('a stop ends a reload of a large file between two of its steps', async (t) => {
  const one = await bench(t);
  const zones = Array.from({ length: 3000 }, (_, at) => `- { name: z${at}.example, forwardTo: [10.0.0.3] }`);
  const next = await load(`${one.text}zones:\n${zones.join('\n')}\n`);
  const first = Promise.withResolvers<void>();
  let pauses = 0;
  const pause = async (): Promise<void> => {
    if (next === loaded && ++pauses === 1) first.resolve();
    await systemPause();
  };
  let loaded: Config | undefined;
  const loadConfig = async (): Promise<Config> => {
    loaded = next;
    return next;
  };
  const daemon = await startDaemon(await one.parts({ loadConfig, pause }));
  const reloading = daemon.reload();
  await first.promise;
  const before = pauses;
  await daemon.stop('test');
  await reloading;
  t.ok(pauses - before < 10, `${pauses - before} pauses after the stop`);
  t.same(
    one.log.lines.filter(({ text }) => text === 'configuration reloaded'),
    [],
  );
  await isLeftFree(t, one);
});

function withoutRegion(record: ReturnType<typeof keptRecord>): ReturnType<typeof keptRecord> {
  const { region: _, ...rest } = record;
  return rest;
}

t.test('a state file that was set aside at the start is said for a day', async (t) => {
  const one = await bench(t);
  await files.writeFile(join(one.stateDirectory, 'endpoints.json'), 'x');
  let laterMs = 0;
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + laterMs };
  const daemon = await startDaemon(await one.parts({ clock }));
  const isSaid = () => daemon.report().state.faults.some((text) => text.includes('endpoints.json'));
  t.ok(isSaid());
  laterMs = 86_400_000;
  await until('it is said no more', () => !isSaid());
  await daemon.stop('test');
});
