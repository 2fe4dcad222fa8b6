/**
 * docs/two-servers.md: keepalived moves one address between two servers that share nothing, and a client knows that address alone.
 * Each server answers the endpoint with an address of its own, so that an answer says who gave it.
 */
import assert from 'node:assert/strict';
import { mkdirSync, rmdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AddressEvents } from './address-events.ts';
import type { Lab, LabCheck } from './check.ts';
import { atTheEnd, Background, type Command, eventually, must } from './commands.ts';
import { dig } from './dig.ts';
import { INTERFACE, Lan } from './lan.ts';
import { commandsOf, fencedBlocks } from './markdown.ts';
import type { Namespace } from './namespace.ts';
import { type Answered, SteadyClient } from './steady-client.ts';
import { root } from './workshop.ts';

const ENDPOINT = 'abc.gr7.us-west-2.eks.amazonaws.com'; // as in the example
const VIRTUAL = { 4: '10.0.9.50', 6: 'fd00:9::50' } as const; // the example's, and one for its IPv6 lines
const PINS = ['10.0.1.10', '10.0.1.20'] as const;
/** Where the example and the page have the program. */
const INSTALLED = '/usr/lib/outpost-dns';
const QUERIES_PER_SECOND = 100;
/** What an operator is promised; a machine that stands still takes longer, so this is reported and not asserted. */
const PROMISED_MS = { answered: 100, lost: 3000 };
const MOVED_WITHIN_MS = 60_000;
/** The page's commands that need systemd: the lab starts keepalived itself. */
const WITH_SYSTEMD = /^systemctl /;

type Break = (host: Host) => Promise<() => Promise<void>>;

const BREAKS: readonly (readonly [what: string, make: Break])[] = [
  [
    'its process is killed',
    async (host) => {
      await host.server.end('SIGKILL');
      return () => host.start();
    },
  ],
  [
    'its process is stopped (SIGSTOP)',
    async (host) => {
      process.kill(host.server.pid, 'SIGSTOP');
      return async () => void process.kill(host.server.pid, 'SIGCONT');
    },
  ],
  [
    'its cable is pulled',
    async (host) => {
      await host.lan.setCable(host.at, 'down');
      return () => host.lan.setCable(host.at, 'up');
    },
  ],
  [
    'the network beyond its switch is cut, which the host cannot see',
    async (host) => {
      await host.lan.setForwarding(host.at, false);
      return () => host.lan.setForwarding(host.at, true);
    },
  ],
];

export const keepalived: LabCheck = {
  name: 'keepalived',
  about: 'keepalived moves an address between two servers: the master killed, stopped, cut off',
  tools: ['dig', 'ip', 'git', 'keepalived'],
  async run(lab) {
    await using site = await Site.start(lab);
    await lab.step('the commands of docs/two-servers.md, on both hosts', () => site.followThePage());
    const began = await lab.step('the first host has the address, and its server answers', async () => {
      for (const host of site.hosts) await host.startKeepalived();
      await site.untilAnsweredBy(0);
    });
    if (!began) return;
    await site.startClients();
    const moves: Move[] = [];
    for (const [what, make] of BREAKS) {
      const moved = await lab.step(
        `${what}: the second host answers, and the first one again after it`,
        async () => {
          const fromMs = Date.now();
          const restore = await make(site.first);
          try {
            await site.untilAnsweredBy(1);
            moves.push({ what, fromMs, untilMs: Date.now() });
          } finally {
            await restore();
          }
          await site.untilAnsweredBy(0);
          await sleep(500); // its return is seen too
        },
      );
      if (!moved) return;
    }
    await lab.step('every move is one loss, and its answers come after the address', async () => {
      for (const family of [4, 6] as const) await report(lab, site, family, moves);
    });
    await lab.step(
      'both servers killed: the first host keeps the address, and answers when its server is back',
      async () => {
        for (const host of site.hosts) await host.server.end('SIGKILL');
        await sleep(3000); // both checks have failed then
        await eventually('the first host alone has the address', MOVED_WITHIN_MS, async () => {
          const holders = await site.holders();
          return holders.length === 1 && holders[0] === site.first ? true : undefined;
        });
        for (const host of site.hosts) await host.start();
        await site.untilAnsweredBy(0);
      },
    );
    await lab.step(
      'addresses named in listen.dns: the second host answers at the address that comes',
      async () => {
        for (const host of site.hosts) {
          await host.server.end();
          await host.start(['127.0.0.1:53', `${host.address}:53`, `${VIRTUAL[4]}:53`, `[${VIRTUAL[6]}]:53`]);
        }
        await site.untilAnsweredBy(0);
        await site.first.server.end('SIGKILL');
        await site.untilAnsweredBy(1);
      },
    );
  },
};

