/** The order of the resolver's steps: what the reasons allow changes no answer, and each reason is a real one. */
import t from 'tap';
import { ownQuery, parseQuery } from '../../../src/protocol/wire/query.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { typeName } from '../../../src/protocol/words/codes.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import type { Step } from '../../../src/serving/turn.ts';
import { rr } from '../../helpers/zone-text.ts';
import { type QueryText, queryOf } from './messages.ts';
import { addresses, denial, ENDPOINT, endpointRecord, Rig, TYPE } from './rig.ts';

const EC2_NAME = 'ip-10-0-3-10.us-west-2.compute.internal';
const REVERSE = '10.1.0.10.in-addr.arpa';

/** The questions of endpoint-names.test.ts, and for every other step some that it alone answers as it does. */
const QUESTIONS: readonly QueryText[] = [
  ...[
    'A',
    'AAAA',
    'HTTPS',
    'SVCB',
    'TXT',
    'MX',
    'CNAME',
    'SRV',
    'PTR',
    'TYPE65280',
    'ANY',
    'SOA',
    'NS',
    'DS',
  ].map((type) => ({ name: ENDPOINT, type })),
  ...[`api.${ENDPOINT}`, `a.b.c.${ENDPOINT}`, `_https._tcp.${ENDPOINT}`, `x._status.${ENDPOINT}`].flatMap(
    (name) => ['A', 'AAAA', 'TXT', 'ANY'].map((type) => ({ name, type })),
  ),
  ...['PTR', 'A', 'ANY'].map((type) => ({ name: REVERSE, type })),
  ...['1.0.10.in-addr.arpa', '0.10.in-addr.arpa', '11.1.0.10.in-addr.arpa'].map((name) => ({
    name,
    type: 'SOA',
  })),
  ...['TXT', 'ANY', 'A'].map((type) => ({ name: `_STATUS.${ENDPOINT}`, type })),
  ...['AXFR', 'IXFR'].flatMap((type) =>
    [ENDPOINT, `api.${ENDPOINT}`, 'www.example'].map((name) => ({ name, type, edns: {} })),
  ),
  { name: ENDPOINT.toUpperCase() },
  { name: ENDPOINT, rd: false },
  { name: ENDPOINT, cd: true },
  { name: ENDPOINT, rd: false, cd: true, edns: { dnssecOk: true } },
  { name: ENDPOINT, type: 'AXFR', qclass: 3, edns: {} },
  { name: 'version.bind', type: 'TXT', qclass: 3 },
  ...[
    'localhost',
    'www.own.example',
    'both.example',
    'kept.failing.example',
    'x.failing.example',
    'www.static.example',
    'sts.us-west-2.amazonaws.com',
    'ec2.us-west-2.amazonaws.com',
    'www.fresh.example',
    'www.stale.example',
    'www.corp.example',
    'www.unknown.example',
    EC2_NAME,
    EC2_NAME.replace('3', '4'),
    `${ENDPOINT}.com`,
  ].flatMap((name) => [
    { name, edns: {} },
    { name, edns: {}, rd: false },
    { name, type: 'AAAA', edns: {} },
    { name, type: 'AAAA', edns: {}, rd: false },
  ]),
  { name: 'own.example', type: 'DS' },
  { name: 'own.example', type: 'DS', rd: false },
  { name: 'signed.example', type: 'DS' },
];

/** A message of class CH, then one that is malformed: a step that reads a question before it is known to be there reads the first. */
const MALFORMED = [
  queryOf({ name: 'id.server', type: 'TXT', qclass: 3 }),
  queryOf({ name: ENDPOINT }).subarray(0, 20),
];

/** The list as it is. */
let usual: readonly Step[] = [];

