/** What `npm run build` makes, on its own: copied away from its packages it lives through a disconnect, with the real AWS clients inside it. */
import assert from 'node:assert/strict';
import { Resolver } from 'node:dns/promises';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { callSandbox } from '../sandbox/control-client.ts';
import type { Lab, LabCheck } from './check.ts';
import { Background, eventually, machineEnvironment, must } from './commands.ts';
import { ADDRESSES, ENDPOINT } from './sandbox-site.ts';

const DNS_PORT = 5351;
const HTTP_ADDRESS = '127.0.0.1:9251';
/** The address that an interface of the cluster gets during the cut. */
const MOVED = { from: '10.0.3.10', to: '10.0.3.77' };
const SEEN_WITHIN_MS = 10_000;

export const bundle: LabCheck = {
  name: 'bundle',
  about: 'npm run build, then the folder alone through a disconnect',
  tools: ['curl', 'git'],
  async run(lab) {
    const room = await lab.workshop.room('bundle');
    const home = join(room, 'outpost-dns');
    await must(['cp', '-a', await lab.workshop.bundle(), home]);
    const clone = await lab.workshop.clone();
    await lab.step('the bundle contains no package except its runtime', async () => {
      assert.deepEqual(await readdir(join(home, 'node_modules')), ['node']);
    });
    lab.note(`size: ${(await must(['du', '-sh', home])).split('\t')[0]}`);
    await using region = new Background(
      [join(clone, 'bin', 'outpost-dns'), 'sandbox', '--region-only', '--port', `${DNS_PORT}`],
      {
        env: { ...machineEnvironment(), TMPDIR: room },
      },
    );
    const line = JSON.parse((await region.printed(/^\{.*\}$/m))[0]) as RegionLine; // our own program's
    const walk = new Walk(lab, home, line, room);
    await walk.learn();
    await walk.cut();
    await walk.restore();
  },
};

interface RegionLine {
  readonly configFile: string;
  readonly controlPath: string;
  readonly environment: Readonly<Record<string, string>>;
}

class Walk {
  readonly #lab: Lab;
  readonly #program: string;
  readonly #region: RegionLine;
  readonly #environment: Record<string, string>;
  #server: Background | undefined;
  /** At its end the server lists the modules of Node that its main thread had loaded. */
  readonly #witness: { readonly program: string; readonly loaded: string };
  #startedMs = 0;

