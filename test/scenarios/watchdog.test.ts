/** A server tells the service manager that it is alive only after it has answered a query of its own. */
import t, { type Test } from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { keepState, keptRecord } from './kept-state.ts';
import { type NotifyReceiver, receiveNotifications } from './notify-receiver.ts';
import type { ServerProcess } from './server-process.ts';
import { ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

const WATCHDOG_MS = 2000;
const WITHOUT_C = 'node:ffi is not there';

async function watched(
  t: Test,
  overrides: Readonly<Record<string, unknown>> = {},
  environment: Readonly<Record<string, string>> = {},
  isKept = true,
): Promise<{ server: ServerProcess; manager: NotifyReceiver; site: Site } | undefined> {
  const manager = await receiveNotifications(t);
  if (manager === undefined) return undefined;
  const site = await Site.open(t, { overrides });
  if (isKept) await keepState(site.stateDirectory, [keptRecord()]);
  else site.sandbox.faults.add({ service: '*', kind: 'hang' });
  const server = site.start({
    ...site.sandbox.environment,
    NOTIFY_SOCKET: manager.path,
    WATCHDOG_USEC: String(WATCHDOG_MS * 1000),
    ...environment,
  });
  return { server, manager, site };
}

async function reports(manager: NotifyReceiver, times: number): Promise<void> {
  let count = 0;
  await until('it reports that it is alive', () => {
    count += manager.take().filter((text) => text === 'WATCHDOG=1').length;
    return count >= times;
  });
}

for (const [what, overrides, isKept] of [
  ['an endpoint is kept', {}, true],
  ['nothing is known yet', { upstreams: ['127.0.0.1:9'] }, false],
  ['the host itself is no client', { clients: { allow: ['192.0.2.0/24'] } }, true],
  ['the limit is one response a second', { limits: { responsesPerSecond: 1 } }, true],
] as const) {
  t.test(`it reports again and again that it is alive: ${what}`, async (t) => {
    const one = await watched(t, overrides, {}, isKept);
    if (one === undefined) {
      t.pass(WITHOUT_C);
      return;
    }
    await reports(one.manager, 6);
    t.same(
      one.server.logged('own query was not answered: the service manager ends a server that stays so'),
      [],
    );
    t.match(await one.server.kill('SIGTERM'), { code: 0 });
    t.match(one.manager.take().join(' '), /STOPPING=1/);
  });
}

t.test('a process that a debugger or SIGSTOP has stopped reports nothing', async (t) => {
  const one = await watched(t);
  if (one === undefined) {
    t.pass(WITHOUT_C);
    return;
  }
  await reports(one.manager, 2);
  one.server.signal('SIGSTOP');
  await pause(100); // messages in flight
  one.manager.take();
  await pause(WATCHDOG_MS);
  t.same(one.manager.take(), []);
  one.server.signal('SIGCONT');
  await reports(one.manager, 2);
});

t.test('a loop that never ends reports nothing', async (t) => {
  const endless = `data:text/javascript,process.once('SIGUSR2',()=>{for(;;);})`;
  const one = await watched(t, {}, { NODE_OPTIONS: `--import=${endless}` });
  if (one === undefined) {
    t.pass(WITHOUT_C);
    return;
  }
  await one.server.firstAnswer({ name: ENDPOINT });
  await reports(one.manager, 2);
  one.server.signal('SIGUSR2');
  await pause(200);
  one.manager.take();
  await pause(WATCHDOG_MS);
  t.same(one.manager.take(), []);
});
