/** Tells systemd how the service is: sd_notify(3) through systemd-notify(1), because Node has no Unix datagrams. */
import { execFile } from 'node:child_process';
import type { Log } from '../log/log.ts';

export interface ServiceManager {
  /** Assignments such as `READY=1` or `STATUS=...`; does nothing where no service manager started us. */
  notify(...assignments: readonly string[]): void;
}

/** Speaks to the manager that `NOTIFY_SOCKET` in `environment` names, if any. */
export function connectServiceManager(
  environment: Readonly<Record<string, string | undefined>>,
  log: Log,
): ServiceManager {
  if (environment['NOTIFY_SOCKET'] === undefined) return { notify: () => undefined };
  return {
    notify(...assignments) {
      execFile('systemd-notify', assignments, { timeout: 5000 }, (error) => {
        if (error !== null)
          log.error({ err: error, assignments }, 'cannot tell systemd: is systemd-notify installed');
      });
    },
  };
}
