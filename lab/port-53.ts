/** Other servers at port 53 of the same host: the server starts beside some of them, and names the others in its error. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabCheck } from './check.ts';
import { Background, type Command, eventually, must, run } from './commands.ts';
import { dig } from './dig.ts';
import { BARE_DNSMASQ } from './dnsmasq.ts';
import { Namespace } from './namespace.ts';

const HOST_ADDRESS = '10.0.9.53';
const LATER_ADDRESS = '10.0.9.50';
/** The address of systemd-resolved's stub; dnsmasq plays the stub here. */
const STUB_ADDRESS = '127.0.0.53';
const PINNED = '10.0.1.10';
const ENDPOINT = 'abc.gr7.us-west-2.eks.amazonaws.com';

export const port53: LabCheck = {
  name: 'port53',
  about: 'with another DNS server on the same host',
  tools: ['dig', 'ip', 'dnsmasq', 'git'],
  async run(lab) {
    await using namespace = await Namespace.make([HOST_ADDRESS]);
    const within = (command: Command) => namespace.within(command);
    const room = await lab.workshop.room('port53');
    const config = join(room, 'outpost-dns.yaml');
    await writeFile(
      config,
      `clusters: [{ name: c, endpoint: ${ENDPOINT}, pin: [${PINNED}], probe: { enabled: false } }]
upstreams: [127.0.0.1:5399]
state: { directory: ${join(room, 'state')} }
`,
    );
    const program = join(await lab.workshop.installed(), 'bin', 'outpost-dns');
    const serve = within([program, 'serve', '--config', config]);
    const other = (...options: string[]) => new Background(within([...BARE_DNSMASQ, ...options]));

    await lab.step(`it starts beside a stub at ${STUB_ADDRESS} and answers everywhere else`, async () => {
      await using stub = other(`--listen-address=${STUB_ADDRESS}`, '--bind-interfaces');
      await stub.printed(/started/);
      await using server = new Background(serve);
      await server.printed(/"listening"/);
      await must(['ip', '-n', namespace.name, 'address', 'add', `${LATER_ADDRESS}/32`, 'dev', 'lo']);
      for (const address of ['127.0.0.1', HOST_ADDRESS, '::1', LATER_ADDRESS])
        for (const transport of ['+notcp', '+tcp'])
          await eventually(`${address} answers, ${transport}`, 20_000, async () => {
            const { answer } = await dig(
              within,
              `@${address}`,
              ENDPOINT,
              transport,
              '+tries=1',
              '+timeout=1',
            );
            return answer[0]?.data === PINNED ? true : undefined;
          });
      await must(within(['dig', `@${STUB_ADDRESS}`, 'version.bind', 'CH', 'TXT', '+tries=1']));
    });
    await lab.step('where all of port 53 is taken it names the other program, and exits with 1', async () => {
      await using server = other();
      await server.printed(/started/);
      const { code, stdout, stderr } = await run(serve);
      assert.equal(code, 1, `${stdout}${stderr}`);
      assert.match(stderr, /^outpost-dns: cannot listen on "[^"]+:53" .*in use by .*ss -lntup sport = :53/m);
      assert.match(await must(within(['ss', '-lntup', 'sport', '=', ':53'])), /dnsmasq/);
    });
  },
};
