/** The socket of a service manager, as of systemd: the messages, in order. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { folder } from './site.ts';

const [AF_UNIX, SOCK_DGRAM, MSG_DONTWAIT] = [1, 2, 0x40];

export interface NotifyReceiver {
  readonly path: string;
  /** Takes the messages since the last call. */
  take(): readonly string[];
}

/** `undefined` where C cannot be called. */
export async function receiveNotifications(t: Test): Promise<NotifyReceiver | undefined> {
  if (process.platform !== 'linux') return undefined;
  const ffi = await import('node:ffi').catch(() => undefined);
  if (ffi === undefined) return undefined;
  const { functions } = ffi.dlopen(null, {
    socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
    bind: { arguments: ['int32', 'pointer', 'uint32'], return: 'int32' },
    recv: { arguments: ['int32', 'pointer', 'uint64', 'int32'], return: 'int64' },
    close: { arguments: ['int32'], return: 'int32' },
  });
  const path = join(folder(t), 'notify');
  const fd = functions.socket(AF_UNIX, SOCK_DGRAM, 0);
  const name = new Uint8Array(2 + Buffer.byteLength(path) + 1);
  name[0] = AF_UNIX;
  name.set(Buffer.from(path), 2);
  if (functions.bind(fd, name, name.length) < 0) throw new Error('cannot bind');
  t.teardown(() => {
    functions.close(fd);
    rmSync(path, { force: true });
  });
  const octets = new Uint8Array(4096);
  return {
    path,
    take() {
      const found: string[] = [];
      for (;;) {
        const length = functions.recv(fd, octets, BigInt(octets.length), MSG_DONTWAIT);
        if (length < 0n) return found;
        found.push(Buffer.from(octets.subarray(0, Number(length))).toString());
      }
    },
  };
}
