/** The path to AWS through a real proxy, and with authorities of the operator's own: which requests take it, and how it fails. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import { DIRECT, type Outbound } from '../../src/far-side/outbound.ts';
import type { FailureReason } from '../../src/records/observation.ts';
import {
  AUTHORITY_FILE,
  ConnectProxy,
  type ProxyManner,
  type ProxyOptions,
  tlsBefore,
} from '../helpers/connect-proxy.ts';
import { PATIENCE_MS } from '../helpers/patience.ts';
import { clientsFor, credentialFiles, headHere, sourcesAt, startRegion } from './region.ts';

const HEAD_OF_EC2 = { url: 'https://ec2.us-west-2.amazonaws.com/ping' };

/** A Region that is reached through a proxy alone, under the names that AWS has. */
async function behindProxy(t: Test, options: Omit<ProxyOptions, 'target'> = {}) {
  const sandbox = await startRegion(t);
  for (const name of Object.keys(process.env))
    if (name.startsWith('AWS_ENDPOINT_URL')) delete process.env[name];
  const front = await tlsBefore(sandbox.regionUrl);
  t.teardown(() => front[Symbol.asyncDispose]());
  const proxy = await ConnectProxy.start({ target: { host: '127.0.0.1', port: front.port }, ...options });
  t.teardown(() => proxy[Symbol.asyncDispose]());
  const through = (url = proxy.url(), more: Partial<Outbound> = {}): Outbound => ({
    httpsProxy: url,
    noProxy: [],
    caBundle: AUTHORITY_FILE,
    ...more,
  });
  return { sandbox, proxy, front, through };
}

function observing(t: Test, sandbox: Sandbox, outbound: Outbound) {
  return sourcesAt(sandbox, clientsFor(t, { outbound, connectTimeoutMs: 1_000 }), { route53: {} });
}

const SOURCES = ['interfaces', 'cluster', 'route53'] as const;
const known = { endpoint: 'api.site.example' };

t.test('EC2, EKS, Route 53 and the sign of life go through the proxy, under the names of AWS', async (t) => {
  const { sandbox, proxy, through } = await behindProxy(t);
  const observe = observing(t, sandbox, through());
  for (const name of SOURCES) t.not((await observe(name, known)).kind, 'failed', name);
  t.strictSame(
    new Set(proxy.asked),
    new Set([
      'ec2.us-west-2.amazonaws.com:443',
      'eks.us-west-2.amazonaws.com:443',
      'route53.amazonaws.com:443',
    ]),
  );
  proxy.asked.length = 0;
  t.equal(await headHere(HEAD_OF_EC2, through(), AbortSignal.timeout(PATIENCE_MS)), 'answered');
  t.strictSame(proxy.asked, ['ec2.us-west-2.amazonaws.com:443']);
});

t.test('a role asks STS through the proxy', async (t) => {
  const { sandbox, proxy, through } = await behindProxy(t);
  const files = credentialFiles(t);
  files.writeKey(sandbox.state.accessKeys[0]!);
  files.writeConfig(
    '[profile site]\nrole_arn = arn:aws:iam::111122223333:role/site\nsource_profile = default\nregion = us-west-2\n',
  );
  const clients = clientsFor(t, { outbound: through(), connectTimeoutMs: 1_000 });
  await sourcesAt(sandbox, clients, { profile: 'site' })('interfaces');
  t.ok(proxy.asked.includes('sts.us-west-2.amazonaws.com:443'), proxy.asked.join());
});

t.test('SSO asks its portal through the proxy', async (t) => {
  const { sandbox, proxy, through } = await behindProxy(t);
  const home = t.testdir({});
  const { HOME } = process.env;
  process.env['HOME'] = home; // the SDK keeps the tokens of SSO below it
  t.teardown(() => {
    process.env['HOME'] = HOME;
  });
  const files = credentialFiles(t);
  files.writeConfig(
    '[profile site]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = site\nregion = us-west-2\n' +
      '[sso-session corp]\nsso_region = us-west-2\nsso_start_url = https://corp.example/start\n',
  );
  const cache = join(home, '.aws', 'sso', 'cache');
  mkdirSync(cache, { recursive: true });
  const token = { accessToken: 'a-token', expiresAt: new Date(Date.now() + 3_600_000).toISOString() };
  const name = createHash('sha1').update('corp').digest('hex');
  writeFileSync(join(cache, `${name}.json`), JSON.stringify(token));
  const clients = clientsFor(t, { outbound: through(), connectTimeoutMs: 1_000 });
  await sourcesAt(sandbox, clients, { profile: 'site' })('interfaces');
  t.ok(proxy.asked.includes('portal.sso.us-west-2.amazonaws.com:443'), proxy.asked.join());
});

