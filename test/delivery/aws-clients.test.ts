/** The bundle of the thread with the AWS clients holds what the polls need of them, and no other command of the SDK. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Metafile } from 'esbuild';
import t from 'tap';
import { FarSide } from '../../src/far-side/far-side.ts';
import { DIRECT } from '../../src/far-side/outbound.ts';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { contextOf } from '../far-side/polling.ts';
import { startRegion } from '../far-side/region.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { PATIENCE_MS } from '../helpers/patience.ts';

process.chdir(tmpdir()); // a build works in every directory; the bundler asks for it as it is loaded
const { bundleInto } = await import('../../scripts/bundle.ts');

/** The EC2 client with all its commands is a file of 1.9 MB. */
const MOST_OCTETS = 330_000;

t.test('a bundled client has the commands of the polls alone', async (t) => {
  const folder = t.testdir({ 'package.json': '{"type":"module"}' });
  const { inputs, outputs } = await bundleInto(folder);
  const clients = Object.keys(inputs).filter((path) => path.startsWith('aws-client:'));
  t.strictSame(
    clients.map((path) => path.split('/').at(-1)).sort(),
    ['client-cloudwatch', 'client-ec2', 'client-eks', 'client-route-53'],
    'and each is loaded when it is first needed',
  );
  for (const [path, { bytes, inputs: parts }] of Object.entries(outputs)) {
    const isOfClient = Object.keys(parts).some((part) => part.includes('/@aws-sdk/'));
    if (isOfClient) t.ok(bytes <= MOST_OCTETS, `${path.split('/').at(-1)}: ${bytes} octets`);
  }
  for (const [path, { entryPoint = '' }] of Object.entries(outputs)) {
    if (
      !/^src\/far-side\/(?:aws\/|endings|head|prove|local-files|far-side-thread)|^aws-client:/.test(
        entryPoint,
      )
    )
      continue;
    const parts = loadedWith(path, outputs).flatMap((loaded) => Object.keys(outputs[loaded]?.inputs ?? {}));
    const unneeded = parts.filter((part) => /node_modules\/(?:yaml|zod)\//.test(part));
    t.strictSame(unneeded, [], `${entryPoint} loads no reader of YAML and no schemas`);
  }

  await startRegion(t);
  const farSide = new FarSide({
    clock: systemClock,
    timers: systemTimers,
    log: new CollectingLog(),
    outbound: DIRECT,
    program: pathToFileURL(join(folder, 'far-side-thread.js')),
  });
  t.teardown(() => farSide[Symbol.dispose]());
  const soon = () => AbortSignal.timeout(PATIENCE_MS);
  const poll = (source: 'cluster' | 'interfaces' | 'route53', known = {}) =>
    farSide.poll(source, {}, contextOf({ cluster: 'demo', ...known }), soon());
  t.match(await poll('cluster'), { kind: 'details' });
  t.match(await poll('interfaces'), { kind: 'addresses' }, 'by the descriptions of the interfaces');
  t.match(
    await poll('interfaces', { generation: 'ebs' }),
    { kind: 'failed', reason: 'empty', reachedFarSide: true },
    'by the instances, of which this cluster has none',
  );
  t.match(await poll('route53', { endpoint: 'multi.site.example' }), { kind: 'addresses' });
  const place = { region: 'us-west-2', profile: undefined };
  t.match(await farSide.outpost({ place, outpost: 'op-0123456789abcdef0' }, soon()), { kind: 'seen' });
});

/** The file itself, and all files that its import loads at once. */
function loadedWith(path: string, outputs: Metafile['outputs'], loaded: string[] = []): readonly string[] {
  if (loaded.includes(path)) return loaded;
  loaded.push(path);
  for (const { path: next, kind } of outputs[path]?.imports ?? [])
    if (kind === 'import-statement') loadedWith(next, outputs, loaded);
  return loaded;
}
