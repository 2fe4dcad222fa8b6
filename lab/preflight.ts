/** `init`, then `check` from red to green by doing only what its findings say, on a host of its own with the simulated Region. */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { controlPathFor } from '../sandbox/control.ts';
import { callSandbox } from '../sandbox/control-client.ts';
import type { Lab, LabCheck } from './check.ts';
import { Background, type Command, eventually, machineEnvironment, must, run } from './commands.ts';
import { BARE_DNSMASQ } from './dnsmasq.ts';
import { Namespace } from './namespace.ts';

const SANDBOX_PORT = 5399;
/** The limit of each wait. A wait ends with its event, long before. */
const PATIENCE_MS = 60_000;
/** tmpfs on every Linux host. */
const TMPFS = '/dev/shm';

interface Finding {
  readonly code: string;
  readonly severity: string;
  readonly text: string;
  readonly fix: string;
}

interface Checked {
  readonly code: number | undefined;
  readonly findings: readonly Finding[];
}

interface Region {
  readonly environment: Record<string, string>;
  readonly upstreams: readonly string[];
}

export const preflight: LabCheck = {
  name: 'preflight',
  about: 'init, then check from red to green by what its findings say',
  tools: ['dnsmasq', 'git', 'ip'],
  async run(lab) {
    await using namespace = await Namespace.make();
    await using host = await Host.start(lab, namespace);
    await learn(lab, host);
    await repair(lab, host);
    await lab.step('all is repaired: check finds nothing, and --as-if-cut finds nothing either', async () => {
      const { code, findings } = await host.checked('check is green', isGreen, '--as-if-cut');
      const isProblem = findings.some(({ severity }) => severity === 'problem');
      assert.equal(code, isProblem ? 1 : 0);
    });
  },
};

/** The first findings of a new host: port 53 is taken, AWS denies a call, and no server has ever run. */
async function learn(lab: Lab, host: Host): Promise<void> {
  await lab.step('init writes a configuration, and overwrites nothing', async () => {
    await eventually('init learns the endpoint', PATIENCE_MS, async () => {
      await rm(host.config, { force: true });
      await must(host.within(host.init()), { env: host.environment });
      return (await readFile(host.config, 'utf8')).includes('endpoint 5e9d0f3c7a1b4286') ? true : undefined;
    });
    const again = await run(host.within(host.init()), { env: host.environment });
    assert.equal(again.code, 1, again.stderr);
  });
  await lab.step('red: dnsmasq holds port 53, AWS denies a call, no state', async () => {
    await host.setState(join(TMPFS, host.name));
    await host.command('/fault', { service: 'eks', kind: 'deny' });
    await using other = await host.dnsmasq();
    const wanted = ['permission-denied', 'port-53-taken', 'state-directory-missing'];
    const { code, findings } = await host.checked('all three are found', (all) =>
      wanted.every((one) => all.some((finding) => finding.code === one)),
    );
    assert.equal(code, 1);
    noteFindings(lab, findings);
    const found = (code: string) => findings.find((one) => one.code === code);
    assert.match(found('port-53-taken')?.text ?? '', /"dnsmasq" \(pid \d+\)/);
    assert.match(found('permission-denied')?.fix ?? '', /"Action":"eks:DescribeCluster"/);
    const pid = /kill (\d+)/.exec(found('port-53-taken')?.fix ?? '')?.[1];
    assert.ok(pid !== undefined, 'the fix names no process');
    await must(host.within(['kill', pid]));
    await other.ended(PATIENCE_MS);
  });
}

/** The findings that only a host with a running server has. */
async function repair(lab: Lab, host: Host): Promise<void> {
  await lab.step(
    'port 53 is free, AWS allows: the state on tmpfs and a line of /etc/hosts are left',
    async () => {
      await host.command('/fault/clear', {});
      await host.serve();
      host.setHosts(
        '127.0.0.1 localhost\n10.9.9.9 5e9d0f3c7a1b4286b0d4c8e2f6a19753.gr7.us-west-2.eks.amazonaws.com\n',
      );
      const wanted = ['hosts-file-contradicts', 'state-not-durable'];
      const { findings } = await host.checked('exactly these are left', (all) => {
        const problems = all.filter(({ severity }) => severity === 'problem').map(({ code }) => code);
        return problems.toSorted().join() === wanted.join();
      });
      noteFindings(lab, findings);
      host.setHosts('127.0.0.1 localhost\n');
      await host.setState(host.disk);
      await host.serve();
    },
  );
}

/** The disk of this machine may itself be a layer of a container, or in memory. */
function isGreen(findings: readonly Finding[]): boolean {
  return findings.every(({ code }) => code === 'state-not-durable');
}

