/** Addresses proven by real TLS: API servers with the cluster's authority, and other hosts that take over their addresses. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { callSandbox } from '../sandbox/control-client.ts';
import type { StatusReport } from '../src/daemon/report.ts';
import type { LabCheck } from './check.ts';
import { Background, eventually, machineEnvironment, must } from './commands.ts';
import { dig } from './dig.ts';
import { Namespace } from './namespace.ts';
import { makeCredentials } from './outage/certificates.ts';
import { nodeCommand } from './outage/network.ts';
import { ADDRESSES, ENDPOINT } from './sandbox-site.ts';
import type { Workshop } from './workshop.ts';

/** The address that an interface of the cluster moves to, and that another host has already. */
const REUSED = '10.0.4.10';
/** A machine that stands still for some seconds breaks no statement of this check. */
const WITHIN_MS = 60_000;

export const addressProof: LabCheck = {
  name: 'proof',
  about:
    'an address that another host has is never served while a proven address exists, with real TLS servers',
  tools: ['dig', 'ip', 'openssl', 'curl'],
  async run(lab) {
    await using site = await ProofSite.start(lab.workshop);
    const [first = '', second = '', third = ''] = ADDRESSES;
    await lab.step(
      'the addresses of the API servers are proven by the authority of the cluster',
      async () => {
        await site.until(
          'all are proven',
          ({ addresses }) =>
            addresses.length === 3 && addresses.every(({ proof }) => proof?.state === 'proven'),
        );
      },
    );
    await lab.step('an interface with the address of another host: the address is in no answer', async () => {
      await site.command('/eni', { cluster: 'demo', from: first, to: REUSED });
      await site.until('the new address is refused', ({ withheld }) =>
        withheld.some(({ address, proof }) => address === REUSED && proof?.state === 'refused'),
      );
      const answers = await site.answersFor(1_500);
      lab.note(`${answers.length} answers after the move, and all before it, without the address`);
      assert.ok(
        answers.every((answer) => answer.length > 0),
        'a query was not answered',
      );
      assert.ok(
        site.answers.every((answer) => !answer.includes(REUSED)),
        `${REUSED} was in an answer`,
      );
    });
    await lab.step('explain names the deciding reason', async () => {
      const text = await site.explain();
      assert.match(text, new RegExp(`${REUSED} not served\\n +because: +another server answers there`));
    });
    await lab.step('kill -9 and a start bring it into no answer either', async () => {
      await site.restart();
      await site.until('the server has its proofs', ({ addresses }) => addresses.length > 0);
      const answers = await site.answersFor(1_500);
      assert.ok(
        answers.length > 0 && answers.every((answer) => !answer.includes(REUSED)),
        `${REUSED} was in an answer`,
      );
    });
    await lab.step(
      'a proven address that another host takes over goes, and the proven one stays',
      async () => {
        await site.takeOver(second);
        await site.until('the address is refused', ({ withheld }) =>
          withheld.some(({ address, proof }) => address === second && proof?.state === 'refused'),
        );
        const answers = await site.answersFor(1_000);
        assert.ok(
          answers.every((answer) => answer.join() === third),
          JSON.stringify(answers),
        );
        const log = site.log();
        const lost = log.findIndex(
          (line) => line.includes(`"address":"${second}"`) && line.includes('lost its proof'),
        );
        const refused = log.findIndex(
          (line) => line.includes(`"address":"${second}"`) && line.includes('is refused'),
        );
        assert.ok(lost >= 0 && lost < refused, 'it was answered last before it was refused');
      },
    );
    await lab.step('with every address refused the name is answered all the same', async () => {
      await site.takeOver(third);
      await site.until(
        'all are refused',
        ({ addresses, withheld }) =>
          withheld.length === 0 &&
          addresses.length === 3 &&
          addresses.every(({ proof }) => proof?.state === 'refused'),
      );
      const [answer = []] = await site.answersFor(100);
      assert.equal(answer.length, 3);
    });
    await lab.step('the right server comes back, and is served alone', async () => {
      await site.giveBack(REUSED);
      await site.until(
        'it is proven',
        ({ addresses }) =>
          addresses.length === 1 &&
          addresses[0]?.address === REUSED &&
          addresses[0].proof?.state === 'proven',
      );
      const answers = await site.answersFor(1_000);
      assert.deepEqual(answers.at(-1), [REUSED]);
    });
    await lab.step('without any server the name is answered all the same', async () => {
      await site.takeDown(REUSED);
      await site.until('nothing is proven', ({ addresses }) =>
        addresses.every(({ proof }) => proof?.state !== 'proven'),
      );
      const answers = await site.answersFor(500);
      assert.ok(
        answers.every((answer) => answer.length === 3),
        JSON.stringify(answers),
      );
    });
  },
};

type Endpoint = StatusReport['endpoints'][number];

class ProofSite implements AsyncDisposable {
  /** The addresses of every answer so far. */
  readonly answers: string[][] = [];
  readonly #namespace: Namespace;
  readonly #room: string;
  readonly #program: string;
  readonly #region: { readonly environment: Record<string, string>; readonly controlPath: string };
  readonly #owned = new AsyncDisposableStack();
  readonly #hosts = new Map<string, Background>();
  #server: Background | undefined;
  #before = '';

