/**
 * Resolvers of a site that stay up although their own upstreams are gone: BIND, Unbound and dnsmasq. They answer for the
 * site's zone. About the outside they are silent, answer SERVFAIL or REFUSED, or give kept answers. The forwarder has to
 * tell the two apart, name by name.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { tapFailures } from '../scripts/tap-failures.ts';
import { parseQuery, Query } from '../src/protocol/wire/query.ts';
import { RCODE, typeName } from '../src/protocol/words/codes.ts';
import { systemClock, systemTimers } from '../src/runtime/clock.ts';
import { systemRandom } from '../src/runtime/random.ts';
import type { UpstreamGroup } from '../src/serving/forwarder/exchange.ts';
import { Forwarder } from '../src/serving/forwarder/forwarder.ts';
import { CollectingLog } from '../test/helpers/collecting-log.ts';
import { message, rawRecord, soaData } from '../test/helpers/zone-text.ts';
import { clientQuery, EVIDENCE_WANTED } from '../test/serving/forwarder/hand-made-upstream.ts';
import { socketTransports } from '../test/serving/forwarder/udp-kinds.ts';
import type { Lab, LabCheck } from './check.ts';
import { Background, type Command, eventually, run } from './commands.ts';
import type { Tool } from './tools.ts';
import { unboundCommand } from './unbound.ts';

export const PORT = 15_391;
export const OUTSIDE = { address: '127.0.0.9', port: 15_399 };

interface CutResolver {
  readonly tool: Tool;
  readonly address: string;
  readonly ready: RegExp;
  readonly configure: (folder: string) => Promise<Command>;
}

export const RESOLVERS: readonly CutResolver[] = [
  {
    tool: 'named',
    address: '127.0.0.1', // BIND listens on addresses that an interface has
    ready: /running$/m,
    async configure(folder) {
      await mkdir(join(folder, 'cache'), { recursive: true });
      const zone = join(folder, 'corp.zone');
      await writeFile(
        zone,
        '@ 60 SOA ns.corp.example. x.corp.example. 1 60 60 60 60\n@ NS ns\nns A 10.0.0.1\nwww A 10.0.0.2\nnew A 10.0.0.3\n',
      );
      const file = join(folder, 'named.conf');
      await writeFile(
        file,
        `options { directory "${folder}/cache"; pid-file "${folder}/named.pid"; session-keyfile "${folder}/session.key";
  listen-on port ${PORT} { ${this.address}; }; listen-on-v6 { none; }; recursion yes; dnssec-validation no;
  forward only; forwarders { ${OUTSIDE.address} port ${OUTSIDE.port}; }; };
controls { };
zone "corp.example" { type primary; file "${zone}"; };
`,
      );
      return ['named', '-g', '-c', file];
    },
  },
  {
    tool: 'unbound',
    address: '127.0.0.3',
    ready: /start of service/,
    async configure(folder) {
      return unboundCommand(
        folder,
        `    interface: ${this.address}@${PORT}
    module-config: "iterator"
    do-not-query-localhost: no
    serve-expired: yes
    local-zone: "corp.example." static
    local-data: "www.corp.example. 60 A 10.0.0.2"
    local-data: "new.corp.example. 60 A 10.0.0.3"
forward-zone:
    name: "."
    forward-addr: ${OUTSIDE.address}@${OUTSIDE.port}
`,
      );
    },
  },
  {
    tool: 'dnsmasq',
    address: '127.0.0.4',
    ready: /started/,
    async configure(folder) {
      const file = join(folder, 'dnsmasq.conf');
      await writeFile(
        file,
        `user=root
port=${PORT}
pid-file=${folder}/dnsmasq.pid
no-resolv
no-hosts
listen-address=${this.address}
bind-interfaces
log-facility=-
local=/corp.example/
host-record=www.corp.example,10.0.0.2
host-record=new.corp.example,10.0.0.3
server=${OUTSIDE.address}#${OUTSIDE.port}
`,
      );
      return ['dnsmasq', '--keep-in-foreground', `--conf-file=${file}`];
    },
  },
];

type Says = 'answers' | 'silent' | 'servfail' | 'nxdomain';

export const cutResolvers: LabCheck = {
  name: 'cut-resolvers',
  about:
    'BIND, Unbound and dnsmasq that stay up while their own upstreams are gone: silent, SERVFAIL, NXDOMAIN',
  tools: ['named', 'unbound', 'dnsmasq'],
  async run(lab) {
    const outside = createSocket('udp4');
    let says: Says = 'answers';
    outside.on('message', (octets, from) => {
      if (says === 'silent') return;
      const reply = says === 'answers' ? answeredReply(octets) : failedReply(octets, says);
      outside.send(reply, from.port, from.address);
    });
    outside.bind(OUTSIDE.port, OUTSIDE.address);
    await once(outside, 'listening');
    try {
      for (const resolver of RESOLVERS)
        for (const cut of ['silent', 'servfail', 'nxdomain'] as const) {
          says = 'answers';
          await oneCut(lab, resolver, cut, (next) => {
            says = next;
          });
        }
    } finally {
      outside.close();
    }
    await lab.step("the README's table, behind each resolver, in each kind of cut", () => readmeTable(lab));
  },
};

function answeredReply(octets: Uint8Array): Buffer {
  const { query, name } = queryIn(octets);
  const answers = query.qtype === 1 ? [rawRecord(name, 'A', 5, [192, 0, 2, 80])] : [];
  return message({ id: query.id, flags: 0x8180, question: [name, typeName(query.qtype)], answers });
}

/** A denial of the outside; RFC 2308 section 5: a resolver passes on a denial that has an SOA. */
export function failedReply(octets: Uint8Array, says: 'servfail' | 'nxdomain'): Buffer {
  const { query, name } = queryIn(octets);
  const isDenied = says === 'nxdomain';
  const owner = name.split('.').at(-1) || '.';
  return message({
    id: query.id,
    flags: 0x8180 | (isDenied ? RCODE.NXDOMAIN : RCODE.SERVFAIL),
    question: [name, typeName(query.qtype)],
    authorities: isDenied ? [rawRecord(owner, 'SOA', 5, soaData(5))] : [],
  });
}

