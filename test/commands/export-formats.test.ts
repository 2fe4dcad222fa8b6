/** The formats of `export`, without the programs that read them: `npm run test:lab site` feeds each to its real program. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { type ExportSite, forwardedZones, privateZones } from '../../src/commands/export/format.ts';
import { FORMATS, serversFor } from '../../src/commands/export.ts';
import { AWS_PARTITIONS } from '../../src/protocol/words/aws-partitions.ts';
import { load } from '../config/loading.ts';
import { run } from './running.ts';
import { fresh, NOW_MS, writeState } from './state-files.ts';

const ENDPOINT = 'abc.gr7.us-west-2.eks.amazonaws.com';
const details = { endpoint: ENDPOINT, subnetIds: [], learnedAtMs: NOW_MS, certificateAuthority: 'Q0E=' };
const cluster = fresh({ endpoint: ENDPOINT, details });
const SITE: ExportSite = {
  file: { generation: 42, writtenAtMs: NOW_MS, content: [cluster] },
  nowMs: NOW_MS,
  servers: [
    { address: '10.0.9.53', port: 53 },
    { address: '10.0.9.54', port: 53 },
  ],
  cluster,
  identity: { certificate: '/k/admin.crt', key: '/k/admin.key' },
  serviceNetwork: '10.100.0.0/16',
};
const textOf = async (name: string, more: Partial<ExportSite> = {}): Promise<string> => {
  const text = await FORMATS[name]!.text({ ...SITE, ...more });
  if (typeof text !== 'string') throw new Error(text.error);
  return text;
};
const OTHER_PORT = [{ address: '10.0.9.53', port: 5300 }];

t.test('every format says where it comes from, and ends with a line feed', async (t) => {
  for (const [name, { about }] of Object.entries(FORMATS)) {
    const text = await textOf(name);
    if (name !== 'json') t.match(text, /outpost-dns export: generation 42, written 2026-/, name);
    t.ok(text.endsWith('\n'), name);
    t.notMatch(text, /undefined|\[object/, name);
    t.ok(about.length > 10 && !about.endsWith('.'), name);
  }
});

t.test('every suffix that an endpoint can have may resolve to private addresses', async (t) => {
  const zones = privateZones([cluster]);
  for (const { id, dnsSuffix, dualStackDnsSuffix } of AWS_PARTITIONS) {
    t.ok(zones.includes(`eks.${dnsSuffix}`), id);
    t.ok(zones.includes(dualStackDnsSuffix), id);
    for (const name of ['unbound', 'bind', 'dnsmasq'])
      t.ok((await textOf(name)).includes(`eks.${dnsSuffix}`));
  }
  t.equal(new Set(zones).size, zones.length, 'each once');
});

t.test('the zone of an endpoint is forwarded, and no more than that', (t) => {
  for (const [endpoint, zone] of [
    [ENDPOINT, 'eks.amazonaws.com'],
    ['abc.sk1.cn-north-1.eks.amazonaws.com.cn', 'eks.amazonaws.com.cn'],
    ['abc.gr7.us-iso-east-1.eks.c2s.ic.gov', 'eks.c2s.ic.gov'],
    ['abc.gr7.us-gov-west-1.eks.amazonaws.com', 'eks.amazonaws.com'],
    ['abc.eks-cluster.us-west-2.api.aws', 'eks-cluster.us-west-2.api.aws'],
    ['api.corp.example', 'api.corp.example'],
  ]) {
    t.strictSame(forwardedZones([fresh({ endpoint: endpoint! })]), [zone]);
  }
  t.ok(privateZones([fresh({ endpoint: 'api.corp.example' })]).includes('api.corp.example'));
  t.end();
});

t.test('a port other than 53 is written where the program can have one', async (t) => {
  t.match(await textOf('unbound', { servers: OTHER_PORT }), 'forward-addr: 10.0.9.53@5300');
  t.match(await textOf('bind', { servers: OTHER_PORT }), 'forwarders { 10.0.9.53 port 5300; };');
  t.match(await textOf('dnsmasq', { servers: OTHER_PORT }), '10.0.9.53#5300');
  t.match(await textOf('coredns', { servers: OTHER_PORT }), 'forward . 10.0.9.53:5300 {');
  t.match(await textOf('systemd-resolved', { servers: OTHER_PORT }), 'DNS=10.0.9.53:5300\n');
  for (const name of ['resolv.conf', 'networkmanager', 'windows', 'nodeadm', 'bottlerocket'])
    t.match(await serversFor(FORMATS[name]!, OTHER_PORT, { kind: 'none' }), {
      error: /cannot name the port of "10\.0\.9\.53:5300"/,
    });
});

t.test('nodeadm: a script and a NodeConfig, as they stand, with line feeds', async (t) => {
  const text = await textOf('nodeadm');
  t.notMatch(text, '\r');
  const boundary = /boundary="?([^"\n]+)"?/.exec(text)?.[1] ?? '';
  const [head = '', script = '', config = '', end] = text.split(`--${boundary}`);
  t.match(head, /^MIME-Version: 1\.0$/m);
  t.match(
    script,
    /^\nContent-Type: text\/x-shellscript; charset=us-ascii\nContent-Transfer-Encoding: 7bit\n\n#!\/bin\/bash\n/,
  );
  t.match(script, /\nnameserver 10\.0\.9\.53\nnameserver 10\.0\.9\.54\noptions timeout:1 attempts:2\nEND\n/);
  t.notMatch(script, /search/, 'not the search domain of the VPC');
  t.equal(end?.trim(), '--');
  t.match(config, /^\nContent-Type: application\/node\.eks\.aws\nContent-Transfer-Encoding: 7bit\n\n---\n/);
  t.strictSame(parse(config.slice(config.indexOf('---\n') + 4)), {
    apiVersion: 'node.eks.aws/v1alpha1',
    kind: 'NodeConfig',
    spec: {
      cluster: {
        name: 'my-cluster',
        apiServerEndpoint: `https://${ENDPOINT}`,
        certificateAuthority: 'Q0E=',
        cidr: '10.100.0.0/16',
      },
      kubelet: { config: { resolvConf: '/etc/kubernetes/resolv.conf' } },
    },
  });
  const long = fresh({
    endpoint: ENDPOINT,
    details: { ...details, certificateAuthority: 'QUJD'.repeat(500) },
  });
  t.match(
    await textOf('nodeadm', { cluster: long }),
    `certificateAuthority: ${'QUJD'.repeat(500)}\n`,
    'on one line',
  );
  t.notMatch(
    await textOf('nodeadm', { serviceNetwork: undefined }),
    /cluster:/,
    'left to another NodeConfig',
  );
});

t.test('kubeconfig: the name and the certificate; what is not known is asked for', async (t) => {
  t.strictSame(parse(await textOf('kubeconfig')), {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'my-cluster',
        cluster: { server: `https://${ENDPOINT}`, 'certificate-authority-data': 'Q0E=' },
      },
    ],
    users: [
      {
        name: 'my-cluster-certificate',
        user: { 'client-certificate': '/k/admin.crt', 'client-key': '/k/admin.key' },
      },
    ],
    contexts: [{ name: 'my-cluster', context: { cluster: 'my-cluster', user: 'my-cluster-certificate' } }],
    'current-context': 'my-cluster',
  });
  const { text } = FORMATS['kubeconfig']!;
  t.match(await text({ ...SITE, identity: {} }), {
    error: /no client certificate/,
    fix: /--certificate FILE and --key/,
  });
  const { details: _, ...unknown } = cluster;
  t.match(await text({ ...SITE, cluster: unknown }), {
    error: /certificate authority .* not known/,
    fix: /--ca FILE/,
  });
  t.match(
    await textOf('kubeconfig', { cluster: unknown, identity: { ...SITE.identity, ca: '/k/ca.crt' } }),
    'certificate-authority: /k/ca.crt',
  );
});

t.test('names that need quotes get them', async (t) => {
  const odd = fresh({ cluster: 'my-cluster', endpoint: "it's.corp.example" });
  t.match(await textOf('windows', { file: { ...SITE.file, content: [odd] } }), "@('it''s.corp.example')");
});

t.test('servers: the flag, then the running server, then the configuration', async (t) => {
  const format = FORMATS['unbound']!;
  const listening = async (listen: string) => ({
    kind: 'config' as const,
    environment: {},
    isSandbox: false,
    config: await load(`clusters: [{ name: demo, region: us-west-2 }]
upstreams: [192.0.2.53]
listen: { dns: [${listen}] }
admin: { listen: '127.0.0.1:1' }
`),
  });
  t.strictSame(await serversFor(format, OTHER_PORT, { kind: 'none' }), OTHER_PORT);
  t.strictSame(await serversFor(format, [], await listening("'10.0.9.53:53', '127.0.0.1:53'")), [
    { address: '10.0.9.53', port: 53 },
  ]);
  t.match(await serversFor(format, [], await listening("'127.0.0.1:53'")), {
    error: /addresses of the servers are not known/,
    fix: /--server 10\.0\.9\.53/,
  });
  t.strictSame(await serversFor(FORMATS['resolv.conf']!, [], await listening("'127.0.0.1:53'")), [
    { address: '127.0.0.1', port: 53 },
  ]);
});

t.test('a process: what a format lacks is exit 1 with its fix, and wrong words are exit 2', async (t) => {
  const second = fresh({ cluster: 'second', endpoint: 'def.gr7.us-west-2.eks.amazonaws.com' });
  const state = await writeState(`${t.testdir()}/state`, [cluster, second]);
  const words = (...more: readonly string[]) => run(['export', '--state', state, ...more]);
  const [two, none, unbound, port, help] = await Promise.all([
    words('--format', 'bottlerocket', '--server', '10.0.9.53'),
    words('--cluster', 'third'),
    words('--format', 'unbound', '--server', '10.0.9.53', '10.0.9.54:5300', '--cluster', 'second'),
    words('--format', 'unbound', '--server', '10.0.9'),
    run(['export', '--help']),
  ]);
  const one = ['--cluster', 'second', '--format'];
  const [commas, wildcard, keyless, relative, hosts] = await Promise.all([
    words(...one, 'unbound', '--server', '10.0.9.53,10.0.9.54,'),
    words(...one, 'unbound', '--server', '0.0.0.0'),
    words(...one, 'kubeconfig', '--certificate', '/root/admin.crt'),
    words(...one, 'kubeconfig', '--certificate', 'admin.crt', '--key', '/root/admin.key', '--ca', '/root/ca'),
    words(...one, 'hosts', '--server', '10.0.9.53', '--service-cidr', '10.100.0.0/16'),
  ]);
  t.match(commas, { code: 2, stderr: /write --server 10\.0\.9\.53 10\.0\.9\.54\n/ });
  t.match(wildcard, { code: 2, stderr: /a wildcard, which no client can ask/ });
  t.match(keyless, { code: 1, stderr: /the key of the certificate is not named/ });
  const certificate = join(process.cwd(), 'admin.crt');
  t.match(relative, { code: 0, stderr: '', stdout: `client-certificate: ${certificate}` });
  t.match(hosts, {
    code: 0,
    stderr: /--server has no effect on hosts\n.*--service-cidr has no effect on hosts/,
  });
  t.match(two, {
    code: 1,
    stdout: '',
    stderr: /about a single cluster\n +add --cluster; .*my-cluster, second/,
  });
  t.match(none, { code: 1, stdout: '', stderr: /no endpoint of a cluster "third".*\n.*my-cluster, second/ });
  t.match(unbound, { code: 0, stderr: '', stdout: /forward-addr: 10\.0\.9\.54@5300/ });
  t.match(port, { code: 2, stdout: '' });
  for (const name of Object.keys(FORMATS)) t.ok(help?.stdout.includes(`  ${name} `), name);
});

t.test('kubeconfig: a certificate of the command line has no key of the configuration', async (t) => {
  const directory = t.testdir();
  const state = await writeState(`${directory}/state`, [cluster]);
  const kubernetes = '{certificate: /k/server.crt, key: /k/server.key, ca: /k/ca.crt}';
  const file = `${directory}/outpost-dns.yaml`;
  await writeFile(
    file,
    `clusters: [{name: my-cluster, region: us-west-2, kubernetes: ${kubernetes}}]
upstreams: [127.0.0.1:5391]
state: {directory: ${JSON.stringify(state)}}
`,
  );
  const words = (...more: readonly string[]) =>
    run(['export', '--config', file, '--format', 'kubeconfig', ...more]);
  const [alone, keyless, pair] = await Promise.all([
    words(),
    words('--certificate', '/root/admin.crt'),
    words('--certificate', '/root/admin.crt', '--key', '/root/admin.key'),
  ]);
  t.match(alone, { code: 0, stdout: /client-certificate: \/k\/server\.crt\n *client-key: \/k\/server\.key/ });
  t.match(keyless, { code: 1, stdout: '', stderr: /the key of the certificate is not named/ });
  t.match(pair, {
    code: 0,
    stdout: /certificate-authority: \/k\/ca\.crt[\s\S]*client-key: \/root\/admin\.key/,
  });
});
