/**
 * What a reload does with a large configuration is done in steps, each bounded by one zone, record or answer, and
 * STEPS_PER_TURN of them make a turn of the loop. The number of steps is asserted; the longest turn is printed.
 */
import t, { type Test } from 'tap';
import type { LoadedConfig, ZoneConfig } from '../../src/config/config.ts';
import { changedZones, routesOf } from '../../src/daemon/routes.ts';
import { resolverRules } from '../../src/daemon/serving-rooms.ts';
import { composingApexAnswers } from '../../src/protocol/wire/local-answer.ts';
import { parseQuery, Query } from '../../src/protocol/wire/query.ts';
import { indexResponse } from '../../src/protocol/wire/response.ts';
import { JsonList } from '../../src/runtime/json-list.ts';
import { atOnce, inSlices, STEPS_PER_TURN, type Steps } from '../../src/runtime/slices.ts';
import { AnswerCache } from '../../src/serving/answer-cache/answer-cache.ts';
import { Forwarder } from '../../src/serving/forwarder/forwarder.ts';
import { load, SMALLEST } from '../config/loading.ts';
import { collectGarbage } from '../helpers/collect-garbage.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { message, rawRecord } from '../helpers/zone-text.ts';
import { EVIDENCE_WANTED } from '../serving/forwarder/hand-made-upstream.ts';
import { socketTransports } from '../serving/forwarder/udp-kinds.ts';

const time = new VirtualTime();
const ZONES = 10_000;

/** Runs the steps to the end in turns; says how many there were, and prints the longest turn. */
async function measured<T>(t: Test, name: string, steps: Steps<T>): Promise<{ value: T; turns: number }> {
  // processor time of this thread, which other programs on the machine do not lengthen; Linux counts it in steps of 4 ms
  const spentMs = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let [turns, longestMs, startedMs] = [1, 0, spentMs()];
  const turn = async (): Promise<void> => {
    longestMs = Math.max(longestMs, spentMs() - startedMs);
    turns += 1;
    await new Promise((resolve) => setImmediate(resolve));
    startedMs = spentMs();
  };
  const value = await inSlices(steps, turn);
  longestMs = Math.max(longestMs, spentMs() - startedMs);
  t.comment(`${name}: ${turns} turns, the longest ${longestMs.toFixed(1)} ms`);
  return { value, turns };
}

async function withZones(zoneOf: (at: number) => ZoneConfig, count = ZONES): Promise<LoadedConfig> {
  return { ...(await load(SMALLEST)), zones: Array.from({ length: count }, (_, at) => zoneOf(at)) };
}

const recordsZone = (at: number): ZoneConfig => ({
  name: `z${at}.example`,
  records: [
    { owner: `z${at}.example`, ttlSeconds: 60, type: 'A', address: '10.0.0.1' },
    { owner: `www.z${at}.example`, ttlSeconds: 60, type: 'CNAME', target: `z${at}.example` },
  ],
});
const forwardZone = (at: number): ZoneConfig => ({
  name: `z${at}.example`,
  forwardTo: {
    name: `z${at}.example`,
    upstreams: [{ text: `10.${at >> 8}.${at & 255}.1:53`, address: `10.${at >> 8}.${at & 255}.1`, port: 53 }],
  },
  whileDisconnected: 'servfail',
});
/** One zone with all the records, and another below each tenth name. */
const nestedZone = (at: number): ZoneConfig =>
  at > 0
    ? { name: `x.n${at}.example`, answer: 'nxdomain' }
    : {
        name: 'example',
        records: Array.from({ length: ZONES }, (_, one) => ({
          owner: `n${one}.example`,
          ttlSeconds: 60,
          type: 'CNAME',
          target: `n${one + 1}.example`,
        })),
      };

for (const [name, zoneOf, count] of [
  ['zones with records', recordsZone, ZONES],
  ['zones that are forwarded', forwardZone, ZONES],
  ['a zone of ten thousand aliases, each leading to the next, with zones below it', nestedZone, ZONES / 10],
] as const) {
  t.test(`${name}: checked and built in steps`, async (t) => {
    const config = await withZones(zoneOf, count);
    const { value: routes, turns } = await measured(t, 'routes', routesOf(config));
    t.ok(turns >= count / STEPS_PER_TURN);
    const rules = await measured(t, 'rules', resolverRules(config, routes));
    t.ok(rules.turns >= ZONES / STEPS_PER_TURN, `${rules.turns} turns`);
    const same = await measured(t, 'what changed', changedZones(routes, routes));
    t.same(same.value, []);
    const others = (await measured(t, 'routes', routesOf({ ...config, zones: config.zones.slice(1) }))).value;
    t.same((await measured(t, 'what changed', changedZones(routes, others))).value, [config.zones[0]?.name]);
  });
}

