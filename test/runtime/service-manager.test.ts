/** Words to a service manager whose socket is gone, and comes back. */
import { renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { connectServiceManager } from '../../src/runtime/service-manager.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { pause, until } from '../helpers/patience.ts';
import { receiveNotifications } from '../scenarios/notify-receiver.ts';

t.test('a socket that is gone is said once, and again after it was there', async (t) => {
  const { PATH } = process.env;
  t.teardown(() => Object.assign(process.env, { PATH }));
  process.env['PATH'] = t.testdir({}); // no systemd-notify: each attempt fails
  const receiver = await receiveNotifications(t);
  if (receiver === undefined) return void t.comment('skipped: C cannot be called');
  const log = new CollectingLog();
  const gone = join(dirname(receiver.path), 'gone'); // a path that is short enough for a socket
  const manager = await connectServiceManager({ NOTIFY_SOCKET: gone }, log);
  const failsOnce = async (times: number) => {
    manager.notify('WATCHDOG=1');
    await until('it is said', () => log.lines.length >= times);
    for (let told = 0; told < 3; told++) manager.notify('WATCHDOG=1');
    await pause(50); // a program that is not there fails within a turn or two: a slow machine only makes this see less
    t.equal(log.lines.length, times);
  };
  await failsOnce(1);
  renameSync(receiver.path, gone);
  manager.notify('WATCHDOG=1');
  t.same(receiver.take(), ['WATCHDOG=1']);
  rmSync(gone);
  await failsOnce(2);
});