t.test('a proxy that wants user and password gets them from its URL', async (t) => {
  const { sandbox, proxy, through } = await behindProxy(t, { credentials: 'user:p@ss%' });
  const right = through(proxy.url('user:p%40ss%25'));
  t.not((await observing(t, sandbox, right)('interfaces')).kind, 'failed');
  t.equal(await headHere(HEAD_OF_EC2, right, AbortSignal.timeout(PATIENCE_MS)), 'answered');
  for (const wrong of ['', 'user:other']) {
    const outbound = through(proxy.url(wrong));
    const seen = await observing(t, sandbox, outbound)('interfaces');
    t.match(seen, {
      kind: 'failed',
      reason: 'proxy',
      reachedFarSide: false,
      detail: /asks for credentials \(407\)/,
    });
    t.notMatch(JSON.stringify(seen), 'other');
    t.equal(await headHere(HEAD_OF_EC2, outbound, AbortSignal.timeout(PATIENCE_MS)), 'proxy');
  }
});

const MANNERS: readonly (readonly [ProxyManner, FailureReason, RegExp])[] = [
  [403, 'proxy', /the proxy http:\/\/127\.0\.0\.1:\d+ refused the connection to aws with status 403/],
  [407, 'proxy', /asks for credentials/],
  [502, 'proxy', /refused the connection to aws with status 502/],
  [503, 'proxy', /status 503/],
  [504, 'proxy', /status 504/],
  ['drop', 'proxy', /ended the connection without an answer/],
  ['reset', 'proxy', /ended the connection: ECONNRESET/],
  ['drop-tunnel', 'proxy', /ended the connection: ECONNRESET/],
  ['babble', 'proxy', /gave no answer in http/],
  ['hang', 'timeout', /did not answer in time through the proxy http/],
  ['half', 'timeout', /did not answer in time through the proxy http/],
];

t.test(
  'each fault of a proxy is reported as such: no answer of AWS, and no cut except silence',
  async (t) => {
    const { sandbox, proxy, through } = await behindProxy(t);
    const observe = observing(t, sandbox, through());
    for (const [manner, reason, detail] of MANNERS) {
      proxy.manner = manner;
      const seen = await observe('interfaces');
      t.match(seen, { kind: 'failed', reason, reachedFarSide: false, detail }, `${manner}`);
      const limit = AbortSignal.timeout(reason === 'timeout' ? 300 : PATIENCE_MS);
      t.equal(await headHere(HEAD_OF_EC2, through(), limit), reason, `sign of life: ${manner}`);
    }
    proxy.manner = 'tunnel';
    t.not((await observe('interfaces')).kind, 'failed', 'and works again at once');
  },
);

t.test('a proxy that is not there, or has no name', async (t) => {
  const { sandbox, through } = await behindProxy(t);
  for (const [url, reason, detail] of [
    ['http://127.0.0.1:9', 'proxy', /the proxy http:\/\/127\.0\.0\.1:9 takes no connections: ECONNREFUSED/],
    ['http://[::1]:9', 'proxy', /the proxy http:\/\/\[::1\]:9 takes no connections: ECONNREFUSED/],
  ] as const) {
    const outbound = through(url);
    t.match(await observing(t, sandbox, outbound)('cluster'), { kind: 'failed', reason, detail }, url);
    t.equal(await headHere(HEAD_OF_EC2, outbound, AbortSignal.timeout(PATIENCE_MS)), reason, url);
  }
});

t.test('a request to a proxy that hangs leaves no connection open', async (t) => {
  const { proxy, through } = await behindProxy(t, { manner: 'hang' });
  for (let sign = 0; sign < 5; sign++) await headHere(HEAD_OF_EC2, through(), AbortSignal.timeout(50));
  for (let turn = 0; turn < 400 && proxy.connections > 0; turn++)
    await new Promise((next) => setTimeout(next, 50));
  t.equal(proxy.connections, 0);
});

