/** Questions of our own, for the refresh journey: text, a second upstream, and stale answers that confirm nothing. */
import t from 'tap';
import { EXTENDED_ERROR } from '../../../src/protocol/words/codes.ts';
import { systemClock, systemTimers } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import { Forwarder } from '../../../src/serving/forwarder/forwarder.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { PATIENCE_MS } from '../../helpers/patience.ts';
import { rawRecord } from '../../helpers/zone-text.ts';
import {
  answerTo,
  type Behaviour,
  EVIDENCE_WANTED,
  HandMadeUpstream,
  sayRcode,
} from './hand-made-upstream.ts';
import { socketTransports } from './udp-kinds.ts';
import { ask, type Doing, group, type Seen, VirtualUpstreams } from './virtual-upstreams.ts';

const STATUS_NAME = '_status.api.example';
const text = rawRecord(STATUS_NAME, 'TXT', 5, [2, 0x6f, 0x6b]);

const silence: Behaviour = () => undefined;

const cases: readonly (readonly [string, Behaviour, boolean])[] = [
  ['text', (asked) => asked.reply(answerTo(asked, { answers: [text] })), true],
  ['NXDOMAIN', (asked) => asked.reply(sayRcode(asked, 3)), false],
  ['NXDOMAIN with text', (asked) => asked.reply(answerTo(asked, { answers: [text], flags: 0x8183 })), false],
  ['no data', (asked) => asked.reply(answerTo(asked, { answers: [] })), false],
  ['SERVFAIL', (asked) => asked.reply(sayRcode(asked, 2)), false],
  ['another type', (asked) => asked.reply(answerTo(asked)), false],
  ['silence until the caller gives up', silence, false],
];

t.test('only NOERROR with TXT data is text', async (t) => {
  for (const [what, behaviour, expected] of cases) {
    const caller = new AbortController();
    await using site = await HandMadeUpstream.start((asked) => {
      behaviour(asked);
      if (behaviour === silence) caller.abort();
    });
    const group = { name: 'default', upstreams: [site.upstream] };
    const forwarder = new Forwarder({
      evidenceWanted: EVIDENCE_WANTED,
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      log: new CollectingLog(),
      groups: [group],
      transports: socketTransports(),
    });
    t.equal(
      await forwarder.answersText(
        STATUS_NAME,
        AbortSignal.any([caller.signal, AbortSignal.timeout(PATIENCE_MS)]),
        group,
      ),
      expected,
      what,
    );
    t.equal(site.asked[0]?.query.nameText(), STATUS_NAME);
    t.equal(site.asked[0]?.query.qtype, 16);
    t.equal(await forwarder.answersText('a..b', AbortSignal.timeout(500), group), false, 'no name at all');
    forwarder.close();
  }
});

const ENDPOINT = 'abc.gr7.us-west-2.eks.amazonaws.com';
const answers = { afterMs: 20, says: 'answer' } as const;
const denies = { afterMs: 20, says: 3 } as const;
const both = group('default', 'a', 'b');

async function resolve(world: VirtualUpstreams): Promise<number> {
  const startMs = world.time.monotonicMs();
  const resolving = world.forwarder.resolveAddresses(ENDPOINT, new AbortController().signal, both);
  let afterMs = -1;
  void resolving.then(() => {
    afterMs = world.time.monotonicMs() - startMs;
  });
  for (let at = 0; at < 600 && afterMs < 0; at++) await world.time.advance(10);
  return afterMs;
}

function world(b: (seen: Seen) => Doing): VirtualUpstreams {
  return new VirtualUpstreams([both], (seen) => (seen.upstream === 'b' ? b(seen) : answers));
}

t.test('both are asked, and equal answers are no difference', async (t) => {
  const it = world(() => answers);
  await resolve(it);
  t.same(
    it.seen.map(({ upstream, name }) => [upstream, name]),
    [
      ['a', ENDPOINT],
      ['b', ENDPOINT],
    ],
  );
  t.same(it.forwarder.snapshot().differences, []);
  t.same(it.log.lines, []);
});

