/**
 * Three hosts and the two links between them. A client reaches the site and nothing else; the site reaches the Region over
 * a link that fails in every way that links do.
 *
 *     client 10.9.1.2 --lan-- 10.9.1.1 site 10.9.0.2 --wan-- 10.9.0.1 region
 *                                          \--slow link--/
 */
import { join } from 'node:path';
import { Background, eventually, must } from '../commands.ts';
import { Namespace } from '../namespace.ts';

export const REGION_ADDRESS = '10.9.0.1';
export const SITE_WAN_ADDRESS = '10.9.0.2';
export const SITE_LAN_ADDRESS = '10.9.1.1';
export const CLIENT_ADDRESS = '10.9.1.2';
/** Of the site's own DNS server, on the site's loopback. */
export const SITE_DNS_ADDRESS = '10.9.1.53';

/** In the order of the lab. */
export const CUTS = ['down', 'black hole', 'lossy', 'slow'] as const;
export type Cut = (typeof CUTS)[number];

export const CUT_MEANS: Readonly<Record<Cut, string>> = {
  down: 'ip link set wan down',
  'black hole': 'nft: every packet dropped on arrival, both ways',
  lossy: 'nft: 80 % of the packets dropped on arrival, both ways',
  slow: '1 s each way through a relay of the lab, 2 s there and back',
};

const LOSS_PERCENT = 80;
const DELAY_EACH_WAY_MS = 1000;

export class Network implements AsyncDisposable {
  readonly region: Namespace;
  readonly site: Namespace;
  readonly client: Namespace;
  readonly #owned: AsyncDisposable;
  #cut: Cut | undefined;

  private constructor(
    { region, site, client }: Pick<Network, 'region' | 'site' | 'client'>,
    owned: AsyncDisposable,
  ) {
    this.region = region;
    this.site = site;
    this.client = client;
    this.#owned = owned;
  }

  /** `siteAddresses`: more of them on the site, which clients reach. */
  static async make(siteAddresses: readonly string[]): Promise<Network> {
    await using owned = new AsyncDisposableStack();
    const region = owned.use(await Namespace.make());
    const site = owned.use(await Namespace.make([...siteAddresses, SITE_DNS_ADDRESS]));
    const client = owned.use(await Namespace.make());
    await cable('wan', [site, `${SITE_WAN_ADDRESS}/24`], [region, `${REGION_ADDRESS}/24`]);
    await cable('lan', [site, `${SITE_LAN_ADDRESS}/24`], [client, `${CLIENT_ADDRESS}/24`]);
    await ip(client, 'route', 'add', 'default', 'via', SITE_LAN_ADDRESS);
    await must(site.within(['sh', '-c', 'echo 0 >/proc/sys/net/ipv4/ip_forward']));
    const program = join(import.meta.dirname, 'slow-link.ts');
    const relay = owned.use(
      new Background(site.within([...nodeCommand(program), 'slow', 'slow-far', String(DELAY_EACH_WAY_MS)])),
    );
    await relay.printed(/^ready$/m);
    await ip(site, 'link', 'set', 'slow-far', 'netns', region.name);
    await ip(site, 'link', 'set', 'slow', 'up');
    await ip(region, 'link', 'set', 'slow-far', 'up');
    return new Network({ region, site, client }, owned.move());
  }

  get cut(): Cut | undefined {
    return this.#cut;
  }

  /** Resolves to when it was done, in ms since 1970. */
  async setCut(cut: Cut | undefined): Promise<number> {
    const before = this.#cut;
    this.#cut = cut;
    if (before !== undefined) await this.#restore(before);
    if (cut !== undefined) await this.#break(cut);
    return Date.now();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }

  async #break(cut: Cut): Promise<void> {
    if (cut === 'down') await ip(this.site, 'link', 'set', 'wan', 'down');
    if (cut === 'black hole') await this.#drop('');
    if (cut === 'lossy') await this.#drop(`numgen random mod 100 < ${LOSS_PERCENT}`);
    if (cut !== 'slow') return;
    // more specific than the route over the wan
    await ip(this.region, 'route', 'add', SITE_WAN_ADDRESS, 'dev', 'slow-far', 'src', REGION_ADDRESS);
    await ip(this.site, 'route', 'add', REGION_ADDRESS, 'dev', 'slow', 'src', SITE_WAN_ADDRESS);
  }

  async #restore(cut: Cut): Promise<void> {
    if (cut === 'down') await this.#plugIn();
    if (cut === 'black hole' || cut === 'lossy')
      for (const end of [this.region, this.site])
        await must(end.within(['nft', 'delete', 'table', 'ip', 'cut']));
    if (cut !== 'slow') return;
    await ip(this.site, 'route', 'delete', REGION_ADDRESS, 'dev', 'slow');
    await ip(this.region, 'route', 'delete', SITE_WAN_ADDRESS, 'dev', 'slow-far');
  }

  /** Waits until the kernel has noticed. Before that it sends nothing, and it checks only once a second. */
  async #plugIn(): Promise<void> {
    await ip(this.site, 'link', 'set', 'wan', 'up');
    await eventually('the link is up', 5000, async () => {
      const shown = await must(['ip', '-n', this.site.name, 'link', 'show', 'wan']);
      return shown.includes('state UP') ? true : undefined;
    });
  }

  /** On arrival: a packet that is dropped on its way out is an error for its sender, and no black hole. */
  async #drop(match: string): Promise<void> {
    const chain = `chain input {\ntype filter hook input priority 0\niifname "wan" ${match} drop\n}`;
    for (const end of [this.region, this.site])
      await must(end.within(['nft', '--file', '-']), { input: `table ip cut {\n${chain}\n}\n` });
  }
}

/**
 * Before a command: it is given a processor whenever it has something to do. All hosts of the lab share the machine's few
 * processors, as real hosts do not. The lab measures the server, and not how many clients started at that moment. That holds
 * for the thread with the loop alone: threads and processes that it starts take their turn with all others.
 */
export const FIRST = ['chrt', '--reset-on-fork', '--fifo', '1'] as const;

/** This run's own Node, for the lab's own programs. */
export function nodeCommand(program: string): [string, ...string[]] {
  return [process.execPath, '--disable-warning=ExperimentalWarning', program];
}

type End = readonly [host: Namespace, address: string];

async function cable(name: string, [near, nearAddress]: End, [far, farAddress]: End): Promise<void> {
  const ends = ['netns', near.name, 'type', 'veth', 'peer', 'name', name, 'netns', far.name];
  await must(['ip', 'link', 'add', name, ...ends]);
  for (const [host, address] of [
    [near, nearAddress],
    [far, farAddress],
  ] as const) {
    await ip(host, 'address', 'add', address, 'dev', name);
    await ip(host, 'link', 'set', name, 'up');
  }
}

async function ip(host: Namespace, ...args: string[]): Promise<void> {
  await must(['ip', '-n', host.name, ...args]);
}