t.test('a proxy on IPv6, and one that speaks TLS itself', async (t) => {
  const { sandbox, front } = await behindProxy(t);
  await using six = await ConnectProxy.start({
    target: { host: '127.0.0.1', port: front.port },
    address: '::1',
  });
  const outbound: Outbound = { httpsProxy: six.url(), noProxy: [], caBundle: AUTHORITY_FILE };
  t.not((await observing(t, sandbox, outbound)('interfaces')).kind, 'failed');
  t.equal(await headHere(HEAD_OF_EC2, outbound, AbortSignal.timeout(PATIENCE_MS)), 'answered');
  t.equal(
    await headHere(
      { ...HEAD_OF_EC2, address: '::1' },
      { ...outbound, httpsProxy: `http://proxy.test:${six.port}` },
      AbortSignal.timeout(PATIENCE_MS),
    ),
    'answered',
    'a proxy with a name, at the address that it was resolved to',
  );
  await using secure = await ConnectProxy.start({
    target: { host: '127.0.0.1', port: front.port },
    isSecure: true,
  });
  const strange = { ...outbound, httpsProxy: secure.url() };
  const seen = await observing(t, sandbox, strange)('interfaces');
  t.match(
    seen,
    { reason: 'untrusted-certificate' },
    'the authority of the proxy itself is one for NODE_EXTRA_CA_CERTS',
  );
});

t.test('hosts in NO_PROXY are asked directly, and an http endpoint through HTTP_PROXY alone', async (t) => {
  const sandbox = await startRegion(t); // an http: URL on loopback
  const { hostname, port } = new URL(sandbox.regionUrl);
  await using proxy = await ConnectProxy.start({ target: { host: hostname, port: Number(port) } });
  for (const [outbound, isProxied] of [
    [{ httpProxy: proxy.url(), noProxy: [] }, true],
    [{ httpsProxy: proxy.url(), noProxy: [] }, false],
    [{ httpProxy: proxy.url(), noProxy: ['127.0.0.0/8'] }, false],
    [{ httpProxy: proxy.url(), noProxy: ['*'] }, false],
  ] as const) {
    proxy.asked.length = 0;
    t.not((await observing(t, sandbox, outbound)('interfaces')).kind, 'failed');
    const head = headHere({ url: `${sandbox.regionUrl}/ping` }, outbound, AbortSignal.timeout(PATIENCE_MS));
    t.equal(await head, 'answered');
    t.equal(proxy.asked.length > 0, isProxied, JSON.stringify(outbound));
  }
  const outbound = { httpProxy: proxy.url(), noProxy: [] };
  for (const manner of [407, 502, 503, 200] as const) {
    proxy.manner = manner;
    const seen = await observing(t, sandbox, outbound)('cluster');
    t.match(
      seen,
      { kind: 'failed', reason: 'proxy', reachedFarSide: false },
      `a page of the proxy with ${manner}`,
    );
    if (manner === 200) continue; // an endpoint of the operator's own may answer so
    const head = headHere({ url: `${sandbox.regionUrl}/ping` }, outbound, AbortSignal.timeout(PATIENCE_MS));
    t.equal(await head, 'proxy', `sign of life: ${manner}`);
  }
});

t.test(
  'TLS that is intercepted by an unknown authority is named, and works once the authority is configured',
  async (t) => {
    const { sandbox, through } = await behindProxy(t);
    const unknown = through(undefined, { caBundle: undefined });
    t.match(await observing(t, sandbox, unknown)('interfaces'), {
      kind: 'failed',
      reason: 'untrusted-certificate',
      reachedFarSide: false,
      detail: /intercepts tls, or its authority is not known here: .*AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS$/,
    });
    t.equal(await headHere(HEAD_OF_EC2, unknown, AbortSignal.timeout(PATIENCE_MS)), 'untrusted-certificate');
    t.not((await observing(t, sandbox, through())('interfaces')).kind, 'failed');
  },
);

t.test('a file in AWS_CA_BUNDLE that cannot be used is named, and used once it can be', async (t) => {
  const { sandbox, through } = await behindProxy(t);
  const file = join(t.testdir(), 'ca.pem');
  const observe = observing(t, sandbox, through(undefined, { caBundle: file }));
  const fails = (detail: RegExp) => ({ kind: 'failed', reason: 'untrusted-certificate', detail });
  t.match(await observe('interfaces'), fails(/AWS_CA_BUNDLE ".*ca\.pem" failed: no such file \(ENOENT\)/));
  writeFileSync(file, 'no certificate');
  t.match(await observe('interfaces'), fails(/holds no certificate in PEM/));
  writeFileSync(file, (await import('../helpers/connect-proxy.ts')).authority);
  t.not((await observe('interfaces')).kind, 'failed');
});

