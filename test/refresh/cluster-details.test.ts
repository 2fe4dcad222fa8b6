/** Names and networks from DescribeCluster or from the operator. */
import t from 'tap';
import { A, B, C, pair, serving, setUp } from './refreshing.ts';
import {
  clusterSettings,
  describes,
  fails,
  hangs,
  ScriptedSource,
  sees,
  unnamedCluster,
} from './scripted-source.ts';

t.test('without a name the details come first, and then the sources that need them', async (t) => {
  const details = Promise.withResolvers<ReturnType<typeof describes>>();
  const [dns, interfaces] = pair(sees('dns', A), sees('interfaces', A));
  const cluster = new ScriptedSource('cluster', () => details.promise);
  const { refresher, time, served } = setUp([dns, interfaces, cluster], undefined, unnamedCluster());
  refresher.start();
  await time.advance(1_000);
  t.strictSame([dns.polls.length, interfaces.polls.length, cluster.polls.length], [0, 0, 1]);
  details.resolve(
    describes({ endpoint: 'learned.example', vpcId: 'vpc-1', subnetIds: ['subnet-1'], generation: 'ebs' }),
  );
  await time.advance(0);
  t.strictSame(served(), [A]);
  const expected = {
    cluster: 'my-cluster',
    region: 'us-west-2',
    endpoint: 'learned.example',
    isEndpointOfEks: true,
    vpcId: 'vpc-1',
    subnetIds: ['subnet-1'],
    generation: 'ebs',
    knownAddresses: [],
  };
  t.strictSame(withoutUndefined(dns.polls[0]?.context), expected);
  t.strictSame(withoutUndefined(interfaces.polls[0]?.context), expected);
  t.equal(dns.polls.length, 1);
  refresher.stop();
});

t.test('without a name and without details the interfaces are polled all the same', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A), sees('interfaces', A));
  const cluster = new ScriptedSource('cluster', fails('cluster', 'denied', true));
  const { refresher, time, served, evidence } = setUp(
    [dns, interfaces, cluster],
    undefined,
    unnamedCluster(),
  );
  refresher.start();
  await time.advance(10_000);
  t.equal(dns.polls.length, 0);
  t.strictSame(served(), [A], 'known, though there is no name to answer them for yet');
  t.match(refresher.snapshot().warnings, [/endpoint name is unknown/]);
  t.match(evidence[0], { proves: 'reachable', reason: 'denied' });
  cluster.script = describes({ endpoint: 'learned.example' });
  refresher.kick('policy mended');
  await time.advance(1_000);
  t.equal(dns.polls[0]?.context.endpoint, 'learned.example');
  refresher.stop();
});

t.test(
  'a new endpoint name is adopted, warned of, asked for at once, and keeps the addresses meanwhile',
  async (t) => {
    const [dns, interfaces] = pair(sees('dns', A, B), sees('interfaces', A, B));
    const cluster = new ScriptedSource('cluster', describes({ endpoint: 'old.example' }));
    const { refresher, time, served, log } = setUp([dns, interfaces, cluster], undefined, unnamedCluster());
    refresher.start();
    await time.advance(1_000);
    cluster.script = describes({ endpoint: 'new.example' });
    dns.script = hangs;
    refresher.kick('test');
    await time.advance(1_000);
    t.equal(refresher.record.endpoint, 'new.example');
    t.equal(dns.polls.at(-1)?.context.endpoint, 'new.example');
    t.notOk(refresher.snapshot().sources[0]?.addresses, 'what the old name resolved to is forgotten');
    t.strictSame(served(), [A, B]);
    t.ok(log.lines.some(({ level, text }) => level === 'warn' && text.startsWith('endpoint name changed')));
    refresher.stop();
  },
);

t.test('a poll for the old name is given up when the name changes, and its answer ignored', async (t) => {
  const old = Promise.withResolvers<ReturnType<typeof sees>>();
  const dns = new ScriptedSource('dns', (_, { endpoint }) =>
    endpoint === 'old.example' ? old.promise : Promise.resolve(sees('dns', C)),
  );
  const cluster = new ScriptedSource('cluster', describes({ endpoint: 'new.example' }));
  const record = { ...serving(), endpoint: 'old.example' };
  const { refresher, time, served } = setUp([dns, cluster], record, unnamedCluster());
  refresher.start();
  await time.advance(0);
  old.resolve(sees('dns', A));
  await time.advance(0);
  t.strictSame(served(), [C]);
  refresher.stop();
});

t.test('the name and the VPC of the operator win over the details', async (t) => {
  const interfaces = new ScriptedSource('interfaces', sees('interfaces', A));
  const cluster = new ScriptedSource(
    'cluster',
    describes({ endpoint: 'learned.example', vpcId: 'vpc-learned' }),
  );
  const base = clusterSettings({ vpcId: 'vpc-operator' });
  const { refresher, time } = setUp([interfaces, cluster], undefined, base);
  refresher.start();
  await time.advance(301_000);
  t.equal(refresher.record.endpoint, 'api.example');
  t.match(interfaces.polls.at(-1)?.context, { vpcId: 'vpc-operator', endpoint: 'api.example' });
  refresher.stop();
});

t.test('the API server is polled as soon as there is an address, and gets what is known', async (t) => {
  const first = Promise.withResolvers<ReturnType<typeof sees>>();
  const dns = new ScriptedSource('dns', () => first.promise);
  const kubernetes = new ScriptedSource('kubernetes', sees('kubernetes', A, B));
  const cluster = new ScriptedSource('cluster', describes({ certificateAuthority: 'Q0E=' }));
  const { refresher, time, log } = setUp([dns, kubernetes, cluster]);
  refresher.start();
  await time.advance(1_000);
  t.equal(kubernetes.polls.length, 0, 'that it cannot be asked yet is no failure');
  first.resolve(sees('dns', A, B));
  await time.advance(0);
  t.match(kubernetes.polls[0]?.context, {
    endpoint: 'api.example',
    knownAddresses: [A, B],
    certificateAuthority: 'Q0E=',
  });
  await time.advance(70_000);
  t.equal(kubernetes.polls.length, 2, 'and then by its own interval');
  t.strictSame(
    log.lines.filter(({ level }) => level === 'warn'),
    [],
  );
  refresher.stop();
});

function withoutUndefined(value: object | undefined): object {
  return JSON.parse(JSON.stringify(value));
}
