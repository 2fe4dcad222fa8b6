import fc from 'fast-check';
import t from 'tap';
import { stringify } from 'yaml';
import { readKubeconfig } from '../../src/far-side/kubernetes/kubeconfig.ts';
import { addressesOfEndpoints, addressesOfSlices } from '../../src/far-side/kubernetes/kubernetes.ts';
import { SourceError } from '../../src/records/observation.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 300);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff);
t.comment(`fast-check seed ${seed}, ${numRuns} runs`);

const PATH = '/etc/kube/config';

function text(user: unknown, cluster: object = {}, top: object = {}): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    preferences: {},
    'current-context': 'site',
    contexts: [
      { name: 'other', context: { cluster: 'other', user: 'other' } },
      { name: 'site', context: { cluster: 'local', user: 'me', namespace: 'x' } },
    ],
    clusters: [{ name: 'local', cluster: { server: 'https://api.example', ...cluster } }],
    users: [
      { name: 'other', user: {} },
      { name: 'me', user },
    ],
    ...top,
  });
}

t.test('what is read: the current context, and the port of its server', (t) => {
  t.strictSame(readKubeconfig(text({ token: 'a' }), PATH), {
    port: 443,
    certificateAuthority: undefined,
    certificate: undefined,
    token: { kind: 'text', text: 'a' },
  });
  const user = {
    'client-certificate': 'me.crt',
    'client-certificate-data': Buffer.from('pem').toString('base64'),
    'client-key': '../me.key',
  };
  const cluster = { server: 'https://api.example:6443/x', 'certificate-authority': '/etc/ca.crt' };
  t.strictSame(readKubeconfig(text(user, cluster), PATH), {
    port: 6443,
    certificateAuthority: { kind: 'file', path: '/etc/ca.crt' },
    certificate: { certificate: { kind: 'text', text: 'pem' }, key: { kind: 'file', path: '/etc/me.key' } },
    token: undefined,
  });
  t.end();
});

const EXEC = {
  apiVersion: 'client.authentication.k8s.io/v1beta1',
  command: 'aws',
  args: ['--region', 'us-west-2', 'eks', 'get-token', '--cluster-name', 'my-cluster'],
};

/** Each line stands for ten times the one before. */
const BOMB = [
  'a: &a [x]',
  ...['ab', 'bc', 'cd', 'de'].map(([of, to]) => `${to}: &${to} [${Array(10).fill(`*${of}`)}]`),
];

const faults: readonly [what: string, content: string, detail: RegExp][] = [
  [
    'a command',
    text({ exec: EXEC }),
    /running "aws --region us-west-2 eks get-token.*asks AWS or another service, and a cut may take that away/,
  ],
  [
    'a plugin',
    text({ 'auth-provider': { name: 'oidc' } }),
    /auth-provider "oidc": use a client certificate or a token/,
  ],
  ['a password', text({ username: 'me', password: 's3cr3t' }), /by a password/],
  ['nothing', text({}), /user "me" has neither a client certificate nor a token/],
  ['a certificate alone', text({ 'client-certificate': 'x' }), /client-key is missing/],
  ['a key alone', text({ 'client-key-data': 'eA==' }), /client-certificate is missing/],
  [
    'trust in anybody',
    text({ token: 'a' }, { 'insecure-skip-tls-verify': true }),
    /insecure-skip-tls-verify is not supported/,
  ],
  [
    'plain HTTP',
    text({ token: 'a' }, { server: 'http://api.example' }),
    /server "http:\/\/api.example" is not an https/,
  ],
  ['no server', text({ token: 'a' }, { server: null }), /server "" is not an https/],
  ['no context', text({ token: 'a' }, {}, { 'current-context': '' }), /it has no current-context/],
  ['a context that is not there', text({ token: 'a' }, {}, { contexts: [] }), /context "site" is not in it/],
  [
    'a cluster that is not there',
    text({ token: 'a' }, {}, { clusters: null }),
    /cluster "local" is not in it/,
  ],
  ['a user that is not there', text({ token: 'a' }, {}, { users: [] }), /user "me" is not in it/],
  ['another shape', text('s3cr3t'), /"users\.1\.user" is not what a kubeconfig has there/],
  ['no map', '- s3cr3t', /it is not a map of keys, as a kubeconfig is/],
  ['nothing at all', '', /it is empty/],
  ['no YAML', 'token: [s3cr3t', /line 1 is not YAML/],
  ['an alias for nothing', 'token: *s3cr3t', /an alias in it cannot be resolved/],
  ['aliases that would fill memory', BOMB.join('\n'), /an alias in it cannot be resolved/],
];

t.test('what does not serve is said, and nothing that is secret', (t) => {
  for (const [what, content, detail] of faults) {
    try {
      readKubeconfig(content, PATH);
      t.fail(what);
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      t.equal(error.code, 'no-credentials', what);
      t.equal(error.reachedFarSide, false, what);
      t.match(error.message, detail, what);
      t.match(error.message, /^reading kubeconfig "\/etc\/kube\/config" failed: /, what);
      t.notMatch(error.message, /s3cr3t/, what);
    }
  }
  t.end();
});

/** Whether it returns, or throws what the room throws. */
function endsWell(run: () => unknown): boolean {
  try {
    run();
    return true;
  } catch (error) {
    return error instanceof SourceError && !error.reachedFarSide && error.message.length < 400;
  }
}

const key = fc.constantFrom(
  'kind',
  'items',
  'metadata',
  'continue',
  'addressType',
  'endpoints',
  'addresses',
  'conditions',
  'ready',
  'ports',
  'name',
  'port',
  'subsets',
  'ip',
  'users',
  'user',
  'clusters',
  'cluster',
  'contexts',
  'context',
  'current-context',
);
const word = fc.constantFrom(
  'EndpointSliceList',
  'Endpoints',
  'IPv4',
  '10.0.0.1',
  'https',
  'site',
  'local',
  443,
  true,
  null,
  '',
);
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc.oneof(word, fc.string({ maxLength: 8 }), fc.double()),
    fc.array(tie('tree'), { maxLength: 3 }),
    fc.dictionary(key, tie('tree'), { maxKeys: 6 }),
  ),
}));

t.test('whatever answers, and whatever the file holds, ends in a value or in an error of the room', (t) => {
  fc.assert(
    fc.property(tree, fc.constantFrom('EndpointSliceList', 'Endpoints'), (value, kind) => {
      const typed =
        typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value, kind } : value;
      return (
        endsWell(() => addressesOfSlices(typed)) &&
        endsWell(() => addressesOfEndpoints(typed)) &&
        endsWell(() => readKubeconfig(JSON.stringify(value) ?? '', PATH))
      );
    }),
    { numRuns, seed },
  );
  fc.assert(
    fc.property(fc.string(), fc.nat(), (junk, at) => {
      const whole = text({ token: 'a' });
      const cut = at % whole.length;
      return endsWell(() =>
        readKubeconfig(whole.slice(0, cut) + junk + whole.slice(cut + junk.length), PATH),
      );
    }),
    { numRuns, seed },
  );
  t.end();
});
