/** When credentials end, as the polls report it: from the files that they use. */
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { endingsIn } from '../../src/far-side/endings.ts';
import { type CredentialUse, Endings } from '../../src/far-side/far-side-thread.ts';
import { LocalFiles, SharedFiles } from '../../src/far-side/local-files.ts';
import { DIRECT } from '../../src/far-side/outbound.ts';
import type { Observation } from '../../src/records/observation.ts';
import { systemTimers } from '../../src/runtime/clock.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { fileOf, pem } from './api-server.ts';
import { contextOf } from './polling.ts';
import { clientsFor, credentialFiles } from './region.ts';

const files = new LocalFiles(systemTimers);
const endOf = (text: string) => new X509Certificate(text).validToDate.getTime();
const signal = new AbortController().signal;

const SEEN: Observation = { kind: 'addresses', source: 'interfaces', addresses: ['10.0.0.1'] };
const DENIED: Observation = {
  kind: 'failed',
  source: 'interfaces',
  reason: 'no-credentials',
  reachedFarSide: false,
  detail: 'none',
};

t.test('the client certificate for the API servers, also one that has ended', async (t) => {
  const clock = new VirtualTime('2026-03-01T12:00:00Z');
  const endings = new Endings({ aws: clientsFor(t), shared: new SharedFiles(DIRECT, files), files, clock });
  for (const name of ['client.crt', 'client-expired.crt']) {
    const kubernetes = { kind: 'certificate', certificate: fileOf(name), key: fileOf('client.key') } as const;
    const request: CredentialUse = { source: 'kubernetes', settings: { kubernetes }, context: contextOf() };
    const observation = await endings.added(request, { ...SEEN, source: 'kubernetes' }, signal);
    const text = name === 'client.crt' ? pem.certificate : pem.expiredCertificate;
    t.strictSame(observation.endings, [
      { what: 'kubernetes-certificate', endsAtMs: endOf(text), isRenewed: false },
    ]);
  }
  const gone = { kind: 'certificate', certificate: '/nowhere/client.crt', key: '/nowhere/key' } as const;
  const request: CredentialUse = {
    source: 'kubernetes',
    settings: { kubernetes: gone },
    context: contextOf(),
  };
  t.strictSame(
    await endings.added(request, SEEN, signal),
    SEEN,
    'a file that is gone is not the matter of this',
  );
});

t.test('the certificate of IAM Roles Anywhere and its session, from the profile', async (t) => {
  const { directory } = credentialFiles(t);
  const expiration = '2026-03-01T13:00:00.000Z';
  const helper = join(directory, 'aws_signing_helper');
  const output = JSON.stringify({
    Version: 1,
    AccessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    SecretAccessKey: 'secret',
    SessionToken: 'token',
    Expiration: '2126-03-01T13:00:00.000Z',
  });
  writeFileSync(helper, `#!/bin/sh\necho '${output}'\n`, { mode: 0o755 });
  const command = `${helper} credential-process --certificate ${fileOf('client.crt')} --private-key k`;
  const configFile = join(directory, 'config');
  writeFileSync(configFile, `[default]\ncredential_process = ${command}\n`);
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'])
    delete process.env[name];
  process.env['AWS_CONFIG_FILE'] = configFile;
  const shared = new SharedFiles({ ...DIRECT, configFile, credentialsFile: join(directory, 'none') }, files);
  const clock = new VirtualTime('2026-03-01T12:00:00Z');
  const endings = new Endings({ aws: clientsFor(t), shared, files, clock });
  const request: CredentialUse = { source: 'interfaces', settings: {}, context: contextOf() };
  const certificate = {
    what: 'roles-anywhere-certificate',
    endsAtMs: endOf(pem.certificate),
    isRenewed: false,
  };
  const session = { what: 'session', endsAtMs: Date.parse('2126-03-01T13:00:00.000Z'), isRenewed: true };
  t.strictSame((await endings.added(request, SEEN, signal)).endings, [certificate, session]);
  t.strictSame((await endings.added(request, DENIED, signal)).endings, [certificate], expiration);
});

t.test('which sessions renew themselves', (t) => {
  const endsAtMs = 1;
  for (const [facts, isRenewed] of [
    [{ kind: 'role', endsAtMs }, true],
    [{ kind: 'process', endsAtMs }, true],
    [{ kind: 'session', endsAtMs, file: '/var/lib/amazon/credentials' }, true],
    [{ kind: 'session', endsAtMs }, false],
  ] as const) {
    t.strictSame(endingsIn(facts), [{ what: 'session', endsAtMs, isRenewed }], facts.kind);
  }
  t.strictSame(endingsIn({ kind: 'static' }), []);
  t.strictSame(endingsIn({ kind: 'none', reason: 'no-credentials', detail: '' }), []);
  t.end();
});