interface Move {
  readonly what: string;
  /** When the first host was broken, and when the second one had answered, in ms since 1970. */
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Prints what a client at 100 queries a second lost in each move, and how long after the arrival of the address it was answered. */
async function report(lab: Lab, site: Site, family: 4 | 6, moves: readonly Move[]): Promise<void> {
  const answered = await site.answered(family);
  const arrivals = site.arrivals(1, VIRTUAL[family]);
  for (const [at, { what, fromMs, untilMs }] of moves.entries()) {
    const arrivedMs = arrivals.find((ms) => ms > fromMs && ms <= untilMs);
    assert.ok(arrivedMs !== undefined, `${what}: the address came to the second host`);
    const first = answered.find(({ sentMs, tookMs }) => sentMs + tookMs > arrivedMs);
    assert.ok(first !== undefined, `${what}: the client is answered after it`);
    const afterMs = first.sentMs + first.tookMs - arrivedMs;
    const lostMs = longestGapMs(answered, fromMs, untilMs);
    const backMs = longestGapMs(answered, untilMs, moves[at + 1]?.fromMs ?? Number.POSITIVE_INFINITY);
    const isKept = afterMs <= PROMISED_MS.answered && lostMs <= PROMISED_MS.lost;
    lab.note(
      `${VIRTUAL[family]}, ${what}: ${lostMs.toFixed(0)} ms without an answer; answered ${afterMs.toFixed(0)} ms after its arrival; ` +
        `its return: ${backMs.toFixed(0)} ms without an answer${isKept ? '' : ' (later than promised: a busy machine?)'}`,
    );
  }
}

/** The longest time between two answered queries of which the second was sent in this time. */
function longestGapMs(answered: readonly Answered[], fromMs: number, untilMs: number): number {
  const gaps = answered.map(({ sentMs }, at) =>
    sentMs > fromMs && sentMs <= untilMs ? sentMs - (answered[at - 1]?.sentMs ?? sentMs) : 0,
  );
  return Math.max(...gaps);
}

class Host implements AsyncDisposable {
  readonly lan: Lan;
  readonly at: number;
  readonly address: string;
  readonly #bundle: string;
  readonly #configFile: string;
  readonly #owned = new AsyncDisposableStack();
  #server: Background | undefined;
  #events: AddressEvents | undefined;

  constructor(lan: Lan, at: number, address: string, bundle: string, configFile: string) {
    this.lan = lan;
    this.at = at;
    this.address = address;
    this.#bundle = bundle;
    this.#configFile = configFile;
  }

  get #namespace(): Namespace {
    const namespace = this.lan.hosts[this.at];
    if (namespace === undefined) throw new Error(`no host ${this.at}`);
    return namespace;
  }

