/** BIND and Unbound that validate, in front of the server: the parent of a forwarded and of an own zone is signed. */
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabCheck } from './check.ts';
import { Background, type Command, eventually, must } from './commands.ts';
import { type DigReply, dig } from './dig.ts';
import { Namespace } from './namespace.ts';
import { unboundCommand } from './unbound.ts';

const PARENT = '127.0.0.10';
const CHILD = '127.0.0.11';
const OURS = '127.0.0.1';
const ENDPOINT = 'abc.gr7.us-west-2.eks.amazonaws.com';

const ROWS: readonly (readonly [what: string, name: string, data: string, isSecure: boolean])[] = [
  ['a name of the signed parent', 'www.example', '192.0.2.80', true],
  ['a name of a forwarded zone, whose delegation is not signed', 'db.corp.example', '192.0.2.81', false],
  ['a record of an own zone, whose delegation is not signed', 'box.lab.example', '10.7.0.7', false],
  ['an alias of an own zone to the signed parent', 'api.lab.example', '192.0.2.80', false],
  ['an alias of the signed parent to an own zone', 'to-lab.example', '10.7.0.7', false],
];

export const validators: LabCheck = {
  name: 'validators',
  about: 'BIND and Unbound that validate, in front of a forwarded and an own zone under a signed parent',
  tools: ['dig', 'ip', 'named', 'unbound', 'dnssec-signzone', 'git'],
  async run(lab) {
    // BIND listens only at addresses that an interface has
    await using namespace = await Namespace.make([PARENT, CHILD, '127.0.0.4']);
    const within = (command: Command) => namespace.within(command);
    const room = await lab.workshop.room('validators');
    const trusted = await signedParent(room);
    await using parent = new Background(
      within(await authority(room, 'parent', PARENT, 'example', 'example.signed')),
    );
    await writeFile(join(room, 'corp.zone'), zone('corp.example', ['db A 192.0.2.81']));
    await using child = new Background(
      within(await authority(room, 'child', CHILD, 'corp.example', 'corp.zone')),
    );
    const config = join(room, 'outpost-dns.yaml');
    await writeFile(
      config,
      `clusters: [{ name: c, endpoint: ${ENDPOINT}, pin: [10.0.1.10], probe: { enabled: false } }]
upstreams: [${PARENT}]
listen: { dns: ['${OURS}:53'] }
zones:
  - { name: corp.example, forwardTo: [${CHILD}] }
  - { name: lab.example, records: ['box A 10.7.0.7', 'api CNAME www.example.'] }
state: { directory: ${join(room, 'state')} }
`,
    );
    const program = join(await lab.workshop.installed(), 'bin', 'outpost-dns');
    await using server = new Background(within([program, 'serve', '--config', config]));
    await using bind = new Background(within(await validatingBind(room, trusted)));
    await using unbound = new Background(within(await validatingUnbound(room, trusted)));
    for (const one of [parent, child, bind]) await one.printed(/running$/m);
    await server.printed(/"listening"/);
    await unbound.printed(/start of service/);
    for (const [name, address] of [
      ['BIND', '127.0.0.4'],
      ['Unbound', '127.0.0.3'],
    ] as const) {
      const ask = (asked: string, ...more: string[]) =>
        dig(within, `@${address}`, asked, '+dnssec', '+tries=1', ...more);
      await eventually(`${name} answers`, 20_000, async () =>
        (await ask('www.example')).status === 'NOERROR' ? true : undefined,
      );
      for (const [what, asked, data, isSecure] of ROWS) {
        await lab.step(`${name}: ${what}`, async () => isAnswered(await ask(asked), data, isSecure));
      }
      await lab.step(`${name}: a name that the signed parent denies`, async () => {
        const reply = await ask('none.example');
        assert.equal(reply.status, 'NXDOMAIN', reply.text);
      });
    }
  },
};

function isAnswered(reply: DigReply, data: string, isSecure: boolean): void {
  assert.equal(reply.status, 'NOERROR', reply.text);
  assert.ok(
    reply.answer.some((record) => record.data === data),
    reply.text,
  );
  assert.equal(/;; flags:[^;]* ad[ ;]/.test(reply.text), isSecure, reply.text);
}

function zone(apex: string, records: readonly string[]): string {
  return `$ORIGIN ${apex}.
$TTL 60
@ SOA ns hostmaster 1 7200 900 1209600 60
@ NS ns
ns A 127.0.0.99
${records.join('\n')}
`;
}

/** Writes the signed zone; returns the trust anchor as a DNSKEY in presentation form. */
async function signedParent(room: string): Promise<string> {
  const records = [
    'www A 192.0.2.80',
    'to-lab CNAME box.lab',
    'corp NS ns.corp',
    'ns.corp A 127.0.0.11',
    'lab NS ns.lab',
    'ns.lab A 127.0.0.1',
  ];
  await writeFile(join(room, 'example.zone'), zone('example', records));
  await must(['dnssec-keygen', '-K', room, '-a', 'ECDSAP256SHA256', '-f', 'KSK', 'example']);
  await must(['dnssec-keygen', '-K', room, '-a', 'ECDSAP256SHA256', 'example']);
  const signed = join(room, 'example.signed');
  await must([
    'dnssec-signzone',
    '-S',
    '-K',
    room,
    '-d',
    room,
    '-o',
    'example',
    '-f',
    signed,
    join(room, 'example.zone'),
  ]);
  for (const file of await readdir(room)) {
    if (!/^Kexample.*\.key$/.test(file)) continue;
    const key = /DNSKEY (257 .*)/.exec(await readFile(join(room, file), 'utf8'))?.[1];
    if (key !== undefined) return key;
  }
  throw new Error('no key-signing key was made');
}

async function authority(
  room: string,
  name: string,
  address: string,
  apex: string,
  file: string,
): Promise<Command> {
  const conf = join(room, `${name}.conf`);
  await writeFile(
    conf,
    `options { directory "${room}"; pid-file "${room}/${name}.pid"; session-keyfile "${room}/${name}.key";
  listen-on port 53 { ${address}; }; listen-on-v6 { none; }; recursion no; };
controls { };
zone "${apex}" { type master; file "${join(room, file)}"; };
`,
  );
  return ['named', '-g', '-c', conf];
}

async function validatingBind(room: string, key: string): Promise<Command> {
  const [flags, protocol, algorithm, ...octets] = key.split(' ');
  const conf = join(room, 'bind.conf');
  await writeFile(
    conf,
    `options { directory "${room}"; pid-file "${room}/bind.pid"; session-keyfile "${room}/bind.key";
  listen-on port 53 { 127.0.0.4; }; listen-on-v6 { none; }; recursion yes; allow-query { any; };
  dnssec-validation yes; forward only; forwarders { ${OURS}; }; };
controls { };
trust-anchors { "example" static-key ${flags} ${protocol} ${algorithm} "${octets.join('')}"; };
`,
  );
  return ['named', '-g', '-c', conf];
}

function validatingUnbound(room: string, key: string): Promise<Command> {
  return unboundCommand(
    room,
    `    interface: 127.0.0.3
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: no
    trust-anchor: "example. DNSKEY ${key}"
    module-config: "validator iterator"
forward-zone:
    name: "."
    forward-addr: ${OURS}
`,
  );
}
