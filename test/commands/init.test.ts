/** `init` as a user runs it, against a simulated Region: what it writes loads, what exists is not touched. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { missingStatements, policyFor } from '../../src/commands/iam-policy.ts';
import { initialConfig } from '../../src/commands/init.ts';
import { load } from '../config/loading.ts';
import { fileOf } from '../far-side/api-server.ts';
import { run } from './running.ts';

const ENDPOINT = '5e9d0f3c7a1b4286b0d4c8e2f6a19753.gr7.us-west-2.eks.amazonaws.com';

t.test(
  'from AWS: a file with what was learned, the next step, and nothing overwritten unasked',
  async (t) => {
    await using sandbox = await startSandbox();
    const file = join(t.testdir(), 'site', 'outpost-dns.yaml');
    const words = [
      'init',
      '--cluster',
      'demo',
      '--region',
      'us-west-2',
      '--upstream',
      '10.0.0.2',
      '-o',
      file,
    ];
    const first = await run(words, sandbox.environment);
    t.equal(first.code, 0, first.stderr);
    t.match(first.stdout, new RegExp(`endpoint   ${ENDPOINT}\\n  addresses  10\\.0\\.1\\.10, `));
    t.match(first.stdout, `outpost-dns check --config ${file}`);
    const text = await readFile(file, 'utf8');
    t.match(text, `#   endpoint ${ENDPOINT}`);
    t.match(await load(text), {
      clusters: [{ name: 'demo', region: 'us-west-2' }],
      upstreams: [{ text: '10.0.0.2:53' }],
    });
    await writeFile(file, 'mine\n');
    const second = await run(words, sandbox.environment);
    t.equal(second.code, 1);
    t.match(second.stderr, /exists already: it is not touched\n {4}.*--force/);
    t.equal(await readFile(file, 'utf8'), 'mine\n');
    t.equal((await run([...words, '--force'], sandbox.environment)).code, 0);
    t.equal(await readFile(file, 'utf8'), text);
  },
);

t.test(
  'from a kubeconfig, without AWS: endpoint, name and Region; the policy; standard output',
  async (t) => {
    await using sandbox = await startSandbox();
    sandbox.link.set('refused');
    const kubeconfig = join(t.testdir(), 'kubeconfig');
    const cluster = 'arn:aws:eks:us-west-2:111122223333:cluster/demo';
    const config = {
      'current-context': 'a',
      contexts: [{ name: 'a', context: { cluster, user: 'u' } }],
      clusters: [
        {
          name: cluster,
          cluster: { server: `https://${ENDPOINT}`, 'certificate-authority': fileOf('ca.crt') },
        },
      ],
      users: [{ name: 'u', user: { exec: { command: 'aws', args: ['eks', 'get-token'] } } }],
    };
    await writeFile(kubeconfig, JSON.stringify(config));
    const words = ['init', '--kubeconfig', kubeconfig, '--upstream', '10.0.0.2', '-o', '-'];
    const { code, stdout, stderr } = await run(words, sandbox.environment);
    t.equal(code, 0, stderr);
    t.match(await load(stdout), { clusters: [{ name: 'demo', region: 'us-west-2', endpoint: ENDPOINT }] });
    t.match(stdout, /# Not learned yet: /);
    const policy = await run(['init', '--kubeconfig', kubeconfig, '--policy'], sandbox.environment);
    const { Version, Statement } = JSON.parse(policy.stdout);
    t.equal(Version, '2012-10-17');
    const bySid = Object.fromEntries(Statement.map((one: { Sid: string }) => [one.Sid, one]));
    t.match(bySid, {
      LearnTheEndpoint: { Action: 'eks:DescribeCluster', Resource: cluster },
      ListItsInterfaces: {
        Action: ['ec2:DescribeNetworkInterfaces', 'ec2:DescribeInstances'],
        Resource: '*',
      },
    });
  },
);

t.test('wrong use: a missing name, an upstream that is none, a kubeconfig that is none', async (t) => {
  const none = await run(['init', '-o', join(t.testdir(), 'x')]);
  t.equal(none.code, 2);
  t.match(none.stderr, /--cluster is needed/);
  t.match(await run(['init', '--policy', '--cluster', 'demo'], { AWS_REGION: '' }), {
    code: 2,
    stderr: /--region is needed[\s\S]*outpost-dns init --policy --cluster NAME --region REGION\n/,
  });
  await using sandbox = await startSandbox();
  const words = ['init', '--cluster', 'demo', '--region', 'us-west-2', '--upstream', 'nonsense', '-o', '-'];
  const wrong = await run(words, sandbox.environment);
  t.equal(wrong.code, 2);
  t.match(wrong.stderr, /--upstream "nonsense": a name, not an address/);
  t.match(await run(['init', '--kubeconfig', '/none', '-o', '-']), { code: 1, stderr: /ENOENT/ });
});

t.test('whatever AWS or a kubeconfig says, the text is YAML with these values and no other', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1 }), async (text) => {
      const written = initialConfig({
        name: 'demo',
        region: 'us-west-2',
        upstreams: ['10.0.0.2'],
        addresses: [text],
        failures: [text],
      });
      t.match(await load(written), { clusters: [{ name: 'demo' }], upstreams: [{ text: '10.0.0.2:53' }] });
    }),
    { numRuns: 50 },
  );
});

t.test('the policy has one statement for each call; a named zone needs no search', async (t) => {
  const all = ['cluster', 'interfaces', 'dns', 'route53', 'kubernetes'] as const;
  const policy = policyFor([
    { name: 'a', region: 'us-west-2', sources: all, zoneId: 'Z1' },
    { name: 'b', region: 'us-gov-west-1', sources: ['cluster'] },
  ]);
  const sids = policy.Statement.map(({ Sid }) => Sid);
  t.strictSame(new Set(sids).size, sids.length);
  t.notOk(sids.includes('FindItsZone'));
  t.strictSame(policy.Statement[0]?.Resource, [
    'arn:aws:eks:us-west-2:*:cluster/a',
    'arn:aws-us-gov:eks:us-gov-west-1:*:cluster/b',
  ]);
  t.equal(
    policy.Statement.find(({ Sid }) => Sid === 'ReadItsZone')?.Resource,
    'arn:aws:route53:::hostedzone/Z1',
  );
  t.equal(missingStatements('interfaces', { name: 'a' }).length, 1);
});
