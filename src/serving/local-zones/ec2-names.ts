/**
 * Answers for EC2's own names while no resolver of the VPC can be asked. `ip-10-0-3-10.<region>.compute.internal` contains
 * its address, and a reverse name in a cluster's VPC contains its address too. The computed answers equal the answers of
 * that resolver. All other names in these zones get NXDOMAIN at once. Pods with ndots:5 append such a suffix to every name,
 * and musl tries the next suffix only after NXDOMAIN. A name without an answer costs 10 s for each lookup.
 */

import ipaddr from 'ipaddr.js';
import { apexAnswers } from '../../protocol/wire/local-answer.ts';
import { HEADER_OCTETS, putUint16, putUint32 } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { writeHeaderAndQuestion, writeOpt } from '../../protocol/wire/reply.ts';
import { CLASS, RCODE, TYPE } from '../../protocol/words/codes.ts';
import { LOWER_CASE, nameToWire } from '../../protocol/words/name.ts';
import { DISCONNECTED_TTL_SECONDS, type DisconnectedFinding, STALE, type WriteComputed } from './finding.ts';

/** The finding for a name of the table and all names under it. */
export type DisconnectedRule = (query: Query) => DisconnectedFinding;

export interface NamedRule {
  /** In normal form. */
  readonly name: string;
  readonly rule: DisconnectedRule;
}

/** Addresses of one cluster's VPC. */
export interface VpcNetwork {
  readonly region: string;
  /** IPv4, as `10.0.0.0/16`. */
  readonly cidr: string;
}

/** Returns the zone in which EC2 puts its names of a Region. */
function ec2Suffix(region: string): string {
  return region === 'us-east-1' ? 'ec2.internal' : `${region}.compute.internal`;
}

/** RFC 1918 and RFC 6598: the addresses of a VPC, unless the operator names other networks. */
const PRIVATE_NETWORKS = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'].map(ipv4Network);

/** The names of these Regions. A name with an address outside private networks and those of VPCs is denied, as EC2 does. */
export function ec2NameRules(regions: readonly string[], vpcs: readonly VpcNetwork[]): readonly NamedRule[] {
  return [...new Set(regions)].map((region) => {
    const own = vpcs.filter((vpc) => vpc.region === region).map(({ cidr }) => ipv4Network(cidr));
    const name = ec2Suffix(region);
    return { name, rule: forwardRule(name, [...PRIVATE_NETWORKS, ...own]) };
  });
}

function forwardRule(apex: string, networks: readonly Ipv4Network[]): DisconnectedRule {
  const { noData, noName } = negatives(apex);
  const apexLabels = apex.split('.').length;
  const address = { kind: 'computed', standing: 'after-stale', write: writeAddressReply } as const;
  return (query) => {
    if (query.labelCount === apexLabels) return noData;
    if (query.labelCount > apexLabels + 1) return noName;
    const number = addressOfLabel(query.octets, query.nameStart);
    if (number === NONE || !networks.some((network) => holdsBlock(network, number, 32))) return noName;
    // RFC 8482 section 4.1: a part of the records answers ANY, and here it is all of them
    return query.qtype === TYPE.A || query.qtype === TYPE.ANY ? address : noData;
  };
}

const REVERSE_APEX = 'in-addr.arpa';
const REVERSE_LABELS = 2; // in-addr.arpa

interface ReverseNetwork extends Ipv4Network {
  readonly pointer: DisconnectedFinding;
  readonly noData: DisconnectedFinding;
  readonly noName: DisconnectedFinding;
}

/**
 * Reverse names, in the networks of VPCs alone: elsewhere in private space hosts of the site have names that EC2 does not
 * know. The rule stands at the nearest name above each network, and knows all networks, because a network need not end at a
 * dot (RFC 2317).
 */
export function reverseRules(vpcs: readonly VpcNetwork[]): readonly NamedRule[] {
  const networks = vpcs
    .map((vpc) => reverseNetwork(vpc))
    .sort((one, other) => other.network.prefix - one.network.prefix);
  const rule = reverseRule(networks.map(({ network }) => network));
  return [...new Set(networks.map(({ apex }) => apex))].map((name) => ({ name, rule }));
}