t.test('a difference is in the snapshot and once in the log, and so is its end', async (t) => {
  let b: Doing = denies;
  const it = world(() => b);
  await resolve(it);
  await resolve(it);
  const opinions = [
    { upstream: 'a', says: '10.0.0.1' },
    { upstream: 'b', says: 'NXDOMAIN' },
  ];
  t.same(it.forwarder.snapshot().differences, [{ name: ENDPOINT, opinions }]);
  t.match(it.log.lines, [
    { level: 'warn', text: 'upstreams differ about an endpoint', fields: { opinions } },
  ]);
  t.equal(it.log.lines.length, 1);
  b = answers;
  await resolve(it);
  t.same(it.forwarder.snapshot().differences, []);
  t.match(it.log.lines[1], { level: 'info', text: 'upstreams agree again about an endpoint' });
});

t.test(
  'one that does not answer delays nothing for long, differs from nothing, and is not taken down',
  async (t) => {
    const it = world(({ name }) => (name === ENDPOINT ? 'silence' : answers));
    for (let at = 0; at < 5; at++) t.ok((await resolve(it)) <= 600);
    t.same(it.forwarder.snapshot().differences, []);
    t.same(it.changes, []);
    const servfail = world(() => ({ afterMs: 20, says: 2 }));
    await resolve(servfail);
    t.same(servfail.forwarder.snapshot().differences, []);
  },
);

t.test('a client of that name, and a single upstream, cost no second question', async (t) => {
  const it = world(() => denies);
  await ask(it, ENDPOINT);
  t.equal(it.asked.length, 1);
  const single = new VirtualUpstreams([group('default', 'a')], () => answers);
  const resolving = single.forwarder.resolveAddresses(
    ENDPOINT,
    new AbortController().signal,
    group('default'),
  );
  await single.time.advance(100);
  t.match(await resolving, { kind: 'addresses' });
  t.equal(single.asked.length, 1);
});

const route = group('default', 'a');

function staleWorld(staleFor: number, extendedError: number = EXTENDED_ERROR.STALE_ANSWER) {
  let asked = 0;
  const upstreams = new VirtualUpstreams([route], () => {
    const isStale = asked++ < staleFor;
    const says = extendedError === EXTENDED_ERROR.STALE_NXDOMAIN ? 3 : 'answer';
    return {
      afterMs: 20,
      says: isStale ? says : 'answer',
      extendedError: isStale ? extendedError : undefined,
    };
  });
  const resolving = upstreams.forwarder.resolveAddresses('api.example', new AbortController().signal, route);
  return { upstreams, resolving };
}

for (const extendedError of [EXTENDED_ERROR.STALE_ANSWER, EXTENDED_ERROR.STALE_NXDOMAIN])
  t.test(`an upstream that stays stale (extended error ${extendedError}) says nothing`, async (t) => {
    const { upstreams, resolving } = staleWorld(Number.POSITIVE_INFINITY, extendedError);
    await upstreams.time.advance(10_000);
    t.match(await resolving, { kind: 'failed', reason: 'network', detail: /"a": .*stale/ });
    t.equal(upstreams.asked.length, 2, 'it is asked once more, and no further');
    t.equal(upstreams.time.pendingTimers, 0);
  });

t.test('an upstream that gives a stale answer first and asks meanwhile is asked again', async (t) => {
  const { upstreams, resolving } = staleWorld(1);
  await upstreams.time.advance(10_000);
  t.match(await resolving, { kind: 'addresses', addresses: ['10.0.0.1'], upstream: 'a' });
  t.strictSame(upstreams.asked, ['a udp 0', 'a udp 2020']);
});

t.test('another extended error is no sign of a stale answer', async (t) => {
  const { upstreams, resolving } = staleWorld(1, EXTENDED_ERROR.OTHER);
  await upstreams.time.advance(1_000);
  t.match(await resolving, { kind: 'addresses' });
});

t.test('a caller that gives up is not waited for', async (t) => {
  const upstreams = new VirtualUpstreams([route], () => ({
    afterMs: 20,
    says: 'answer',
    extendedError: EXTENDED_ERROR.STALE_ANSWER,
  }));
  const caller = new AbortController();
  const resolving = upstreams.forwarder.resolveAddresses('api.example', caller.signal, route);
  await upstreams.time.advance(1_000);
  caller.abort();
  t.match(await resolving, { kind: 'failed', reason: 'timeout' });
  await upstreams.time.advance(10_000);
  t.equal(upstreams.asked.length, 1);
});