t.test('zones of records are kept as octets: V8 has less than 300 octets of each to look at', async (t) => {
  const { zones, ...others } = await withZones(recordsZone);
  const keep = () => {
    const config = { ...others, zones: atOnce(JsonList.of(zones)) };
    const routes = atOnce(routesOf(config));
    return { config, routes, rules: atOnce(resolverRules(config, routes)) };
  };
  keep(); // code and feedback are no part of it
  for (let again = 0; again < 2; again++) collectGarbage(); // the second frees the buffers that the first has found
  const before = process.memoryUsage();
  const kept = keep();
  collectGarbage();
  const after = process.memoryUsage();
  const octetsOf = (key: 'heapUsed' | 'arrayBuffers') => Math.round((after[key] - before[key]) / ZONES);
  t.ok(octetsOf('heapUsed') < 300, `${octetsOf('heapUsed')} octets of the heap a zone`);
  t.ok(octetsOf('arrayBuffers') < 1200, `${octetsOf('arrayBuffers')} octets in buffers a zone`);
  t.equal(kept.routes.zones.length, ZONES);
});

t.test('the answers that all zones share are composed one a step, and once', async (t) => {
  const TTL_SECONDS = 61; // nobody else's
  t.ok([...composingApexAnswers(TTL_SECONDS)].length >= 4);
  t.equal([...composingApexAnswers(TTL_SECONDS)].length, 0);
});

t.test('thousands of groups: made ready in steps, and put in force at once', async (t) => {
  const outside = { clock: time, timers: time, log: new CollectingLog(), evidenceWanted: EVIDENCE_WANTED };
  const random = { uint16: () => 7, uint32: () => 7, fraction: () => 0.5 };
  const { groups: first = [] } = (await measured(t, 'routes', routesOf(await withZones(forwardZone)))).value;
  const transports = socketTransports();
  const forwarder = new Forwarder({ ...outside, random, transports, groups: first.slice(0, 1) });
  t.teardown(() => forwarder.close());
  const { value, turns } = await measured(t, 'groups', forwarder.reconfiguring(first));
  t.ok(turns >= ZONES / STEPS_PER_TURN);
  value.take();
  const left = await measured(t, 'letting go', value.leave());
  t.ok(left.turns >= ZONES / STEPS_PER_TURN);
  t.equal(forwarder.snapshot().upstreams.length, ZONES + 1);
  const back = await measured(t, 'back to one group', forwarder.reconfiguring(first.slice(0, 1)));
  back.value.take();
  await measured(t, 'letting go of all', back.value.leave());
  t.equal(forwarder.snapshot().upstreams.length, 1);
});

t.test(
  'kept answers: forgotten under thousands of names in steps, those that come meanwhile too',
  async (t) => {
    const ANSWERS = 50_000;
    const settings = (await load(SMALLEST)).cache;
    const cache = new AnswerCache({ ...settings, sizeOctets: 256 << 20 });
    const store = (at: number, apex = at % 7000): void => {
      const name = `h${at}.z${apex}.example`;
      const asked = message({ flags: 0x0100, question: [name, 'A'] });
      const query = new Query();
      parseQuery(query, asked, 0, asked.length);
      const reply = message({
        flags: 0x8180,
        question: [name, 'A'],
        answers: [rawRecord(name, 1, 300, Buffer.of(10, 0, 0, 1))],
      });
      const index = indexResponse(reply);
      if (index.kind === 'fault') throw new Error('not a response');
      cache.store(query, reply, index, 0);
    };
    for (let at = 0; at < ANSWERS; at++) store(at);
    t.equal(cache.stats().entries, ANSWERS);
    const forgetting = cache.forgettingUnder(Array.from({ length: 5000 }, (_, at) => `z${at}.example`));
    forgetting.next();
    for (let at = 0; at < 100; at++) store(ANSWERS + at, at);
    const { turns } = await measured(t, 'forgetting', forgetting);
    t.ok(turns >= (ANSWERS + 5000) / STEPS_PER_TURN, 'a step for each answer, and for each name');
    const left = Array.from({ length: ANSWERS }, (_, at) => at).filter((at) => at % 7000 >= 5000).length;
    t.equal(cache.stats().entries, left, 'all others are kept');
    const shrunk = await measured(t, 'shrinking', cache.reconfiguring({ ...settings, sizeOctets: 1 << 20 }));
    t.ok(shrunk.turns > 2);
    t.ok(cache.stats().octets <= 1 << 20);
  },
);
