import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { API_NAME, fileOf, pem } from './api-server.ts';
import { A, B, C, fails, pollServers, sees, three } from './kubernetes-polls.ts';
import { poll } from './polling.ts';

function written(t: Test, name: string, text: string): string {
  const path = join(t.testdir(), name);
  writeFileSync(path, text);
  return path;
}

t.test('a kubeconfig: certificate or token, in it or beside it, on the port of its server', async (t) => {
  await using servers = await three();
  const directory = t.testdir({
    'a.crt': pem.certificate,
    'a.key': pem.key,
    token: ' the-token\n',
    'ca.crt': pem.ca,
  });
  const path = join(directory, 'kubeconfig');
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const users: readonly [what: string, user: object, cluster?: object][] = [
    ['data', { 'client-certificate-data': base64(pem.certificate), 'client-key-data': base64(pem.key) }],
    ['relative paths', { 'client-certificate': 'a.crt', 'client-key': './a.key' }],
    [
      'absolute paths',
      { 'client-certificate': join(directory, 'a.crt'), 'client-key': join(directory, 'a.key') },
    ],
    ['a token', { token: 'the-token' }],
    ['a file of a token, which wins', { tokenFile: 'token', token: 'another' }],
    [
      'an authority in a file',
      { token: 'the-token' },
      { 'certificate-authority-data': '', 'certificate-authority': 'ca.crt' },
    ],
  ];
  for (const [what, user, cluster] of users) {
    writeFileSync(path, servers.kubeconfig(user, cluster));
    const settings = { kubernetes: { kind: 'kubeconfig', kubeconfig: path } } as const;
    const known = { endpoint: API_NAME, knownAddresses: [A] };
    t.strictSame(await poll('kubernetes', known, { settings }), sees(A, B, C), what);
  }
  servers.token = 'changed';
  const access = { kind: 'kubeconfig', kubeconfig: path } as const;
  t.match(await pollServers(servers, { access }), fails('expired-credentials', /the token is not accepted/));
});

t.test('a kubeconfig without an authority is completed by that of DescribeCluster', async (t) => {
  await using servers = await three();
  const path = written(
    t,
    'kubeconfig',
    servers.kubeconfig({ token: 'the-token' }, { 'certificate-authority-data': null }),
  );
  const certificateAuthority = Buffer.from(pem.ca).toString('base64');
  const access = { kind: 'kubeconfig', kubeconfig: path } as const;
  t.strictSame(await pollServers(servers, { access, known: { certificateAuthority } }), sees(A, B, C));
  t.match(
    await pollServers(servers, { access }),
    fails('no-credentials', /authority of the cluster is not known/),
  );
});

t.test(
  'files are read at each poll: rotated while the process runs, missing, cut in half, unusable',
  async (t) => {
    await using servers = await three();
    const directory = t.testdir({ 'a.crt': pem.expiredCertificate, 'a.key': pem.key });
    const paths = { certificate: join(directory, 'a.crt'), key: join(directory, 'a.key') };
    const observe = () =>
      pollServers(servers, { access: { kind: 'certificate', ...paths, ca: fileOf('ca.crt') } });
    t.match(await observe(), { reason: 'expired-credentials' }, 'ended');
    writeFileSync(paths.certificate, pem.certificate);
    t.strictSame(await observe(), sees(A, B, C), 'rotated');
    writeFileSync(paths.certificate, pem.certificate.slice(0, 200));
    t.match(await observe(), fails('no-credentials', /cannot be used: ERR_OSSL/), 'half a certificate');
    writeFileSync(paths.certificate, pem.ca);
    t.match(
      await observe(),
      fails('no-credentials', /cannot be used: ERR_OSSL_X509_KEY_VALUES_MISMATCH/),
      'another key',
    );
    writeFileSync(paths.certificate, 'x'.repeat(1_100_000));
    t.match(
      await observe(),
      fails('no-credentials', /a\.crt" failed: more than 1048576 octets/),
      'too large',
    );
    writeFileSync(paths.certificate, pem.certificate);
    const gone = { kind: 'certificate', ...paths, key: join(directory, 'gone') } as const;
    t.match(
      await pollServers(servers, { access: { ...gone, ca: fileOf('ca.crt') } }),
      fails('no-credentials', /gone" failed: no such file \(ENOENT\)/),
    );
    const notAFile = { kind: 'certificate', ...paths, key: directory } as const;
    t.match(
      await pollServers(servers, { access: { ...notAFile, ca: fileOf('ca.crt') } }),
      fails('no-credentials', /failed: not a file/),
    );
  },
);

t.test('no secret is told, whatever goes wrong with it', async (t) => {
  await using servers = await three();
  const secrets = ['s3cr3t-token\u0001', 's3cr3t token', ''];
  for (const token of secrets) {
    const path = written(t, 'kubeconfig', servers.kubeconfig({ tokenFile: 'token' }));
    writeFileSync(join(path, '../token'), token);
    const observed = await pollServers(servers, { access: { kind: 'kubeconfig', kubeconfig: path } });
    t.match(observed, fails('no-credentials', /the token is empty, or not one word/));
    t.notMatch(JSON.stringify(observed), /s3cr3t/);
  }
});
