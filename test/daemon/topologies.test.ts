/**
 * The table "what happens in an outage" of the README, row by row, for each behaviour of an upstream while the link is down.
 * All rooms of the daemon run in virtual time.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { RCODE } from '../../src/protocol/words/codes.ts';
import { message, rawRecord, soaData } from '../helpers/zone-text.ts';
import { ENDPOINT, UPSTREAM, VirtualSite } from './virtual-site.ts';

const MINUTE_MS = 60_000;
const CONFIG = `retain: [ntp.example.net]
zones: [{ name: mirror.example.com, whileDisconnected: ['@ A 10.0.0.99', 'deb A 10.0.0.98'] }]
`;
/** What an upstream does with names of the outside while the link is down; `gone`: it is across the link itself. */
type Outside = 'gone' | 'silent' | 'servfail' | 'nxdomain' | 'stale';

/** A resolver on the site that answers for `corp.example` by itself. It knows no name with "never" in it. */
function resolverOnSite(question: string, outside: Outside | 'reachable'): Buffer | 'silence' | undefined {
  const [asked = '', type = ''] = question.split(' ');
  const name = asked.toLowerCase();
  if (name === '.' || name === ENDPOINT) return undefined;
  const does = /(^|\.)corp\.example$/.test(name) ? 'reachable' : outside;
  if (does === 'silent') return 'silence';
  const isThere =
    /(^|\.)(example\.(com|net)|corp\.example|amazonaws\.com)$/.test(name) && !/never/.test(name);
  const isKnown = isThere && does !== 'nxdomain' && does !== 'servfail';
  const ttl = does === 'stale' ? 30 : 300;
  const answers = isKnown && type === 'A' ? [rawRecord(asked, 'A', ttl, [192, 0, 2, 80])] : [];
  const isFailed = does === 'servfail' || (does === 'stale' && !isKnown);
  const rcode = isFailed ? RCODE.SERVFAIL : isKnown ? RCODE.NOERROR : RCODE.NXDOMAIN;
  const authorities =
    rcode === RCODE.SERVFAIL || answers.length > 0 ? [] : [rawRecord('.', 'SOA', 300, soaData(300))];
  return message({ flags: 0x8180 | rcode, question: [asked, type], answers, authorities });
}

const AT_ONCE_MS = 0;
const PATIENCE_MS = 1_800; // RFC 8767: the first one to meet it waits for what may be fresher
const DEADLINE_MS = 5_000 + 10; // deadlines are swept every 10 ms

