/** The state directory on a file system whose server stands still: FUSE's kernel side and a stopped bindfs, as a dead NFS server. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab, LabCheck } from './check.ts';
import { atTheEnd, Background, eventually, must } from './commands.ts';
import { LoopbackSite } from './loopback-site.ts';
import { ENDPOINT } from './sandbox-site.ts';

const [DNS_PORT, HTTP_PORT] = [5471, 9171];
/** A start waits for the disk for two seconds, a stop for eight; the machine may stand still for some more. */
const [START_WITHIN_MS, SEEN_WITHIN_MS, STOP_WITHIN_MS] = [20_000, 60_000, 30_000];

export const hungDisk: LabCheck = {
  name: 'hung-disk',
  about: 'a state directory on a disk that does not answer: at the start, later, and at the end',
  tools: ['bindfs', 'fusermount3'],
  async run(lab) {
    const site = await LoopbackSite.start(lab.workshop, {
      name: 'hung-disk',
      dnsPort: DNS_PORT,
      httpPort: HTTP_PORT,
      overrides: {},
    });
    await using stack = new AsyncDisposableStack();
    stack.use(site);
    const disk = stack.use(await mountDisk(site));
    await learn(site);
    await lab.step('a disk that hangs at the start: SIGTERM ends the server', async () => {
      disk.hang();
      site.startServer(site.environment);
      // in whatever moment of its start
      await new Promise((resolve) => setTimeout(resolve, 500));
      lab.note(`ended after ${Math.round((await site.server.end('SIGTERM', STOP_WITHIN_MS)).tookMs)} ms`);
    });
    await lab.step('a disk that hangs at the start: it is answered, and said', () => hangAtStart(lab, site));
    await lab.step('the disk answers again: nothing is lost, and it is well', async () => {
      disk.answer();
      await faults(site, (found) => found.length === 0);
      assert.equal((await site.ask({ name: ENDPOINT })).answers.length, 3);
    });
    await lab.step('a disk that hangs later: it is answered, polled on, and said', async () => {
      disk.hang();
      process.kill(site.server.pid, 'SIGHUP'); // a reload has a line in the ledger
      await site.untilRefreshed(2, SEEN_WITHIN_MS);
      await faults(site, (found) => found.some((text) => text.includes('has not answered for')));
      assert.equal((await site.ask({ name: ENDPOINT })).answers.length, 3);
      assert.match(await site.page('/'), /has not answered for/, 'the page waits for no disk');
    });
    await lab.step('a disk that hangs at the end: the server ends', async () => {
      lab.note(`ended after ${Math.round((await site.server.end('SIGTERM', STOP_WITHIN_MS)).tookMs)} ms`);
    });
  },
};

interface Disk extends AsyncDisposable {
  hang(): void;
  answer(): void;
}

async function mountDisk({ room, stateDirectory }: LoopbackSite): Promise<Disk> {
  const behind = join(room, 'disk');
  for (const folder of [behind, stateDirectory]) await mkdir(folder, { recursive: true });
  const server = new Background(['bindfs', '-f', behind, stateDirectory]);
  const unmount = () => void spawnSync('fusermount3', ['-u', '-z', stateDirectory]);
  const release = atTheEnd(unmount);
  await eventually('the disk is mounted', 10_000, async () => {
    const types = await must(['stat', '-f', '-c', '%T', stateDirectory]);
    return types.startsWith('fuse') || undefined;
  });
  return {
    hang: () => process.kill(server.pid, 'SIGSTOP'),
    answer: () => process.kill(server.pid, 'SIGCONT'),
    async [Symbol.asyncDispose]() {
      release();
      process.kill(server.pid, 'SIGCONT');
      unmount();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Once with a disk that is well, so that there is state. */
async function learn(site: LoopbackSite): Promise<void> {
  site.startServer(site.environment);
  await eventually(
    'it is ready',
    SEEN_WITHIN_MS,
    async () => (await site.status()).server.ready || undefined,
  );
  await site.stopServer();
}

async function hangAtStart(lab: Lab, site: LoopbackSite): Promise<void> {
  site.startServer(site.environment);
  const addresses = await eventually('the endpoint is answered', START_WITHIN_MS, async () => {
    const { answers } = await site.ask({ name: ENDPOINT });
    return answers.length > 0 ? answers : undefined;
  });
  lab.note(`from AWS after ${Math.round(performance.now() - site.startedMs)} ms, without the disk`);
  assert.equal(addresses.length, 3);
  await faults(site, (found) => found.some((text) => text.includes('what was kept is not known yet')));
}

function faults(site: LoopbackSite, isWanted: (found: readonly string[]) => boolean): Promise<true> {
  return eventually('the status says of the disk what it should', SEEN_WITHIN_MS, async () => {
    return isWanted((await site.status()).state.faults) || undefined;
  });
}
