/** Listeners on addresses that a test gives and takes, and other programs on their ports. */
import { createSocket } from 'node:dgram';
import type { Test } from 'tap';
import { bindAddress } from '../../../src/serving/listener/bound-address.ts';
import type { HostInterfaces } from '../../../src/serving/listener/listen-address.ts';
import { Listeners } from '../../../src/serving/listener/listeners.ts';
import { createPlainUdpListener } from '../../../src/serving/listener/udp.ts';
import { hostWith, makeRig, type RigOptions } from './rig.ts';

export function room(
  t: Test,
  host: HostInterfaces = hostWith({ lo: ['127.0.0.1'] }),
  options: RigOptions = {},
) {
  const rig = makeRig(options);
  const state = { host };
  const listeners = new Listeners({
    ...rig,
    createUdp: createPlainUdpListener,
    interfaces: () => state.host,
  });
  t.teardown(() => listeners.close());
  const bound = (): string[] => listeners.addresses.map(({ address }) => address);
  const warnings = (): string[] =>
    rig.log.lines.filter(({ level }) => level === 'warn').map(({ fields }) => String(fields['address']));
  return { ...rig, listeners, state, bound, warnings, port: () => listeners.addresses[0]?.port ?? 0 };
}

/** A port that is free on loopback, outside the range from which the kernel gives ports to others meanwhile. */
export async function freePort(): Promise<number> {
  const context = { ...makeRig(), createUdp: createPlainUdpListener };
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const endpoint = await bindAddress({ address: '127.0.0.1', port }, context).catch(() => undefined);
    if (endpoint === undefined) continue;
    await endpoint.close(0);
    return port;
  }
}

/** Another program on this UDP port. */
export async function occupy(t: Test, address: string, port: number): Promise<{ leave(): Promise<void> }> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(port, address, resolve));
  let left: Promise<void> | undefined;
  const leave = (): Promise<void> => (left ??= new Promise((resolve) => socket.close(() => resolve())));
  t.teardown(leave);
  return { leave };
}
