/** Tells systemd how the service is: through its socket, or through systemd-notify(1) where C cannot be called. */
import { execFile } from 'node:child_process';
import type { Log } from '../log/log.ts';
import { openNotifySocket } from './notify-socket.ts';

export interface ServiceManager {
  /** Assignments such as `READY=1` or `STATUS=...`; does nothing where no service manager started us. */
  notify(...assignments: readonly string[]): void;
}

/** Speaks to the manager that `NOTIFY_SOCKET` in `environment` names, if any. Never rejects. */
export async function connectServiceManager(
  environment: Readonly<Record<string, string | undefined>>,
  log: Log,
): Promise<ServiceManager> {
  const path = environment['NOTIFY_SOCKET'];
  if (path === undefined) return { notify: () => undefined };
  const send = await openNotifySocket(path);
  return {
    notify(...assignments) {
      if (send?.(assignments.join('\n')) === true) return;
      execFile('systemd-notify', assignments, { timeout: 5000 }, (error) => {
        if (error !== null)
          log.error({ err: error, assignments }, 'cannot tell systemd: is systemd-notify installed');
      });
    },
  };
}
