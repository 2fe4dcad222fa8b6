/**
 * Every DNS message between the clients and the server, as it passed the site's end of their link: what came in and when its
 * answer left. That is the server's answer time, the kernel's part included and the client's left out.
 *
 * The file is tcpdump's: libpcap's format with microseconds, one record of at most `SNAP_OCTETS` for each packet.
 */
import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { Background, eventually } from '../commands.ts';
import { CLIENT_ADDRESS, type Network } from './network.ts';

export interface Exchange {
  /** In lower case. */
  readonly name: string;
  /** ms since 1970. */
  readonly askedMs: number;
  /** `NaN`: never answered. */
  readonly tookMs: number;
}

type Mutable = { -readonly [key in keyof Exchange]: Exchange[key] };

const SNAP_OCTETS = 256;
const FILE_HEADER_OCTETS = 24;
const RECORD_HEADER_OCTETS = 16;
const IP_AT = 14; // after the Ethernet header
const CLIENT_NUMBER = CLIENT_ADDRESS.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);

export class Capture implements AsyncDisposable {
  readonly #tcpdump: Background;
  readonly #file: string;
  readonly #exchanges: Mutable[] = [];
  readonly #open = new Map<string, Mutable>();
  #readOctets = FILE_HEADER_OCTETS;
  #reading: Promise<void> = Promise.resolve();

  private constructor(tcpdump: Background, file: string) {
    this.#tcpdump = tcpdump;
    this.#file = file;
  }

  static async start({ site }: Network, file: string): Promise<Capture> {
    const tcpdump = new Background(
      site.within([
        ...(['tcpdump', '-i', 'lan', '-n', '-w', file, '-U', '--immediate-mode', '-Z', 'root'] as const),
        ...['-s', String(SNAP_OCTETS), '-B', '32768', 'udp port 53'],
      ]),
    );
    await tcpdump.printed(/listening on lan/);
    await eventually('tcpdump writes', 5000, async () => (statSync(file).size > 0 ? true : undefined));
    return new Capture(tcpdump, file);
  }

  /** All of them so far, in the order in which they were asked. */
  async exchanges(): Promise<readonly Exchange[]> {
    this.#reading = this.#reading.then(() => this.#readOn());
    await this.#reading;
    return this.#exchanges;
  }

  async #readOn(): Promise<void> {
    const handle = await open(this.#file);
    try {
      const size = (await handle.stat()).size - this.#readOctets;
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(size), 0, size, this.#readOctets);
      this.#readOctets += this.#take(buffer.subarray(0, bytesRead));
    } finally {
      await handle.close();
    }
  }

  /** Ends the capture, and resolves to the number of packets that it missed. */
  async end(): Promise<number> {
    await this.#tcpdump.end('SIGINT');
    return Number((await this.#tcpdump.printed(/(\d+) packets? dropped by kernel/))[1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tcpdump[Symbol.asyncDispose]();
  }

  /** Returns how many octets were whole records. */
  #take(records: Buffer): number {
    let at = 0;
    while (at + RECORD_HEADER_OCTETS <= records.length) {
      const length = records.readUInt32LE(at + 8);
      const end = at + RECORD_HEADER_OCTETS + length;
      if (end > records.length) break;
      const ms = records.readUInt32LE(at) * 1000 + records.readUInt32LE(at + 4) / 1000;
      this.#takePacket(records.subarray(at + RECORD_HEADER_OCTETS, end), ms);
      at = end;
    }
    return at;
  }

  #takePacket(packet: Buffer, ms: number): void {
    const udpAt = IP_AT + ((packet[IP_AT] ?? 0) & 0x0f) * 4;
    const dnsAt = udpAt + 8;
    if (packet.length < dnsAt + 12) return;
    const isQuery = packet.readUInt32BE(IP_AT + 12) === CLIENT_NUMBER;
    const clientPort = packet.readUInt16BE(isQuery ? udpAt : udpAt + 2);
    const key = `${clientPort} ${packet.readUInt16BE(dnsAt)}`;
    if (isQuery) {
      // asked again with the same ID: two exchanges, and the later one is answered
      const exchange = { name: nameAt(packet, dnsAt + 12), askedMs: ms, tookMs: Number.NaN };
      this.#exchanges.push(exchange);
      this.#open.set(key, exchange);
      return;
    }
    const exchange = this.#open.get(key);
    if (exchange === undefined) return;
    this.#open.delete(key);
    exchange.tookMs = ms - exchange.askedMs;
  }
}

function nameAt(packet: Buffer, start: number): string {
  let name = '';
  for (let at = start; at < packet.length; ) {
    const length = packet[at] ?? 0;
    if (length === 0 || length > 63) break;
    name += `${name === '' ? '' : '.'}${packet.toString('latin1', at + 1, at + 1 + length)}`;
    at += 1 + length;
  }
  return name.toLowerCase();
}