function noteFindings(lab: Lab, findings: readonly Finding[]): void {
  for (const { code, text, fix } of findings) lab.note(`${code}: ${text}\n      fix: ${fix}`);
}

class Host implements AsyncDisposable {
  readonly config: string;
  readonly disk: string;
  readonly name: string;
  readonly environment: Record<string, string>;
  readonly #namespace: Namespace;
  readonly #program: string;
  readonly #room: string;
  readonly #region: Region;
  readonly #sandbox: Background;
  #server: Background | undefined;

  private constructor(
    namespace: Namespace,
    program: string,
    room: string,
    region: Region,
    sandbox: Background,
  ) {
    this.#namespace = namespace;
    this.#program = program;
    this.#room = room;
    this.#region = region;
    this.#sandbox = sandbox;
    this.name = namespace.name;
    this.config = join(room, 'outpost-dns.yaml');
    this.disk = join(room, 'state');
    this.environment = { ...machineEnvironment(), TMPDIR: room, ...region.environment };
  }

  static async start(lab: Lab, namespace: Namespace): Promise<Host> {
    const program = join(await lab.workshop.installed(), 'bin', 'outpost-dns');
    const room = await lab.workshop.room('preflight');
    const env = { ...machineEnvironment(), TMPDIR: room };
    const words: Command = [
      program,
      'sandbox',
      '--region-only',
      '--port',
      String(SANDBOX_PORT),
      '--http-port',
      '9199',
    ];
    const sandbox = new Background(namespace.within(words), { env });
    const [line] = await sandbox.printed(/\{.*"environment".*\}/, PATIENCE_MS);
    const region: Region = JSON.parse(line);
    namespace.setResolvConf('nameserver 127.0.0.1\n');
    return new Host(namespace, program, room, region, sandbox);
  }

  within = (command: Command): Command => this.#namespace.within(command);

  init(): Command {
    const upstreams = this.#region.upstreams.flatMap((one) => ['--upstream', one]);
    return [
      this.#program,
      'init',
      '--cluster',
      'demo',
      '--region',
      'us-west-2',
      ...upstreams,
      '-o',
      this.config,
    ];
  }

  /** Writes the place of the state into the configuration. No server listens at the simulated addresses, so none is probed. */
  async setState(directory: string): Promise<void> {
    const text = await readFile(this.config, 'utf8');
    const rest = text
      .replace(/\n# Where the addresses survive[\s\S]*$/, '')
      .replace(/\nstate:\n[\s\S]*$/, '');
    const probed = rest.includes('probe:')
      ? rest
      : rest.replace(/(region: .*\n)/, '$1    probe: { enabled: false }\n');
    await writeFile(this.config, `${probed.trimEnd()}\n\nstate:\n  directory: ${directory}\n`);
  }

  setHosts(text: string): void {
    this.#namespace.setFile('hosts', text);
  }

  /** A server for all of port 53, as a distribution starts it. */
  async dnsmasq(): Promise<Background> {
    const other = new Background(this.within(BARE_DNSMASQ));
    await other.printed(/started/, PATIENCE_MS);
    return other;
  }

  async serve(): Promise<void> {
    await this.#server?.end('SIGTERM', PATIENCE_MS);
    const words: Command = [this.#program, 'serve', '--config', this.config];
    this.#server = new Background(this.within(words), { env: this.environment });
    await this.#server.printed(/"listening"/, PATIENCE_MS);
  }

  /** Sends the sandbox a command. */
  async command(path: string, body: unknown): Promise<void> {
    const socket = controlPathFor(SANDBOX_PORT).split('/').at(-1) ?? '';
    await callSandbox(join(this.#room, socket), 'POST', path, body);
  }

  async check(...more: string[]): Promise<Checked> {
    const words: Command = [this.#program, 'check', '--json', '--config', this.config, ...more];
    const { code, stdout, stderr } = await run(this.within(words), { env: this.environment });
    assert.match(stdout, /^\{/, stderr);
    return { code, findings: JSON.parse(stdout).findings };
  }

  /** The first run of `check` whose findings are as wanted: a slow machine can make a call of one run late. */
  async checked(
    what: string,
    isWanted: (findings: readonly Finding[]) => boolean,
    ...more: string[]
  ): Promise<Checked> {
    let seen: readonly Finding[] = [];
    try {
      return await eventually(what, PATIENCE_MS, async () => {
        const result = await this.check(...more);
        seen = result.findings;
        return isWanted(seen) ? result : undefined;
      });
    } catch (error) {
      throw new Error(`the last findings: ${JSON.stringify(seen, null, 2)}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    await this.#sandbox[Symbol.asyncDispose]();
    await rm(join(TMPFS, this.name), { recursive: true, force: true });
  }
}
