import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { callSandbox } from '../../sandbox/control-client.ts';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { Prover } from '../../src/far-side/handshake.ts';
import { systemTimers } from '../../src/runtime/clock.ts';
import { PATIENCE_MS } from '../helpers/patience.ts';

t.test('API servers answer by real TLS at the addresses of the interfaces, and at no others', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'api-servers-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const controlPath = join(directory, 'control.sock');
  await using sandbox = await startSandbox({ controlPath });
  const [cluster] = sandbox.state.clusters;
  const [address = '', port = ''] = sandbox.apiServers.proxy.split(':');
  const prover = new Prover({ text: () => Promise.reject(new Error('no file is read')) }, systemTimers);
  const prove = (at: string) =>
    prover.prove(
      {
        address: at,
        port: 443,
        names: [cluster?.endpoint.toLowerCase() ?? ''],
        authorities: { described: cluster?.certificateAuthority },
        proxy: { address, port: Number(port) },
        timeoutMs: PATIENCE_MS,
      },
      AbortSignal.timeout(PATIENCE_MS),
    );
  t.strictSame(await prove('10.0.1.10'), { kind: 'proven' });
  t.strictSame(await prove('10.0.9.9'), { kind: 'silent', reason: 'network' });
  sandbox.state.moveInterface({ cluster: 'demo', from: '10.0.1.10', to: '10.0.9.9' });
  t.strictSame(await prove('10.0.9.9'), { kind: 'proven' }, 'the API server moves with its interface');
  t.strictSame(await prove('10.0.1.10'), { kind: 'silent', reason: 'network' });
  const host = (to: string) => callSandbox(controlPath, 'POST', '/host', { address: '10.0.9.9', host: to });
  await host('other');
  t.strictSame(await prove('10.0.9.9'), { kind: 'refused', reason: 'other-authority' });
  await host('none');
  t.strictSame(await prove('10.0.9.9'), { kind: 'silent', reason: 'network' });
  await host('auto');
  t.strictSame(await prove('10.0.9.9'), { kind: 'proven' });
  await t.rejects(callSandbox(controlPath, 'POST', '/host', { address: 'x', host: 'api' }));
  t.match(
    sandbox.configYaml({ dnsPort: 1, httpPort: 2, stateDirectory: '/x', isProving: true }),
    /proxy: 127\.0\.0\.1:/,
  );
});
