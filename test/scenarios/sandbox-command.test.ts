import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { freePorts, type Ports } from './free-ports.ts';
import { askUdp, Process } from './server-process.ts';
import { DEMO, ENDPOINT, folder } from './site.ts';

t.jobs = 2; // these tests wait more than they work

/** `bin/outpost-dns sandbox` as npm start runs it: in a process group of its own, as a shell with job control makes it. */
class SandboxCommand extends Process {
  readonly ports: Ports;
  readonly temporary: string;

  constructor(t: Test, { dnsPort, httpPort }: Ports, temporary = folder(t)) {
    super(t, ['sandbox', '--port', `${dnsPort}`, '--http-port', `${httpPort}`], { TMPDIR: temporary }, true);
    this.ports = { dnsPort, httpPort };
    this.temporary = temporary;
  }

  get controlPath(): string {
    return join(this.temporary, `outpost-dns-sandbox-${this.ports.dnsPort}.sock`);
  }

  /** The files that are left in its folder for temporary files. */
  get left(): readonly string[] {
    return readdirSync(this.temporary);
  }

  /** The server, by the kernel's own list of children. */
  get serverPid(): number | undefined {
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').trim();
    return children === '' ? undefined : Number(children.split(' ')[0]);
  }

  async hasBanner(): Promise<void> {
    await until('the banner is printed', () => {
      if (!this.isRunning) throw new Error(`the sandbox ended: ${this.stderr}${this.stdout}`);
      return this.stdout.includes('Ctrl-C ends it.');
    });
  }