function reverseNetwork({ region, cidr }: VpcNetwork): { apex: string; network: ReverseNetwork } {
  const network = ipv4Network(cidr);
  const octets = cidr
    .split('/', 1)
    .join()
    .split('.', Math.floor(network.prefix / 8));
  const apex = [...octets.reverse(), REVERSE_APEX].join('.');
  const write = pointerWriter(ec2Suffix(region));
  const pointer = { kind: 'computed', standing: 'after-stale', write } as const;
  return { apex, network: { ...network, pointer, ...negatives(apex) } };
}

function reverseRule(networks: readonly ReverseNetwork[]): DisconnectedRule {
  return (query) => {
    let base = 0;
    let known = 0;
    const deepest = Math.min(query.labelCount, REVERSE_LABELS + 4);
    for (let depth = REVERSE_LABELS + 1; depth <= deepest; depth++) {
      const octet = octetOfLabel(query.octets, labelAt(query, depth));
      if (octet === NONE) break;
      base = base * 256 + octet;
      known++;
    }
    base *= 256 ** (4 - known);
    const network = networks.find((one) => holdsBlock(one, base, known * 8));
    if (network === undefined) return STALE;
    if (known < query.labelCount - REVERSE_LABELS) return network.noName;
    // RFC 8020 section 2: a name with names under it exists
    if (known < 4) return network.noData;
    return query.qtype === TYPE.PTR || query.qtype === TYPE.ANY ? network.pointer : network.noData;
  };
}

function negatives(apex: string) {
  const { noData, noName } = apexAnswers(apex, DISCONNECTED_TTL_SECONDS);
  return {
    noData: { kind: 'answer', standing: 'after-stale', answer: noData },
    noName: { kind: 'answer', standing: 'after-stale', answer: noName },
  } as const;
}

const POINTER_TO_QNAME = 0xc000 | HEADER_OCTETS; // RFC 1035 section 4.1.4
const FIXED_OCTETS = 12; // owner as a pointer, TYPE, CLASS, TTL, RDLENGTH
const A_OCTETS = 4;

/** A of the address in the first label of the query's name. */
const writeAddressReply: WriteComputed = (query, reply, replyStart) => {
  const at = writeHeaderAndQuestion(query, RCODE.NOERROR, reply, replyStart);
  putUint32(reply, at + FIXED_OCTETS, addressOfLabel(query.octets, query.nameStart));
  return finish(query, TYPE.A, A_OCTETS, at, reply, replyStart);
};

const PREFIX = Uint8Array.from('ip', (letter) => letter.charCodeAt(0));

/** PTR of the reverse name's address to EC2's name for it under `suffix`, which is in normal form. */
function pointerWriter(suffix: string): WriteComputed {
  const suffixWire = nameToWire(suffix);
  return (query, reply, replyStart) => {
    const at = writeHeaderAndQuestion(query, RCODE.NOERROR, reply, replyStart);
    const label = at + FIXED_OCTETS;
    reply.set(PREFIX, label + 1);
    let next = label + 1 + PREFIX.length;
    for (let depth = REVERSE_LABELS + 1; depth <= query.labelCount; depth++) {
      reply[next++] = HYPHEN;
      next = writeDecimal(octetOfLabel(query.octets, labelAt(query, depth)), reply, next);
    }
    reply[label] = next - label - 1;
    reply.set(suffixWire, next);
    return finish(query, TYPE.PTR, next + suffixWire.length - label, at, reply, replyStart);
  };
}

function writeDecimal(octet: number, reply: Uint8Array, start: number): number {
  let at = start;
  if (octet >= 100) reply[at++] = ZERO + Math.floor(octet / 100);
  if (octet >= 10) reply[at++] = ZERO + (Math.floor(octet / 10) % 10);
  reply[at++] = ZERO + (octet % 10);
  return at;
}

