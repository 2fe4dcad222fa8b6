/**
 * The README's table of an outage, row by row. The whole server asks a real resolver of the site, which stays up while its
 * own upstream is gone. A tap program, run by cut-resolvers.ts: `node lab/readme-table.ts`.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { pause, until } from '../test/helpers/patience.ts';
import { lookAt, type OnSite, OVERRIDES, population } from '../test/scenarios/outage-rows.ts';
import { isReady } from '../test/scenarios/readiness.ts';
import { NO_AWS, type ServerProcess } from '../test/scenarios/server-process.ts';
import { ENDPOINT, Site } from '../test/scenarios/site.ts';
import { Background } from './commands.ts';
import { failedReply, OUTSIDE, PORT, RESOLVERS } from './cut-resolvers.ts';

/** The upstream of the site's resolver: the sandbox's DNS while the link is up, and the replies of `says` while it is down. */
class Outside {
  says: OnSite | 'answers' = 'answers';
  readonly #socket: Socket = createSocket('udp4');
  readonly #to: { readonly host: string; readonly port: number };

  constructor(dnsAddress: string) {
    const { hostname: host, port } = new URL(`dns://${dnsAddress}`);
    this.#to = { host, port: Number(port) };
    this.#socket.on('message', (octets, from) => this.#answer(octets, from));
  }

  static async open(t: Test, dnsAddress: string): Promise<Outside> {
    const outside = new Outside(dnsAddress);
    outside.#socket.bind(OUTSIDE.port, OUTSIDE.address);
    await once(outside.#socket, 'listening');
    t.teardown(() => outside.#socket.close());
    return outside;
  }

  #answer(octets: Buffer, from: RemoteInfo): void {
    if (this.says === 'silent') return;
    if (this.says === 'answers') {
      const onward = createSocket('udp4');
      const done = setTimeout(() => onward.close(), 2_000);
      onward.once('message', (reply) => {
        clearTimeout(done);
        onward.close();
        this.#socket.send(reply, from.port, from.address);
      });
      onward.send(octets, this.#to.port, this.#to.host);
      return;
    }
    this.#socket.send(failedReply(octets, this.says), from.port, from.address);
  }
}

async function isCut(server: ServerProcess): Promise<void> {
  await until(
    'the cut is known',
    async () => (await server.status()).link.summary.condition === 'disconnected',
  );
  await pause(1_100); // what is kept is stale then
}

t.setTimeout(900_000);
for (const resolver of RESOLVERS)
  for (const onSite of ['silent', 'servfail', 'nxdomain'] as const)
    t.test(`${resolver.tool}, ${onSite}`, async (t) => {
      const site = await Site.open(t, { population: population() });
      const outside = await Outside.open(t, site.sandbox.dnsAddress);
      const folder = mkdtempSync(join(tmpdir(), 'outpost-dns-resolver-'));
      t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 50 }));
      await using server = new Background(await resolver.configure(folder));
      await server.printed(resolver.ready);
      const overrides = { ...OVERRIDES, upstreams: [`${resolver.address}:${PORT}`] };
      site.configureCluster({ vpcNetworks: ['10.20.0.0/16'] }, overrides);
      const first = site.start();
      await isReady(first);
      await until('the retained name is learned', async () =>
        (await first.status()).retained.some(({ type, state }) => type === 'A' && state === 'fresh'),
      );
      await lookAt(t, first, 'connected', onSite);

      outside.says = onSite;
      site.sandbox.link.set('down');
      await isCut(first);
      await lookAt(t, first, 'cut', onSite);
      const corp = await first.ask({ name: 'www.corp.example', edns: {} }, 10_000);
      t.match(corp, { rcode: 0, answers: [{ data: '10.0.0.2' }] }, 'names of the site stay as they are');
      t.match(await first.kill('SIGTERM'), { code: 0 });

      const second = site.start(NO_AWS);
      await second.firstAnswer({ name: ENDPOINT });
      await until('what was kept is back', async () => {
        const { state, retained } = await second.status();
        return (state.snapshot.loadedAnswers ?? 0) > 0 && retained.length > 0;
      });
      await isCut(second);
      // a denial that arrives before the cut is known looks like a true one, and is given for its TTL
      if (onSite !== 'nxdomain') await lookAt(t, second, 'restarted', onSite);
      await second.kill('SIGTERM');
    });