  /** As a terminal at Ctrl-C: SIGINT to every process of the group. */
  async pressCtrlC(): Promise<{ readonly code: number | null; readonly afterMs: number }> {
    const pressedAtMs = performance.now();
    process.kill(-this.pid, 'SIGINT');
    const { code, atMs } = await this.ended;
    return { code, afterMs: atMs - pressedAtMs };
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // a zombie is dead: only its parent has not waited for it yet
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

const link = (t: Test, command: SandboxCommand, state: string) =>
  new Process(t, ['sandbox', 'link', state, '--port', `${command.ports.dnsPort}`], {
    TMPDIR: command.temporary,
  });

t.test(
  'npm start: prints addresses and the commands to try, those of the README; Ctrl-C ends it and leaves no file',
  async (t) => {
    const sandbox = new SandboxCommand(t, await freePorts());
    await sandbox.hasBanner();
    t.match(sandbox.stdout, new RegExp(`DNS +127\\.0\\.0\\.1:${sandbox.ports.dnsPort} `));
    t.match(sandbox.stdout, new RegExp(`HTTP +http://127\\.0\\.0\\.1:${sandbox.ports.httpPort}/`));
    const commands = sandbox.stdout.split('\n').filter((line) => /^ {2}(dig|npx) /.test(line));
    const dig = `  dig @127.0.0.1 -p ${sandbox.ports.dnsPort} ${ENDPOINT}`;
    t.same(commands, [
      dig,
      `  npx outpost-dns sandbox link down --port ${sandbox.ports.dnsPort}`,
      dig,
      '  npx outpost-dns status',
      '  npx outpost-dns history',
      `  npx outpost-dns sandbox link up --port ${sandbox.ports.dnsPort}`,
    ]);
    const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
    const usual = commands.map((line) =>
      line
        .trim()
        .replace(/ --port \d+/, '')
        .replace(/-p \d+/, '-p 5300'),
    );
    t.match(readme, `\`\`\`sh\n${usual.join('\n')}\n\`\`\``);
    const resolved = async () =>
      (await askUdp(sandbox.ports.dnsPort, { name: ENDPOINT })).answers.map(({ data }) => data).toSorted();
    t.same(await resolved(), DEMO);

    const down = link(t, sandbox, 'down');
    t.match(await down.ended, { code: 0 });
    t.match(down.stdout, /the link is cut/);
    t.same(await resolved(), DEMO, 'the name survives');
    const wrong = link(t, sandbox, 'sideways');
    t.match(await wrong.ended, { code: 2 });
    t.match(wrong.stderr, /'sideways' is invalid .*down, refused, up/);

    const server = sandbox.serverPid ?? 0;
    t.ok(isAlive(server), 'the server is a child');
    t.ok(existsSync(sandbox.controlPath));
    const { code, afterMs } = await sandbox.pressCtrlC();
    t.comment(`Ctrl-C: ended in ${afterMs.toFixed(0)} ms`);
    t.equal(code, 0);
    t.notOk(isAlive(server), 'no server is left');
    t.same(sandbox.left, [], 'no socket, no folder is left');
    t.equal(sandbox.stderr, '');
    const late = link(t, sandbox, 'up');
    t.match(await late.ended, { code: 1 });
    t.match(late.stderr, /no sandbox is running there: start it with npm start/);
  },
);

t.test('SIGTERM to the sandbox alone, as a supervisor sends it, ends the server too', async (t) => {
  const sandbox = new SandboxCommand(t, await freePorts());
  await sandbox.hasBanner();
  const server = sandbox.serverPid ?? 0;
  const { code, afterMs } = await sandbox.kill('SIGTERM');
  t.comment(`SIGTERM: ended in ${afterMs.toFixed(0)} ms`);
  t.equal(code, 0);
  t.notOk(isAlive(server));
  t.same(sandbox.left, []);
});

t.test('Ctrl-C at any moment of the start leaves nothing', async (t) => {
  for (const afterMs of [100, 350, 600, 900]) {
    const sandbox = new SandboxCommand(t, await freePorts());
    await pause(afterMs);
    const ended = await sandbox.pressCtrlC();
    t.comment(`pressed after ${afterMs} ms, ended in ${ended.afterMs.toFixed(0)} ms`);
    t.same(sandbox.left, [], `pressed after ${afterMs} ms`);
  }
});

t.test('a server that is killed before it is ready ends the sandbox too', async (t) => {
  const sandbox = new SandboxCommand(t, await freePorts());
  await until(
    'the server answers',
    () => askUdp(sandbox.ports.dnsPort, { name: ENDPOINT }, 1000).catch(() => false),
    5,
  );
  await pause(20); // until the sandbox has the message
  process.kill(sandbox.serverPid ?? 0, 'SIGKILL');
  t.match(await sandbox.ended, { code: 1 });
  t.same(sandbox.left, []);
});

t.test(
  'a sandbox that is killed takes its server with it, and the next one starts over what it left',
  async (t) => {
    const first = new SandboxCommand(t, await freePorts());
    await first.hasBanner();
    const server = first.serverPid ?? 0;
    await first.kill('SIGKILL');
    await until('the server has followed', () => !isAlive(server));
    t.ok(existsSync(first.controlPath), 'the socket is left lying');
    const second = new SandboxCommand(t, first.ports, first.temporary);
    await second.hasBanner();
    t.same((await askUdp(second.ports.dnsPort, { name: ENDPOINT })).answers.length, 3);
    t.match(await second.pressCtrlC(), { code: 0 });
    t.notOk(existsSync(second.controlPath));
  },
);

t.test('two at one time on one port: the second says so and leaves the first alone', async (t) => {
  const first = new SandboxCommand(t, await freePorts());
  await first.hasBanner();
  const second = new SandboxCommand(t, first.ports, first.temporary);
  t.match(await second.ended, { code: 1 });
  t.match(
    second.stderr,
    /^outpost-dns: cannot listen on control socket ".*": another sandbox is running there\n$/,
  );
  t.equal((await askUdp(first.ports.dnsPort, { name: ENDPOINT })).answers.length, 3);
  t.match(await first.pressCtrlC(), { code: 0 });
});

t.test('every command finds the server of the sandbox by itself', async (t) => {
  const sandbox = new SandboxCommand(t, await freePorts());
  await sandbox.hasBanner();
  const commands: readonly (readonly [words: readonly string[], shows: RegExp])[] = [
    [['status'], /ready: every endpoint can be answered/],
    [['status', '--healthy'], /^$/],
    [['history'], /start/],
    [['export'], new RegExp(`${DEMO[0]}\\s+${ENDPOINT.toLowerCase()}`)],
    [['lookup', ENDPOINT], new RegExp(String(DEMO[0]))],
    [['check'], /ready for an outage/],
    [['drill', 'start', '--for', '1m'], /the drill runs for 60 s/],
    [['drill', 'report'], /drill/],
    [['drill', 'stop'], /drill/],
  ];
  for (const [words, shows] of commands) {
    const command = new Process(t, words, { TMPDIR: sandbox.temporary });
    const { code } = await command.ended;
    t.equal(code, 0, `${words.join(' ')}: ${command.stderr}`);
    t.match(command.stdout, shows, words.join(' '));
  }
  await sandbox.pressCtrlC();
});

t.test('without a server every command says the same sentence: the places tried, and the fix', async (t) => {
  const temporary = folder(t);
  const said = new Set<string>();
  for (const words of [
    ['status'],
    ['status', '--healthy'],
    ['history'],
    ['drill', 'start', '--for', '1m'],
    ['drill', 'report'],
    ['lookup', ENDPOINT],
    ['export'],
    ['check'],
  ]) {
    const command = new Process(t, words, { TMPDIR: temporary });
    t.match(await command.ended, { code: 1 }, words.join(' '));
    t.equal(command.stdout, '', words.join(' '));
    said.add(command.stderr);
  }
  t.equal(said.size, 1, [...said].join(''));
  t.match(
    [...said][0],
    /^outpost-dns: no server was found: there is no configuration "\/etc\/.*", this user runs no sandbox, nothing answers at "127\.0\.0\.1:9153", there is no state in ".*"\n {4}start one with .*--config\n$/,
  );
});

t.test('a broken configuration in the environment: the same sentence names its faults, exit 2', async (t) => {
  const said = new Set<string>();
  for (const words of [['status'], ['history'], ['drill', 'stop'], ['lookup', ENDPOINT], ['export']]) {
    const environment = { TMPDIR: folder(t), OUTPOST_DNS_UPSTREAMS: 'nonsense' };
    const command = new Process(t, words, environment);
    t.match(await command.ended, { code: 2 }, words.join(' '));
    said.add(command.stderr);
  }
  t.equal(said.size, 1, [...said].join(''));
  t.match(
    [...said][0],
    /the configuration has \d faults? \("outpost-dns check" lists them\), nothing answers/,
  );
});

t.test('the socket of another sandbox that has ended leads nowhere', async (t) => {
  const temporary = folder(t);
  const socket = createServer().listen(join(temporary, 'outpost-dns-sandbox-5300.sock'));
  await once(socket, 'listening');
  socket.on('connection', (connection) => connection.destroy());
  t.teardown(() => socket.close());
  const command = new Process(t, ['history'], { TMPDIR: temporary });
  t.match(await command.ended, { code: 1 });
});
