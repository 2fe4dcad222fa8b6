/** The rows of the README's table "What happens in an outage" as tests of a running server, and the setup of that server. */
import type { Test } from 'tap';
import { demoPopulation } from '../../sandbox/demo-population.ts';
import type { DnsRecord, Population } from '../../sandbox/facts.ts';
import type { ReadReply } from '../serving/resolver/messages.ts';
import type { ServerProcess } from './server-process.ts';
import { DEMO, ENDPOINT } from './site.ts';

export type State = 'connected' | 'cut' | 'restarted';
export type OnSite = 'silent' | 'servfail' | 'nxdomain';

export interface RowTest {
  readonly t: Test;
  readonly server: ServerProcess;
  readonly state: State;
  /** The replies about the outside, in a cut, of a resolver on the site that stays up; absent: no upstream is left. */
  readonly onSite?: OnSite;
  /** One question with EDNS, so that extended errors are seen. */
  readonly ask: (name: string, type?: string) => Promise<ReadReply & { readonly afterMs: number }>;
}

const data = ({ answers }: ReadReply) => answers.map((answer) => answer.data).toSorted();
/** Stale from us, or, where a resolver on the site stays up, from its own cache. */
const stale = (onSite: OnSite | undefined) => (onSite === undefined ? { rcode: 0, ede: 3 } : { rcode: 0 });

/** By the question, as in the README. */
export const ROWS: Readonly<Record<string, (test: RowTest) => Promise<void>>> = {
  "an endpoint's name": async ({ t, state, ask, onSite }) => {
    const reply = await ask(ENDPOINT);
    t.match(reply, { rcode: 0, aa: true, ede: undefined });
    t.same(data(reply), DEMO);
    // a resolver on the site may keep the name, and its source does not fail then
    const most = state === 'connected' || onSite !== undefined ? 60 : 30;
    t.ok(reply.answers.every(({ ttl }) => ttl <= most));
    t.match(await ask(ENDPOINT, 'AAAA'), { rcode: 0, aa: true, answers: [] });
  },
  'a name that was asked before': async ({ t, state, ask, onSite }) => {
    t.match(
      await ask('www.example.com'),
      state === 'connected' ? { rcode: 0, ede: undefined } : stale(onSite),
    );
    t.same(data(await ask('www.example.com')), ['192.0.2.10', '192.0.2.11']);
    if (state !== 'connected' && onSite === undefined)
      t.equal((await ask('www.example.com')).answers[0]?.ttl, 30);
  },
  'a name under `retain`': async ({ t, state, ask, onSite }) => {
    const reply = await ask('mail.example.com');
    t.same(data(reply), ['192.0.2.25']);
    if (state !== 'connected') t.match(reply, stale(onSite));
    t.match(await ask('mail.example.com', 'AAAA'), { rcode: 0, answers: [] });
  },
  'AAAA of a name of which only A was asked before': async ({ t, state, ask }) => {
    if (state !== 'connected') t.match(await ask('www.example.com', 'AAAA'), { rcode: 0, answers: [] });
  },
  'a name that nobody asked before': async ({ t, state, ask, onSite }) => {
    const reply = await ask(`${state}.many.example.com`);
    if (state === 'connected') t.same(data(reply), ['192.0.2.77']);
    // a denial of an unknown name looks like a true one
    else if (onSite === 'nxdomain') t.match(reply, { rcode: 3, answers: [] });
    else t.match(reply, { rcode: 2, ede: 22, answers: [] });
  },
  "EC2's own names (`ip-10-0-3-10.us-west-2.compute.internal`)": async ({ t, state, ask }) => {
    if (state === 'connected') return; // the sandbox's upstream is no resolver of a VPC
    t.same(data(await ask('ip-10-0-3-10.us-west-2.compute.internal')), ['10.0.3.10']);
    const soa = [{ type: 'SOA', owner: 'us-west-2.compute.internal' }];
    t.match(await ask('registry.us-west-2.compute.internal'), { rcode: 3, authorities: soa });
  },
  'a reverse name in `vpcNetworks`': async ({ t, state, ask }) => {
    if (state === 'connected') return; // as above
    t.same(data(await ask('44.3.20.10.in-addr.arpa', 'PTR')), ['ip-10-20-3-44.us-west-2.compute.internal']);
  },
  'a service of AWS': async ({ t, state, ask, onSite }) => {
    const [sts, s3] = [await ask('sts.us-west-2.amazonaws.com'), await ask('s3.us-west-2.amazonaws.com')];
    if (state === 'connected') {
      t.same([...data(sts), ...data(s3)], ['192.0.2.201', '192.0.2.202']);
      return;
    }
    t.match(sts, { rcode: 2, ede: 22 });
    t.match(s3, stale(onSite), 'a zone rule says otherwise');
  },
  'an alias, of your own zones or of an upstream': async ({ t, ask }) => {
    for (const name of ['api.own.example', 'k8s.example.com']) {
      const reply = await ask(name);
      t.equal(reply.answers[0]?.type, 'CNAME');
      t.same(data({ ...reply, answers: reply.answers.slice(1) }), DEMO, name);
    }
    const kept = await ask('web.own.example');
    t.same(data(kept), ['192.0.2.10', '192.0.2.11', 'www.example.com'], 'to a kept answer');
  },
  'a known name with a search suffix after it': async ({ t, state, ask, onSite }) => {
    for (const known of [ENDPOINT, 'mail.example.com', 'db.own.example']) {
      const reply = await ask(`${known}.${state}.site.example`);
      if (state === 'connected') t.equal(reply.rcode, 3, 'the upstream says so');
      else t.match(reply, { rcode: 3, answers: [], ...(onSite === 'nxdomain' ? {} : { ede: 22 }) }, known);
    }
  },
  'DS of an endpoint': async ({ t, ask }) => {
    t.match(await ask(ENDPOINT, 'DS'), { rcode: 0, answers: [] });
  },
  'after a restart, with AWS, upstreams and credentials all gone': async ({ t, server, state, ask }) => {
    if (state !== 'restarted') return;
    const { answers, sinceStartMs } = await server.firstAnswer({ name: ENDPOINT });
    t.equal(answers.length, 3);
    t.comment(`the first answer came ${Math.round(sinceStartMs)} ms after the start`);
    t.same(data(await ask(ENDPOINT)), DEMO);
  },
};