t.test('a file of AWS that never answers is named in time, and holds up nothing else', async (t) => {
  const { sandbox, through } = await behindProxy(t);
  const pipe = join(t.testdir(), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const soon = () => AbortSignal.timeout(PATIENCE_MS);
  const bundle = through(undefined, { caBundle: pipe });
  t.match(await observing(t, sandbox, bundle)('interfaces'), {
    kind: 'failed',
    reason: 'untrusted-certificate',
    reachedFarSide: false,
    detail: /^reading the authorities in AWS_CA_BUNDLE ".*pipe" failed: not a file$/,
  });
  t.equal(await headHere(HEAD_OF_EC2, bundle, soon()), 'untrusted-certificate');
  for (const key of ['configFile', 'credentialsFile'] as const) {
    const outbound = through(undefined, { [key]: pipe });
    t.match(await observing(t, sandbox, outbound)('interfaces'), {
      kind: 'failed',
      reason: 'no-credentials',
      reachedFarSide: false,
      detail: /^reading the aws configuration in ".*pipe" failed: not a file$/,
    });
    const without = { ...outbound, caBundle: undefined };
    t.equal(await headHere(HEAD_OF_EC2, without, soon()), 'silent', 'nothing is said of the link');
  }
});

t.test('ca_bundle of the profile in use counts where AWS_CA_BUNDLE is not set', async (t) => {
  const { sandbox, through } = await behindProxy(t);
  const files = credentialFiles(t);
  files.writeKey(sandbox.state.accessKeys[0]!);
  const configFile = join(files.directory, 'config');
  files.writeConfig(
    `[default]\nca_bundle = ${AUTHORITY_FILE}\n[profile other]\nca_bundle=/nowhere/ca.pem\nsource_profile = default\n[profile bare]\nregion = us-west-2\n`,
  );
  const found = async (profile: string | undefined, more: Partial<Outbound>) => {
    const outbound = through(undefined, { caBundle: undefined, configFile, ...more });
    const head = headHere({ ...HEAD_OF_EC2, profile }, outbound, AbortSignal.timeout(PATIENCE_MS));
    const clients = clientsFor(t, { outbound, connectTimeoutMs: 1_000 });
    const seen = await sourcesAt(sandbox, clients, { profile })('interfaces');
    return [await head, seen.kind === 'failed' ? seen.detail : seen.kind];
  };
  const elsewhere =
    'reading the authorities in ca_bundle of profile "other": "/nowhere/ca.pem" failed: no such file (ENOENT)';
  const unknown = /its authority is not known here/;
  t.strictSame(await found(undefined, {}), ['answered', 'addresses'], 'of the default profile');
  t.strictSame(
    await found('other', {}),
    ['untrusted-certificate', elsewhere],
    'of the profile of the cluster',
  );
  t.strictSame(
    await found(undefined, { profile: 'other' }),
    ['untrusted-certificate', elsewhere],
    'AWS_PROFILE',
  );
  t.match(await found('bare', {}), ['untrusted-certificate', /./], 'a profile without the key');
  t.equal((await found('other', { caBundle: AUTHORITY_FILE }))[0], 'answered', 'AWS_CA_BUNDLE wins');
  t.match(await found(undefined, { configFile: '/nowhere/config' }), ['untrusted-certificate', unknown]);
});

t.test('IMDS is never asked through a proxy, whatever Node is configured to do', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  files.writeConfig('');
  await using proxy = await ConnectProxy.start({ target: { host: '127.0.0.1', port: 9 } });
  delete process.env['AWS_EC2_METADATA_DISABLED'];
  process.env['AWS_EC2_METADATA_SERVICE_ENDPOINT'] = 'http://127.0.0.1:9';
  const http = (await import('node:http')).default;
  const before = http.globalAgent;
  // as NODE_USE_ENV_PROXY makes it
  http.globalAgent = new http.Agent({ proxyEnv: { HTTP_PROXY: proxy.url() } });
  t.teardown(() => {
    http.globalAgent = before;
  });
  const observe = observing(t, sandbox, { ...DIRECT, httpProxy: proxy.url(), httpsProxy: proxy.url() });
  t.match(await observe('interfaces'), { reason: 'no-credentials' });
  t.strictSame(proxy.asked, []);
});