  get server(): Background {
    if (this.#server === undefined) throw new Error('no server runs');
    return this.#server;
  }

  get events(): AddressEvents | undefined {
    return this.#events;
  }

  /** The command on this host, where the program is installed as by a package. */
  within([...command]: Command): Command {
    const script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
    return this.#namespace.within(['sh', '-c', script, 'sh', this.#bundle, INSTALLED, ...command]);
  }

  /** `listen` replaces the wildcards. */
  async start(listen?: readonly string[]): Promise<void> {
    const pin = PINS[this.at];
    const folder = `${this.#configFile}.state`;
    await writeFile(
      this.#configFile,
      JSON.stringify({
        clusters: [
          { name: 'c', endpoint: ENDPOINT, sources: ['dns'], pin: [pin], probe: { enabled: false } },
        ],
        upstreams: ['127.0.0.1:5399'],
        state: { directory: folder },
        ...(listen === undefined ? {} : { listen: { dns: listen } }),
      }),
    );
    const program = join(INSTALLED, 'bin', 'outpost-dns');
    this.#server = this.#owned.use(
      new Background(this.within([program, 'serve', '--config', this.#configFile])),
    );
    await this.#server.printed(/"listening"/);
  }

  setKeepalived(text: string): void {
    this.#namespace.setFile('keepalived/keepalived.conf', text);
  }

  async startKeepalived(): Promise<void> {
    this.#events = this.#owned.use(new AddressEvents(this.#namespace));
    const pid = (name: string): string => `--${name}=${this.#configFile}.${name}`;
    const command: Command = [
      'keepalived',
      '--dont-fork',
      '--log-console',
      '--vrrp',
      pid('pid'),
      pid('vrrp_pid'),
    ];
    const started = this.#owned.use(new Background(this.within(command)));
    await started.printed(/Entering BACKUP STATE/);
    assert.doesNotMatch(started.output, /\bline \d|warning|error|unknown|unsafe/i);
  }

  async hasAddress(address: string): Promise<boolean> {
    return (await must(this.#namespace.within(['ip', 'address', 'show', 'dev', INTERFACE]))).includes(
      `${address}/`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // a stopped process does not hear that it has to end
    if (this.#server?.hasEnded === false) process.kill(this.#server.pid, 'SIGCONT');
    await this.#owned[Symbol.asyncDispose]();
  }
}

class Site implements AsyncDisposable {
  readonly hosts: readonly Host[];
  readonly #lan: Lan;
  readonly #room: string;
  readonly #owned: AsyncDisposable;
  readonly #clients = new Map<4 | 6, SteadyClient>();

  private constructor(lan: Lan, hosts: readonly Host[], room: string, owned: AsyncDisposable) {
    this.#lan = lan;
    this.hosts = hosts;
    this.#room = room;
    this.#owned = owned;
  }

  static async start({ workshop }: Lab): Promise<Site> {
    await using owned = new AsyncDisposableStack();
    const bundle = await workshop.bundle();
    const room = await workshop.room('keepalived');
    owned.defer(makeFolder(INSTALLED));
    const addresses = ['10.0.9.53', '10.0.9.54'];
    const lan = owned.use(
      await Lan.make(
        ['10.0.9.1/24', 'fd00:9::1/64'],
        addresses.map((address) => [`${address}/24`]),
      ),
    );
    const hosts = addresses.map((address, at) =>
      owned.use(new Host(lan, at, address, bundle, join(room, `host-${at}.yaml`))),
    );
    for (const host of hosts) await host.start();
    return new Site(lan, hosts, room, owned.move());
  }

  get first(): Host {
    const [host] = this.hosts;
    if (host === undefined) throw new Error('no host');
    return host;
  }

  /** Types the commands of the page on each host; then the file has what the page says to edit. */
  async followThePage(): Promise<void> {
    const page = await readFile(join(root, 'docs/two-servers.md'), 'utf8');
    const commands = fencedBlocks(page)
      .filter(({ language }) => language === 'sh')
      .flatMap(commandsOf);
    assert.ok(commands.some((command) => command.includes('keepalived.conf')));
    for (const host of this.hosts) {
      host.setKeepalived('');
      for (const command of commands.filter((one) => !WITH_SYSTEMD.test(one)))
        await must(host.within(['sh', '-c', command]));
      host.setKeepalived(await edited(host.at));
    }
  }

  /** Resolves when the host at this index answers at the IPv4 and the IPv6 address. */
  async untilAnsweredBy(at: number): Promise<void> {
    for (const address of Object.values(VIRTUAL))
      await eventually(`host ${at + 1} answers at ${address}`, MOVED_WITHIN_MS, async () => {
        const within = (command: Command) => this.#lan.client.within(command);
        const { answer } = await dig(within, `@${address}`, ENDPOINT, '+tries=1', '+timeout=1');
        return answer[0]?.data === PINS[at] ? true : undefined;
      });
  }

  async startClients(): Promise<void> {
    for (const family of [4, 6] as const) {
      const file = join(this.#room, `client-${family}`);
      const { client } = this.#lan;
      this.#clients.set(
        family,
        await SteadyClient.start(client, VIRTUAL[family], ENDPOINT, QUERIES_PER_SECOND, file),
      );
    }
    await sleep(500); // it has answers before the first break
  }

  /** The answered queries of the client, which ends with this. */
  async answered(family: 4 | 6): Promise<readonly Answered[]> {
    const client = this.#clients.get(family);
    if (client === undefined) throw new Error('no client runs');
    return client.end();
  }

  /** When the address came to the host, in ms since 1970. */
  arrivals(at: number, address: string): number[] {
    return this.hosts[at]?.events?.of(address) ?? [];
  }

  async holders(): Promise<Host[]> {
    const has = await Promise.all(this.hosts.map((host) => host.hasAddress(VIRTUAL[4])));
    return this.hosts.filter((_, at) => has[at]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients.values()) await client[Symbol.asyncDispose]();
    await this.#owned[Symbol.asyncDispose]();
  }
}

/** The example as an operator edits it: the priority of the second host, and the lines for IPv6. */
async function edited(at: number): Promise<string> {
  const example = await readFile(join(root, 'config/keepalived/keepalived.conf'), 'utf8');
  assert.ok(example.includes(`${VIRTUAL[4]}/24`) && example.includes(`interface ${INTERFACE} `));
  assert.ok(example.includes(ENDPOINT));
  const withIpv6 = example
    .replaceAll(/^ {4}#(?= {3}|virtual_|\})/gm, '    ')
    .replace(/2001:db8[\da-f:]*/, VIRTUAL[6]);
  assert.ok(withIpv6.includes(VIRTUAL[6]));
  return at === 0 ? withIpv6 : withIpv6.replace('priority 100', 'priority 90');
}

/** Makes the folder for the mounts of the hosts; the result removes it where it was not there. */
function makeFolder(path: string): () => void {
  const isNew = mkdirSync(path, { recursive: true }) !== undefined;
  const remove = () => {
    if (isNew) rmdirSync(path);
  };
  const release = atTheEnd(remove);
  return () => {
    release();
    remove();
  };
}