/** Every answer of a site, connected and then cut off, as text. */
async function answers(order?: readonly string[]): Promise<readonly string[]> {
  const rig = new Rig({
    arrange: (steps) => {
      usual = steps;
      return order === undefined
        ? steps
        : steps.toSorted((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
    },
    records: [endpointRecord({ addresses: ['10.0.1.10', '10.0.2.10', '10.0.3.10'] })],
    identity: { version: '1' },
    rules: [
      { name: 'gr7.us-west-2.eks.amazonaws.com', answer: 'nxdomain' },
      { name: 'own.example', records: [rr('www.own.example 60 A 10.0.0.2')] },
      { name: 'signed.example', records: [rr('www.signed.example 60 A 10.0.0.4')] },
      { name: 'both.example', records: [rr('both.example 60 A 10.0.0.3')] },
      { name: 'corp.example', forwardTo: 'corp' },
    ],
    disconnected: {
      regions: ['us-west-2'],
      zones: [
        { name: 'failing.example', whileDisconnected: 'servfail' },
        { name: 'static.example', whileDisconnected: [rr('www.static.example 60 A 10.7.7.7')] },
      ],
    },
  });
  for (const name of ['ec2.us-west-2.amazonaws.com', 'www.stale.example', EC2_NAME]) store(rig, name);
  store(rig, 'signed.example', TYPE.DS);
  await rig.time.advance(100_000);
  for (const name of ['sts.us-west-2.amazonaws.com', 'www.fresh.example', 'www.static.example'])
    store(rig, name);
  for (const name of ['both.example', 'kept.failing.example'])
    rig.cache.retain(
      name,
      TYPE.A,
      { message: addresses(`${name} A`, ['10.0.0.9']), ageMs: 0 },
      rig.time.monotonicMs(),
    );
  const found: string[] = [];
  for (const state of ['connected', 'cut off']) {
    if (state === 'cut off') rig.down.add('default').add('corp');
    for (const query of [...QUESTIONS, ...MALFORMED]) {
      const reply = now(rig, query);
      const asked = query instanceof Uint8Array ? query.toString('hex') : JSON.stringify(query);
      found.push(`${state}: ${asked}: ${reply}`);
    }
  }
  return found;
}

function now(rig: Rig, query: QueryText | Buffer): string {
  try {
    const reply = rig.now(query);
    return typeof reply === 'string' ? reply : reply.octets.toString('hex');
  } catch (error) {
    return String(error); // a wrong order may write a broken reply
  }
}

function store(rig: Rig, name: string, type: number = TYPE.A): void {
  const query = ownQuery(nameToWire(name), type, false);
  parseQuery(query, query.octets, 0, query.octets.length);
  const question = `${name} ${typeName(type)}`;
  const message = type === TYPE.A ? addresses(question, ['192.0.2.1'], 60) : denial(question, 0, 60);
  const index = indexResponse(message);
  if (index.kind === 'fault') throw new Error(index.reason);
  rig.cache.store(query, message, index, rig.time.monotonicMs());
}

/** Every order in which each step stands after the steps that it must stand after. */
function* orders(left: readonly Step[], before: readonly Step[] = []): Generator<readonly Step[]> {
  if (left.length === 0) yield before;
  for (const step of left) {
    const isReady = Object.keys(step.after).every((name) => before.some((earlier) => earlier.name === name));
    if (isReady)
      yield* orders(
        left.filter((other) => other !== step),
        [...before, step],
      );
  }
}

const expected = await answers();
const indexOf = (name: string): number => usual.findIndex((step) => step.name === name);

t.test('the list itself keeps to its reasons, and each of them names a step', async (t) => {
  t.equal(new Set(usual.map(({ name }) => name)).size, usual.length, 'no name twice');
  for (const [at, { name, why, after }] of usual.entries()) {
    t.ok(why.length > 20, `${name} says why it is there`);
    for (const [earlier, reason] of Object.entries(after)) {
      t.ok(indexOf(earlier) >= 0 && indexOf(earlier) < at, `${earlier} stands before ${name}`);
      t.ok(reason.length > 10, `${name} says why it stands after ${earlier}`);
    }
  }
});

t.test('every order that the reasons allow gives the same answers', async (t) => {
  let count = 0;
  for (const order of orders(usual)) {
    count++;
    const names = order.map(({ name }) => name);
    t.same(await answers(names), expected, names.join(', '));
  }
  t.ok(count > 1, `${count} orders`);
});

t.test('each reason is a real one: without it an answer changes', async (t) => {
  for (const step of usual) {
    for (const earlier of Object.keys(step.after)) {
      const rest = usual.filter((other) => other !== step);
      const order = rest.toSpliced(indexOf(earlier), 0, step).map(({ name }) => name);
      const changed = (await answers(order)).filter((answer, at) => answer !== expected[at]);
      t.ok(changed.length > 0, `${step.name} before ${earlier}: ${changed[0]?.slice(0, 120)}`);
    }
  }
});
