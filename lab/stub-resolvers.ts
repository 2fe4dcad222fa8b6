/** The stub resolvers of musl and glibc with a search list, as in a pod: connected, and while the upstream is gone. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab, LabCheck } from './check.ts';
import { Background, type Command, eventually, must, run } from './commands.ts';
import { dig } from './dig.ts';
import { BARE_DNSMASQ } from './dnsmasq.ts';
import { Namespace } from './namespace.ts';

const ENDPOINT = 'abc.gr7.us-west-2.eks.amazonaws.com';
const PINNED = ['10.0.1.10', '10.0.2.10'];
const RETAINED = 'registry.corp.example';
const UPSTREAM = '127.0.0.2';
/** As kubelet writes it into a pod. */
const RESOLV_CONF = `nameserver 127.0.0.1
search ns.svc.site.example svc.site.example site.example us-west-2.compute.internal
options ndots:5 timeout:2 attempts:2
`;

/** Names that a client finds in a cut, each with its answer. */
const FOUND: readonly (readonly [what: string, name: string, addresses: readonly string[]])[] = [
  ['the endpoint', ENDPOINT, PINNED],
  ['a retained name', RETAINED, ['10.7.0.5']],
  ['a record of an own zone', 'db.own.example', ['10.7.0.6']],
  ['an alias of an own zone to the endpoint', 'api.own.example', PINNED],
  ['an alias of an own zone to another own zone', 'far.own.example', ['10.7.0.7']],
  ['a record for the time without upstreams', 'sso.cut.example', ['10.7.0.8']],
];

export const stubResolvers: LabCheck = {
  name: 'stubs',
  about: 'musl and glibc with a search list and ndots:5, connected and in a cut',
  tools: ['dig', 'ip', 'dnsmasq', 'musl-gcc', 'gcc', 'git'],
  async run(lab) {
    await using namespace = await Namespace.make();
    namespace.setResolvConf(RESOLV_CONF);
    const within = (command: Command) => namespace.within(command);
    const room = await lab.workshop.room('stubs');
    const config = join(room, 'outpost-dns.yaml');
    await writeFile(config, configuration(room));
    const program = join(await lab.workshop.installed(), 'bin', 'outpost-dns');
    const clients = await compiled(room);
    await using upstream = new Background(within(dnsmasq()));
    await upstream.printed(/started/);
    await using server = new Background(within([program, 'serve', '--config', config]));
    await server.printed(/"listening"/);
    await eventually('the retained name is kept', 20_000, async () => {
      const { answer } = await dig(within, '@127.0.0.1', RETAINED, '+norecurse', '+tries=1');
      return answer.length > 0 ? true : undefined;
    });
    const found = (state: string, names: typeof FOUND) => lookUp(lab, state, names, clients, within);

    await found('connected', FOUND.slice(0, 5));
    await upstream.end('SIGKILL');
    await eventually('the upstream is known to be gone', 60_000, async () => {
      const { status } = await dig(
        within,
        '@127.0.0.1',
        `x.${RETAINED}.lost.example`,
        '+tries=1',
        '+timeout=8',
      );
      const probe = await dig(within, '@127.0.0.1', `${RETAINED}.lost.example`, '+tries=1', '+timeout=8');
      return status === 'SERVFAIL' && probe.status === 'NXDOMAIN' ? true : undefined;
    });
    await found('in a cut', FOUND);
    for (const [client, command] of clients) {
      await lab.step(`in a cut: ${client} gets a failure for an unknown name`, async () => {
        const { code } = await run(within([...command, 'nobody.knows.example']), { timeoutMs: 60_000 });
        assert.notEqual(code, 0);
      });
    }
  },
};

function configuration(room: string): string {
  return `clusters: [{ name: c, endpoint: ${ENDPOINT}, pin: [${PINNED}], probe: { enabled: false } }]
upstreams: [${UPSTREAM}]
listen: { dns: ['127.0.0.1:53'] }
retain: [${RETAINED}]
zones:
  - { name: own.example, records: ['db A 10.7.0.6', 'api CNAME ${ENDPOINT}.', 'far CNAME box.lab.example.'] }
  - { name: lab.example, records: ['box A 10.7.0.7'] }
  - { name: cut.example, whileDisconnected: ['sso A 10.7.0.8'] }
state: { directory: ${join(room, 'state')} }
`;
}

/** An upstream that knows one name, and denies all others. */
function dnsmasq(): Command {
  return [
    ...BARE_DNSMASQ,
    '--no-hosts',
    '--bind-interfaces',
    `--listen-address=${UPSTREAM}`,
    `--host-record=${RETAINED},10.7.0.5`,
    '--address=/#/',
  ];
}

async function compiled(room: string): Promise<readonly (readonly [client: string, command: Command])[]> {
  const source = join(import.meta.dirname, 'outage', 'getaddrinfo.c');
  const [musl, glibc] = [join(room, 'getaddrinfo-musl'), join(room, 'getaddrinfo-glibc')];
  await must(['musl-gcc', '-static', '-Wall', '-o', musl, source]);
  await must(['gcc', '-Wall', '-o', glibc, source]);
  return [
    ['musl', [musl]],
    ['glibc', [glibc]],
  ];
}

async function lookUp(
  lab: Lab,
  state: string,
  names: typeof FOUND,
  clients: Awaited<ReturnType<typeof compiled>>,
  within: (command: Command) => Command,
): Promise<void> {
  for (const [client, command] of clients) {
    for (const [what, name, addresses] of names) {
      await lab.step(`${state}: ${client} finds ${what}`, async () => {
        const { code, stdout, stderr, tookMs } = await run(within([...command, name]), { timeoutMs: 60_000 });
        assert.equal(code, 0, `${name}: ${stderr}`);
        assert.deepEqual(stdout.trim().split('\n').sort(), [...addresses].sort());
        lab.note(`${state}: ${client} found ${what} in ${Math.round(tookMs)} ms`);
      });
    }
  }
}