  private constructor(
    namespace: Namespace,
    room: string,
    program: string,
    region: { readonly environment: Record<string, string>; readonly controlPath: string },
  ) {
    this.#namespace = namespace;
    this.#room = room;
    this.#program = program;
    this.#region = region;
  }

  static async start(workshop: Workshop): Promise<ProofSite> {
    await using owned = new AsyncDisposableStack();
    const program = join(await workshop.installed(), 'bin', 'outpost-dns');
    const room = await workshop.room('proof');
    const namespace = owned.use(await Namespace.make([...ADDRESSES, REUSED]));
    const cluster = await makeCredentials(join(room, 'cluster'), ENDPOINT.toLowerCase());
    await makeCredentials(join(room, 'other'), ENDPOINT.toLowerCase());
    await writeFile(join(cluster.folder, 'view'), ADDRESSES.join(' '));
    const command = namespace.within([program, 'sandbox', '--region-only']);
    const region = owned.use(new Background(command, { env: { ...machineEnvironment(), TMPDIR: room } }));
    const line = JSON.parse((await region.printed(/^\{.*\}$/m))[0]); // our own program's
    const config = parse(await readFile(line.configFile, 'utf8'));
    // a proof is lost only where the machine stands still for five seconds, twice in a row
    const probe = { ca: cluster.ca, interval: '5s', timeout: '5s' };
    const [first] = config.clusters;
    const state = { directory: join(room, 'state') };
    const clusters = [{ ...first, probe }];
    const refresh = { ...config.refresh, dns: '1s', interfaces: '1s' };
    await writeFile(join(room, 'outpost-dns.yaml'), stringify({ ...config, clusters, refresh, state }));
    const site = new ProofSite(namespace, room, program, line);
    site.#owned.use(owned.move());
    for (const address of ADDRESSES) await site.giveBack(address);
    await site.takeOver(REUSED);
    await site.restart();
    return site;
  }

  /** An API server of the cluster listens at the address. */
  async giveBack(address: string): Promise<void> {
    await this.takeDown(address);
    const program = join(import.meta.dirname, 'outage', 'api-server.ts');
    const folder = join(this.#room, 'cluster');
    const server = new Background(this.#namespace.within([...nodeCommand(program), folder, address]));
    this.#hosts.set(address, this.#owned.use(server));
    await server.printed(/^ready$/m);
  }

  /** Another host has the address: its certificate is for the same name, and of another authority. */
  async takeOver(address: string): Promise<void> {
    await this.takeDown(address);
    const path = (name: string) => join(this.#room, 'other', name);
    const identity = ['-cert', path('server.crt'), '-key', path('server.key')] as const;
    const server = ['openssl', 's_server', '-accept', `${address}:443`, ...identity, '-www'] as const;
    const host = new Background(this.#namespace.within([...server]));
    this.#hosts.set(address, this.#owned.use(host));
    await host.printed(/ACCEPT/);
  }

  async takeDown(address: string): Promise<void> {
    await this.#hosts.get(address)?.end('SIGKILL');
    this.#hosts.delete(address);
  }

  async restart(): Promise<void> {
    this.#before += this.#server?.output ?? '';
    await this.#server?.end('SIGKILL');
    const serve = [this.#program, 'serve', '--config', join(this.#room, 'outpost-dns.yaml')] as const;
    const env = { ...machineEnvironment(), ...this.#region.environment };
    this.#server = this.#owned.use(new Background(this.#namespace.within([...serve]), { env }));
  }

  /** Asks until the status has it; every answer meanwhile is kept. */
  async until(what: string, is: (endpoint: Endpoint) => boolean): Promise<void> {
    let last: unknown;
    await eventually(what, WITHIN_MS, async () => {
      await this.#ask();
      const page = await must(
        this.#namespace.within(['curl', '--silent', '--fail', 'http://127.0.0.1:9153/status']),
      );
      const [endpoint] = (JSON.parse(page) as StatusReport).endpoints; // our own server's
      last = endpoint && { addresses: endpoint.addresses, withheld: endpoint.withheld };
      return endpoint !== undefined && is(endpoint) ? true : undefined;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(last)}`, { cause: error });
    });
  }

  /** The answers of some time, which are kept as well. */
  async answersFor(ms: number): Promise<readonly string[][]> {
    const from = this.answers.length;
    for (const endMs = performance.now() + ms; performance.now() < endMs; ) await this.#ask();
    return this.answers.slice(from);
  }

  async #ask(): Promise<void> {
    const within = this.#namespace.within.bind(this.#namespace);
    const { answer } = await dig(within, '@127.0.0.1', '-p', '5300', ENDPOINT, '+tries=3', '+timeout=5');
    this.answers.push(answer.map(({ data }) => data));
  }

  explain(): Promise<string> {
    const place = ['--state', join(this.#room, 'state')] as const;
    return must(this.#namespace.within([this.#program, 'explain', ENDPOINT, ...place]));
  }

  async command(path: string, body: unknown): Promise<void> {
    await callSandbox(this.#region.controlPath, 'POST', path, body);
  }

  /** The lines of all servers so far. */
  log(): readonly string[] {
    return `${this.#before}${this.#server?.output ?? ''}`.split('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}