/** The record's head at `at`, the counts, and OPT if the query had OPT; RDATA is already written. */
function finish(
  query: Query,
  type: number,
  dataOctets: number,
  at: number,
  reply: Uint8Array,
  replyStart: number,
): number {
  putUint16(reply, at, POINTER_TO_QNAME);
  putUint16(reply, at + 2, type);
  putUint16(reply, at + 4, CLASS.IN);
  putUint32(reply, at + 6, DISCONNECTED_TTL_SECONDS);
  putUint16(reply, at + 10, dataOctets);
  putUint16(reply, replyStart + 6, 1);
  putUint16(reply, replyStart + 8, 0);
  putUint16(reply, replyStart + 10, query.hasEdns ? 1 : 0);
  const end = at + FIXED_OCTETS + dataOctets;
  const replyEnd = query.hasEdns ? writeOpt(reply, end, RCODE.NOERROR, query, undefined) : end;
  return replyEnd - replyStart;
}

const SHORTEST = 'ip-0-0-0-0'.length;
const LONGEST = 'ip-255-255-255-255'.length;
const [LETTER_I, LETTER_P, HYPHEN, ZERO, NINE] = [0x69, 0x70, 0x2d, 0x30, 0x39];

/** No address: both parsers return it for a label of another form. */
const NONE = -1;

/** The address in the label whose length octet stands at `at`, as an unsigned 32-bit integer, or NONE. */
function addressOfLabel(octets: Uint8Array, at: number): number {
  const length = octets[at] ?? 0;
  if (length < SHORTEST || length > LONGEST) return NONE;
  // RFC 4343: names are compared without regard to case
  if (LOWER_CASE[octets[at + 1] ?? 0] !== LETTER_I || LOWER_CASE[octets[at + 2] ?? 0] !== LETTER_P)
    return NONE;
  const end = at + 1 + length;
  let address = 0;
  let next = at + 3;
  for (let part = 0; part < 4; part++) {
    if (octets[next] !== HYPHEN) return NONE;
    const start = ++next;
    while (next < end && octets[next] !== HYPHEN) next++;
    const value = octetIn(octets, start, next);
    if (value === NONE) return NONE;
    address = address * 256 + value;
  }
  return next === end ? address : NONE;
}

/** The number from 0 to 255 that the label of a reverse name at `at` (its length octet) stands for, or NONE. */
function octetOfLabel(octets: Uint8Array, at: number): number {
  return octetIn(octets, at + 1, at + 1 + (octets[at] ?? 0));
}

/** Decimal without leading zeros, as EC2 writes it and RFC 1035 section 3.5 has it. */
function octetIn(octets: Uint8Array, start: number, end: number): number {
  if (end - start < 1 || end - start > 3) return NONE;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = octets[at] ?? 0;
    if (digit < ZERO || digit > NINE) return NONE;
    value = value * 10 + (digit - ZERO);
  }
  const hasLeadingZero = end - start > 1 && octets[start] === ZERO;
  return hasLeadingZero || value > 255 ? NONE : value;
}

/** The offset of the length octet of the first label of the query's suffix of `depth` labels. */
function labelAt(query: Query, depth: number): number {
  return query.nameStart + (query.labelStarts[depth] ?? 0);
}

interface Ipv4Network {
  readonly base: number;
  readonly prefix: number;
}

/** `cidr` as `10.0.0.0/16`. Throws where it is no IPv4 network; bits beyond the prefix are ignored. */
function ipv4Network(cidr: string): Ipv4Network {
  const [address, prefix] = ipaddr.IPv4.parseCIDR(cidr);
  const bits = address.toByteArray().reduce((number, octet) => number * 256 + octet, 0);
  return { base: networkOf(bits, prefix), prefix };
}

/** Whether all addresses of the block that starts at `base` and is `prefix` bits long are in the network. */
function holdsBlock(network: Ipv4Network, base: number, prefix: number): boolean {
  return prefix >= network.prefix && networkOf(base, network.prefix) === network.base;
}

function networkOf(address: number, prefix: number): number {
  // a shift by 32 is one by 0 in JavaScript
  return prefix === 0 ? 0 : (address & (-1 << (32 - prefix))) >>> 0;
}
