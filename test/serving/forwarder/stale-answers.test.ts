/** What an upstream kept and cannot confirm (RFC 8767) is no news of an endpoint: it must not count as a confirmation. */
import t from 'tap';
import { EXTENDED_ERROR } from '../../../src/protocol/words/extended-errors.ts';
import { group, VirtualUpstreams } from './virtual-upstreams.ts';

const route = group('default', 'a');

function world(staleFor: number, extendedError: number = EXTENDED_ERROR.STALE_ANSWER) {
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
    const { upstreams, resolving } = world(Number.POSITIVE_INFINITY, extendedError);
    await upstreams.time.advance(10_000);
    t.match(await resolving, { kind: 'failed', reason: 'network', detail: /"a": .*stale/ });
    t.equal(upstreams.asked.length, 2, 'it is asked once more, and no further');
    t.equal(upstreams.time.pendingTimers, 0);
  });

t.test('an upstream that gives a stale answer first and asks meanwhile is asked again', async (t) => {
  const { upstreams, resolving } = world(1);
  await upstreams.time.advance(10_000);
  t.match(await resolving, { kind: 'addresses', addresses: ['10.0.0.1'], upstream: 'a' });
  t.strictSame(upstreams.asked, ['a udp 0', 'a udp 2020']);
});

t.test('another extended error is no sign of a stale answer', async (t) => {
  const { upstreams, resolving } = world(1, EXTENDED_ERROR.OTHER);
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
