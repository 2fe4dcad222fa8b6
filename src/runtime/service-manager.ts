/** Reports the state of the service to systemd: through its socket, or through systemd-notify(1) where C cannot be called. */
import type { Log } from '../log/log.ts';
import { RUNTIME_MESSAGES } from './background.ts';

export interface ServiceManager {
  /** Sends assignments such as `READY=1` or `STATUS=...`; does nothing where no service manager started us. */
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
      // loaded late, because most hosts never need it
      const { execFile } = process.getBuiltinModule('node:child_process');
      execFile('systemd-notify', assignments, { timeout: 5000 }, (error) => {
        if (error !== null) RUNTIME_MESSAGES.notNotified(log, { err: error, assignments });
      });
    },
  };
}

// sd_notify(3): one datagram to the Unix socket of the service manager, through libc, because Node has no Unix datagrams
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;
const MAX_PATH_OCTETS = 107;

/** Resolves to a function that sends and returns whether the kernel took it; `undefined` without `node:ffi`. Never rejects. */
async function openNotifySocket(path: string): Promise<((text: string) => boolean) | undefined> {
  if (process.platform !== 'linux' || Buffer.byteLength(path) > MAX_PATH_OCTETS) return undefined;
  try {
    const ffi = await import('node:ffi');
    const { functions } = ffi.dlopen(null, {
      socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
      sendto: {
        arguments: ['int32', 'pointer', 'uint64', 'int32', 'pointer', 'uint32'],
        return: 'int64',
      },
    });
    const fd = functions.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
    if (fd < 0) return undefined;
    const name = nameOf(path);
    return (text) => {
      const octets = new Uint8Array(Buffer.from(text));
      const sent = functions.sendto(
        fd,
        octets,
        BigInt(octets.length),
        MSG_DONTWAIT_NOSIGNAL,
        name,
        name.length,
      );
      return sent === BigInt(octets.length);
    };
  } catch {
    return undefined;
  }
}

/** `struct sockaddr_un`; `@` stands for the zero octet of an abstract name. */
function nameOf(path: string): Uint8Array<ArrayBuffer> {
  const octets = Buffer.from(path);
  const isAbstract = octets[0] === 0x40;
  const name = new Uint8Array(2 + octets.length + (isAbstract ? 0 : 1));
  name[0] = AF_UNIX;
  name.set(octets, 2);
  if (isAbstract) name[2] = 0;
  return name;
}