function queryIn(octets: Uint8Array): { readonly query: Query; readonly name: string } {
  const query = new Query();
  parseQuery(query, octets, 0, octets.length);
  return { query, name: query.nameText() };
}

/** The whole server behind each of them: `readme-table.ts` is a program of tap, whose assertions count as one step here. */
async function readmeTable(lab: Lab): Promise<void> {
  const program = join(import.meta.dirname, 'readme-table.ts');
  const words = ['--disable-warning=ExperimentalWarning', program] as const;
  const { code, signal, stdout, stderr } = await run([process.execPath, ...words], { timeoutMs: 900_000 });
  lab.note(/^# \{ total.*$/m.exec(stdout)?.[0] ?? 'the program did not end');
  if (code === 0) return;
  throw new Error([signal ?? `exit code ${code}`, ...tapFailures(stdout), stderr].join('\n').trimEnd());
}

async function oneCut(lab: Lab, resolver: CutResolver, cut: Says, set: (says: Says) => void): Promise<void> {
  const folder = await lab.workshop.room(`cut-resolvers/${resolver.tool}-${cut}`);
  await using server = new Background(await resolver.configure(folder));
  await server.printed(resolver.ready);
  const { address } = resolver;
  const route: UpstreamGroup = { name: '.', upstreams: [{ text: resolver.tool, address, port: PORT }] };
  const forwarder = new Forwarder({
    evidenceWanted: EVIDENCE_WANTED,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log: new CollectingLog(),
    groups: [route],
    transports: socketTransports(),
  });
  const ask = (name: string) => forwarder.forward(clientQuery(name), route);
  const isAnswered = async (name: string): Promise<boolean> => {
    const outcome = await ask(name);
    return outcome.kind === 'response' && outcome.index.answersQtype;
  };
  const isCut = (name: string): boolean => forwarder.isCut(clientQuery(name), route);
  try {
    await lab.step(`${resolver.tool}, ${cut}: connected, all names are answered`, async () => {
      await eventually('it answers', 15_000, async () =>
        (await isAnswered('www.corp.example')) ? true : undefined,
      );
      assert.ok(await isAnswered('www.before.example'));
    });
    set(cut);
    await lab.step(
      `${resolver.tool}, ${cut}: a name of the outside ends within the deadline, and is then known to fail`,
      async () => {
        const startMs = performance.now();
        const outcome = await ask('www.outside.example');
        assert.ok(performance.now() - startMs < 8_000, `${Math.round(performance.now() - startMs)} ms`);
        lab.note(
          `${resolver.tool}, ${cut}: ${outcome.kind === 'failed' ? outcome.reason : `rcode ${outcome.index.rcode}`} after ${Math.round(performance.now() - startMs)} ms`,
        );
        if (cut === 'nxdomain') {
          // believed, unless a kept answer contradicts it; the tests of the answer cache hold this
          assert.equal(outcome.kind === 'response' && outcome.index.rcode, RCODE.NXDOMAIN);
          return;
        }
        await eventually('it is cut', 60_000, async () => (isCut('www.outside.example') ? true : undefined));
      },
    );
    await lab.step(`${resolver.tool}, ${cut}: names of the site stay as they are, new ones too`, async () => {
      assert.ok(await isAnswered('www.corp.example'));
      assert.ok(await isAnswered('new.corp.example'));
      assert.ok(!isCut('other.corp.example'));
      assert.ok(!forwarder.isDown(route), 'and the resolver is up');
    });
    set('answers');
    await lab.step(`${resolver.tool}, ${cut}: the outside is back`, async () => {
      await eventually('it is asked again', 60_000, async () => {
        if (isCut('www.outside.example')) await sleep(100);
        else if (cut === 'nxdomain' || (await isAnswered('www.outside.example'))) return true;
        return undefined;
      });
    });
  } finally {
    forwarder.close();
  }
}