const RECORDS: readonly DnsRecord[] = [
  { name: 'sts.us-west-2.amazonaws.com', type: 'A', ttlSeconds: 60, value: '192.0.2.201' },
  { name: 's3.us-west-2.amazonaws.com', type: 'A', ttlSeconds: 60, value: '192.0.2.202' },
  { name: 'k8s.example.com', type: 'CNAME', ttlSeconds: 60, value: ENDPOINT },
];

export function population(): Population {
  const demo = demoPopulation();
  return { ...demo, records: [...demo.records, ...RECORDS] };
}

export const OVERRIDES = {
  retain: ['mail.example.com'],
  // an answer is stale after a second, so that the test need not wait
  cache: { maxTtl: '1s' },
  zones: [
    {
      name: 'own.example',
      records: [`api CNAME ${ENDPOINT}.`, 'web CNAME www.example.com.', 'db A 10.0.0.9'],
    },
    { name: 's3.us-west-2.amazonaws.com', whileDisconnected: 'stale' },
  ],
};

/** Tests each row against the server as it is now. */
export async function lookAt(t: Test, server: ServerProcess, state: State, onSite?: OnSite): Promise<void> {
  for (const [asked, testRow] of Object.entries(ROWS)) {
    await t.test(`${state}: ${asked}`, async (t) => {
      const ask: RowTest['ask'] = (name, type = 'A') => server.ask({ name, type, edns: {} }, 10_000);
      await testRow({ t, server, state, ask, onSite });
    });
  }
}
