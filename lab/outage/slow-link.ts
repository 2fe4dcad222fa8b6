/**
 * A slow link of the lab's own, because this kernel may have no netem. It has two TUN devices: a packet that enters one
 * device leaves the other after the delay. The lab moves the second device into another namespace; its descriptor stays
 * here.
 *
 *     node slow-link.ts <device> <device> <milliseconds each way>
 */

import { dlopen, getRawPointer } from 'node:ffi';
import { open, read, write } from 'node:fs';
import { promisify } from 'node:util';

const TUNSETIFF = 0x400454can; // linux/if_tun.h
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000; // packets alone, without the device's own header
const IFREQ_OCTETS = 40;
const FLAGS_AT = 16;
const PACKET_OCTETS = 65_536;
const AGAIN_MS = 50; // a device that is not up yet, or no more

const { functions } = dlopen(null, {
  ioctl: { arguments: ['int32', 'uint64', 'pointer'], return: 'int32' },
});

async function openDevice(name: string): Promise<number> {
  const fd = await promisify(open)('/dev/net/tun', 'r+');
  const request = new Uint8Array(IFREQ_OCTETS);
  request.set(Buffer.from(name));
  new DataView(request.buffer).setUint16(FLAGS_AT, IFF_TUN | IFF_NO_PI, true);
  if (functions.ioctl(fd, TUNSETIFF, BigInt(getRawPointer(request))) < 0)
    throw new Error(`cannot make the TUN device "${name}"`);
  return fd;
}

function relay(from: number, to: number, delayMs: number): void {
  const packet = Buffer.alloc(PACKET_OCTETS);
  const next = (): void =>
    read(from, packet, 0, PACKET_OCTETS, null, (error, octets) => {
      if (error !== null) return void setTimeout(next, AGAIN_MS);
      const late = Uint8Array.from(packet.subarray(0, octets));
      setTimeout(() => write(to, late, () => undefined), delayMs); // a link loses packets that no device takes
      next();
    });
  next();
}

const [first = '', second = '', delay = ''] = process.argv.slice(2);
const ends = [await openDevice(first), await openDevice(second)] as const;
relay(ends[0], ends[1], Number(delay));
relay(ends[1], ends[0], Number(delay));
console.log('ready');