for (const outside of ['gone', 'silent', 'servfail', 'nxdomain', 'stale'] as const)
  t.test(`an upstream whose outside is: ${outside}`, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'topologies-'));
    // the disk is real, and the last write may end after the site does
    t.teardown(() => rm(directory, { recursive: true, force: true, maxRetries: 50 }));
    const site = await VirtualSite.open(directory, CONFIG);
    site.says = (question) => resolverOnSite(question, site.isUp ? 'reachable' : outside);
    if (outside !== 'gone') site.onSite.add(UPSTREAM);
    await site.time.advance(5 * MINUTE_MS);
    const before = ['www.example.com', 'mail.example.com', 'www.corp.example', 'sts.us-west-2.amazonaws.com'];
    for (const name of before) await site.ask({ name, edns: {} });
    site.isUp = false;
    site.time.settling = 'promises';
    await site.time.advance(10 * MINUTE_MS);
    site.time.settling = 'all';
    t.equal(site.report.link.summary.condition, 'disconnected');

    const ask = async (name: string, type = 'A') => site.ask({ name, type, edns: {} });
    const isAnswered = (address: string, ede?: number) => ({
      rcode: RCODE.NOERROR,
      answers: [{ data: address }],
      ...(ede === undefined ? {} : { ede }),
    });

    const endpoint = await ask(ENDPOINT);
    t.match(endpoint, { rcode: RCODE.NOERROR, afterMs: AT_ONCE_MS });
    t.same(endpoint.answers.map(({ data }) => data).toSorted(), site.addresses, 'the endpoint, as ever');
    t.match(await ask(ENDPOINT, 'AAAA'), { rcode: RCODE.NOERROR, answers: [], afterMs: AT_ONCE_MS });

    const kept = await ask('www.example.com');
    t.match(kept, isAnswered('192.0.2.80', outside === 'stale' ? undefined : 3), 'what was asked before');
    t.ok(kept.afterMs <= PATIENCE_MS, `${kept.afterMs} ms`);
    const second = await ask('www.example.com');
    t.match(second, { ...isAnswered('192.0.2.80'), afterMs: AT_ONCE_MS }, 'the second time at once');

    t.match(await ask('ntp.example.net'), { ...isAnswered('192.0.2.80'), afterMs: AT_ONCE_MS }, 'retained');
    const aaaa = await ask('ntp.example.net', 'AAAA');
    t.match(aaaa, { rcode: RCODE.NOERROR, answers: [] }, 'another type of a retained name is empty');

    const never = await ask('never.example.com');
    t.ok(never.afterMs <= DEADLINE_MS, `never silence: ${never.afterMs} ms`);
    if (outside !== 'nxdomain') t.match(never, { rcode: RCODE.SERVFAIL, ede: 22 }, 'never asked before');

    const compute = 'us-west-2.compute.internal';
    const own = await ask(`ip-10-0-3-10.${compute}`);
    t.match(own, { ...isAnswered('10.0.3.10'), afterMs: AT_ONCE_MS }, "EC2's own names");
    const leak = await ask(`registry.example.com.${compute}`);
    t.match(leak, { rcode: RCODE.NXDOMAIN, afterMs: AT_ONCE_MS }, 'and the rest of them');
    const sts = await ask('sts.us-west-2.amazonaws.com');
    t.match(sts, { rcode: RCODE.SERVFAIL, ede: 22, afterMs: AT_ONCE_MS }, 'a service of AWS');
    const never2 = await ask('never-asked.us-west-2.amazonaws.com');
    t.match(
      never2,
      { rcode: RCODE.SERVFAIL, ede: 22, afterMs: AT_ONCE_MS },
      'and one of which nothing is known',
    );

    if (outside !== 'stale') {
      const rule = await ask('deb.mirror.example.com');
      t.match(rule, isAnswered('10.0.0.98'), "the operator's rule");
      t.ok(rule.afterMs <= DEADLINE_MS, `${rule.afterMs} ms`);
      t.match(await ask('deb.mirror.example.com'), isAnswered('10.0.0.98'), 'and again');
    }

    if (outside !== 'gone') {
      t.match(await ask('www.corp.example'), isAnswered('192.0.2.80'), 'names of the site stay as they are');
      t.match(await ask('new.corp.example'), { ...isAnswered('192.0.2.80'), ede: undefined }, 'new ones too');
      t.match(await ask('never.corp.example'), { rcode: RCODE.NXDOMAIN }, 'and their denials');
    }

    site.isUp = true;
    await site.time.advance(MINUTE_MS);
    t.match(await ask('never-was.example.org'), { rcode: RCODE.NXDOMAIN }, 'the link is back');
    t.match(await ask('sts.us-west-2.amazonaws.com'), isAnswered('192.0.2.80'));
    const fresh = await ask('mail.example.com');
    t.match(fresh, { ...isAnswered('192.0.2.80'), ede: undefined });
    await site.close();
  });

t.test('a resolver that says SERVFAIL at once, while the link is not known to be down', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'topologies-'));
  t.teardown(() => rm(directory, { recursive: true, force: true, maxRetries: 50 }));
  const site = await VirtualSite.open(directory, CONFIG);
  let outside: Outside | 'reachable' = 'reachable';
  site.says = (question) => resolverOnSite(question, outside);
  site.onSite.add(UPSTREAM);
  await site.time.advance(5 * MINUTE_MS);
  const ask = async (name: string) => site.ask({ name, edns: {} });
  await ask('www.example.com');
  await ask('sts.us-west-2.amazonaws.com');
  outside = 'servfail';
  await site.time.advance(10 * MINUTE_MS);
  t.equal(site.report.link.summary.condition, 'connected');

  for (const suffix of ['us-west-2.compute.internal', 'us-west-2.amazonaws.com', 'mirror.example.com'])
    for (const first of ['never-1', 'never-2', 'never-3']) await ask(`${first}.${suffix}`);
  const own = await ask('ip-10-0-3-10.us-west-2.compute.internal');
  t.match(own, { answers: [{ data: '10.0.3.10' }], afterMs: AT_ONCE_MS }, 'computed');
  const leak = await ask('registry.example.com.us-west-2.compute.internal');
  t.match(leak, { rcode: RCODE.NXDOMAIN, afterMs: AT_ONCE_MS }, 'denied');
  const sts = await ask('sts.us-west-2.amazonaws.com');
  t.match(sts, { rcode: RCODE.SERVFAIL, ede: 22, afterMs: AT_ONCE_MS }, 'a service of AWS');
  const rule = await ask('deb.mirror.example.com');
  t.match(rule, { answers: [{ data: '10.0.0.98' }], afterMs: AT_ONCE_MS }, "the operator's rule");
  const kept = await ask('www.example.com');
  t.match(kept, { answers: [{ data: '192.0.2.80' }], ede: 3 }, 'what is kept');
  outside = 'reachable';
  t.match(await ask('new.example.com'), { answers: [{ data: '192.0.2.80' }] }, 'any other name is asked');
  await site.close();
});