  constructor(lab: Lab, home: string, region: RegionLine, room: string) {
    this.#lab = lab;
    this.#program = join(home, 'bin', 'outpost-dns');
    this.#region = region;
    this.#environment = {
      // no node and no npm in PATH: only the files of the folder
      PATH: '/usr/bin:/bin',
      ...region.environment,
      OUTPOST_DNS_ADMIN__LISTEN: HTTP_ADDRESS,
      OUTPOST_DNS_STATE__DIRECTORY: join(room, 'state'),
    };
    this.#witness = { program: join(room, 'witness.mjs'), loaded: join(room, 'loaded.json') };
  }

  async learn(): Promise<void> {
    const { step, note } = this.#lab;
    const { program, loaded } = this.#witness;
    await writeFile(
      program,
      `import { writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
if (isMainThread) process.on('exit', () => writeFileSync(${JSON.stringify(loaded)}, JSON.stringify(process.moduleLoadList)));`,
    );
    await step('it says its version', async () => {
      assert.match(await must([this.#program, '--version'], { env: this.#environment }), /^\d+\.\d+\.\d+\n$/);
    });
    this.#start();
    await step('dns, interfaces and cluster are learned through the AWS clients in it', async () => {
      const sources = ['dns', 'interfaces', 'cluster'];
      await eventually('every source confirms', 30_000, async () => {
        const metrics = await page('/metrics');
        const seen = (source: string) =>
          new RegExp(`^outpost_dns_endpoint_source_age_seconds\\{.*source="${source}"`, 'm').test(metrics);
        // a kill before the state is on disk would be a kill before the addresses were learned
        const isOnDisk = /^outpost_dns_state_pending 0$/m.test(metrics);
        return sources.every(seen) && isOnDisk ? true : undefined;
      });
      note(`from exec to an answer learned from three sources: ${await this.#firstAnswer()}`);
      assert.deepEqual(await addresses(), ADDRESSES);
    });
    note(`memory, connected: ${await this.#memory()}`);
  }

  async cut(): Promise<void> {
    const { step, note } = this.#lab;
    await this.#command('/link', { state: 'down' });
    await step('cut off: the endpoint is answered as ever', async () => {
      assert.deepEqual(await addresses(), ADDRESSES);
    });
    await step('killed and started again while cut off: answered from the state file', async () => {
      await this.#server?.end('SIGKILL');
      this.#start();
      note(`from exec to the first answer, cut off: ${await this.#firstAnswer()}`);
      assert.deepEqual(await addresses(), ADDRESSES);
    });
    for (const words of [
      ['status', '--admin', HTTP_ADDRESS],
      ['status', '--healthy', '--admin', HTTP_ADDRESS],
      ['lookup', ENDPOINT, '--server', `127.0.0.1:${DNS_PORT}`],
      ['export', '--format', 'hosts', '--config', this.#region.configFile],
      ['check', '--config', this.#region.configFile],
    ]) {
      await step(`cut off: outpost-dns ${words.slice(0, 2).join(' ')}`, async () => {
        const printed = await must([this.#program, ...words], { env: this.#environment });
        if (words[0] === 'lookup' || words[0] === 'export')
          for (const address of ADDRESSES) assert.ok(printed.includes(address), printed);
      });
    }
    note(`memory, cut off, no AWS client answered: ${await this.#memory()}`);
  }

  async restore(): Promise<void> {
    const { step, note } = this.#lab;
    await this.#command('/eni', { cluster: 'demo', ...MOVED });
    await this.#command('/link', { state: 'up' });
    const startedMs = performance.now();
    await step(
      `link up: the address that changed meanwhile is served within ${SEEN_WITHIN_MS / 1000} s`,
      async () => {
        // the listing may come a moment before the name: until then the address that the name had stays
        await eventually(`${MOVED.to} in place of ${MOVED.from}`, SEEN_WITHIN_MS, async () => {
          const served = await addresses();
          return served.includes(MOVED.to) && !served.includes(MOVED.from) ? true : undefined;
        });
        note(`seen after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
        assert.match(
          await page('/metrics'),
          /outpost_dns_endpoint_address_info\{.*address="10\.0\.3\.77"\} 1/,
        );
      },
    );
    await step('SIGTERM ends it well', async () => {
      const { code, tookMs } = (await this.#server?.end('SIGTERM')) ?? {};
      assert.equal(code, 0);
      note(`ended after ${tookMs?.toFixed(0)} ms`);
    });
    await step('its main thread has loaded no TLS, although AWS was asked', async () => {
      const loaded: readonly string[] = JSON.parse(await readFile(this.#witness.loaded, 'utf8'));
      assert.ok(loaded.includes('NativeModule net'), 'the list has the loaded modules');
      assert.deepEqual(
        loaded.filter((name) => /^NativeModule (?:tls|https|http2)$/.test(name)),
        [],
      );
    });
  }

  #start(): void {
    this.#startedMs = performance.now();
    this.#server = new Background([this.#program, 'serve', '--config', this.#region.configFile], {
      env: { ...this.#environment, NODE_OPTIONS: `--import ${this.#witness.program}` },
    });
  }

  async #firstAnswer(): Promise<string> {
    for (const deadline = performance.now() + 20_000; performance.now() < deadline; await sleep(2))
      if ((await addresses()).length > 0) return `${(performance.now() - this.#startedMs).toFixed(0)} ms`;
    throw new Error(`no answer within 20 s\n${this.#server?.output.slice(-2000)}`);
  }

  async #memory(): Promise<string> {
    const status = await readFile(`/proc/${this.#server?.pid}/status`, 'utf8');
    const mebibytes = (field: string) =>
      `${(Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024).toFixed(0)} MiB`;
    return `${mebibytes('VmRSS')} resident, ${mebibytes('VmHWM')} at most`;
  }

  async #command(path: string, body: unknown): Promise<void> {
    await callSandbox(this.#region.controlPath, 'POST', path, body);
  }
}

const resolver = new Resolver({ timeout: 200, tries: 1 });
resolver.setServers([`127.0.0.1:${DNS_PORT}`]);

/** Sorted; none where there is no answer. */
async function addresses(): Promise<string[]> {
  return (await resolver.resolve4(ENDPOINT).catch(() => [])).sort();
}

async function page(path: string): Promise<string> {
  return must(['curl', '--silent', '--show-error', '--fail', `http://${HTTP_ADDRESS}${path}`]);
}
