import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { queryOf } from './messages.ts';
import { addresses, denial, ENDPOINT, endpointRecord, Rig } from './rig.ts';

const NONE = {
  malformed: 0,
  class: 0,
  endpoint: 0,
  local_zone: 0,
  meta_type: 0,
  cache_fresh: 0,
  cache_stale: 0,
  not_recursive: 0,
  forwarded: 0,
  failed: 0,
  disconnected: 0,
  retained: 0,
};

t.test('each reply is counted once by origin and once by response code', async (t) => {
  const rig = new Rig({ records: [endpointRecord({ addresses: ['10.0.0.1'] })] });
  const www = { name: 'www.example.com' };
  rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
  const steps: readonly (readonly [string, () => unknown, origin: string, rcode: string])[] = [
    ['header alone', () => rig.now(queryOf(www).subarray(0, 12)), 'malformed', 'FORMERR'],
    ['class CH', () => rig.now({ name: 'version.bind', type: 'TXT', qclass: 3 }), 'class', 'REFUSED'],
    ['endpoint', () => rig.now({ name: ENDPOINT }), 'endpoint', 'NOERROR'],
    ['under it', () => rig.now({ name: `x.${ENDPOINT}` }), 'endpoint', 'NXDOMAIN'],
    ['reverse', () => rig.now({ name: '1.0.0.10.in-addr.arpa', type: 'PTR' }), 'endpoint', 'NOERROR'],
    ['localhost', () => rig.now({ name: 'localhost' }), 'local_zone', 'NOERROR'],
    ['IXFR', () => rig.now({ ...www, type: 'IXFR' }), 'meta_type', 'REFUSED'],
    ['AXFR of our own', () => rig.now({ name: ENDPOINT, type: 'AXFR' }), 'meta_type', 'REFUSED'],
    ['RD=0', () => rig.now({ ...www, rd: false }), 'not_recursive', 'REFUSED'],
    ['forwarded', () => rig.answer(www), 'forwarded', 'NOERROR'],
    ['cached', () => rig.now(www), 'cache_fresh', 'NOERROR'],
    ['time goes by', () => rig.time.advance(61_000), '', ''],
    ['upstream is down', () => rig.down.add('default'), '', ''],
    ['stale at once', () => rig.now(www), 'cache_stale', 'NOERROR'],
    ['failed', () => rig.answer({ name: 'other.example.com' }), 'failed', 'SERVFAIL'],
    ['failed a moment ago', () => rig.now({ name: 'other.example.com' }), 'cache_fresh', 'SERVFAIL'],
    ['upstream is back', () => rig.down.clear(), '', ''],
    ['it denies', () => Object.assign(rig, { says: (q: string) => denial(q, RCODE.NXDOMAIN) }), '', ''],
    ['forwarded denial', () => rig.answer({ name: 'nope.example.com' }), 'forwarded', 'NXDOMAIN'],
    ['it is silent', () => Object.assign(rig, { says: () => undefined }), '', ''],
    ['stale after 1.8 s', () => rig.answer(www, { withinMs: 2000 }), 'cache_stale', 'NOERROR'],
    ['a response', () => rig.now(Buffer.from(queryOf(www)).fill(0x80, 2, 3)), '', ''],
  ];
  const origins: Record<string, number> = { ...NONE };
  const rcodes: Record<string, number> = {};
  for (const [what, step, origin, rcode] of steps) {
    await step();
    if (origin !== '') origins[origin] = (origins[origin] ?? 0) + 1;
    if (rcode !== '') rcodes[rcode] = (rcodes[rcode] ?? 0) + 1;
    t.same(rig.resolver.counters.read(), { origins, rcodes }, what);
  }
});

t.test('labels are bounded: every origin from the start, response codes by mnemonic', async (t) => {
  const rig = new Rig();
  t.same(rig.resolver.counters.read(), { origins: NONE, rcodes: {} });
  for (let opcode = 1; opcode < 16; opcode++) {
    const query = queryOf({ name: 'x' });
    query[2] = opcode << 3;
    rig.now(query);
  }
  t.same(rig.resolver.counters.read(), { origins: { ...NONE, malformed: 15 }, rcodes: { NOTIMP: 15 } });
});

t.test('a query that waits is counted when it is answered', async (t) => {
  const rig = new Rig();
  rig.says = (question) => addresses(question, ['192.0.2.1']);
  const asking = rig.ask({ name: 'www.example.com' });
  t.same(rig.resolver.counters.read().origins, NONE);
  await rig.time.advance(50);
  await asking;
  t.equal(rig.resolver.counters.read().origins['forwarded'], 1);
});
