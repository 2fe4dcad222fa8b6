/**
 * Special-use names: one table, each row with its RFC. No upstream is asked about them, except that names
 * which a site may have for itself are asked of upstreams on the site.
 */

/**
 * - `loopback`      this name and all under it are this host: 127.0.0.1 and ::1
 * - `loopback-ptr`  the reverse name of a loopback address: PTR localhost
 * - `nothing`       neither this name nor any under it exists
 * - `empty`         a zone with SOA and NS at its apex and nothing under it (RFC 6303 section 3)
 * - `no-data`       the same zone, but its names exist without records
 */
export type SpecialRule = 'loopback' | 'loopback-ptr' | 'nothing' | 'empty' | 'no-data';

export interface SpecialName {
  readonly name: string;
  readonly rule: SpecialRule;
  readonly because: string;
  /**
   * Whether a site may have such names of its own: reverse names of private addresses, Active Directory on `.local`, a home
   * network. RFC 6303 section 3 and RFC 6761 sections 6.1 and 6.2 let a forwarder ask for them where it knows a server to
   * ask. A public resolver would only learn which machines the site has.
   */
  readonly isOfSite: boolean;
}

const TABLE: readonly (readonly [name: string, rule: SpecialRule, because: string])[] = [
  ['localhost', 'loopback', 'RFC 6761 section 6.3'],
  ['1.0.0.127.in-addr.arpa', 'loopback-ptr', 'RFC 6761 section 6.3, RFC 1912 section 4.1'],
  [ipv6Reverse('1', 32), 'loopback-ptr', 'RFC 6761 section 6.3, RFC 6303 section 4.3'],

  ['invalid', 'nothing', 'RFC 6761 section 6.4'],
  ['test', 'nothing', 'RFC 6761 section 6.2'],
  ['local', 'nothing', 'RFC 6762 section 22.1: multicast DNS, never unicast'],
  ['onion', 'nothing', 'RFC 7686 section 2'],
  ['alt', 'nothing', 'RFC 9476 section 2'],

  ['home.arpa', 'empty', 'RFC 8375 section 4'],
  ['resolver.arpa', 'no-data', 'RFC 9462 section 4: an upstream would speak for itself, not for us'],

  ['10.in-addr.arpa', 'empty', 'RFC 6303 section 4.1'],
  ...ipv4Range(16, 31, '172.in-addr.arpa', 'RFC 6303 section 4.1'),
  ['168.192.in-addr.arpa', 'empty', 'RFC 6303 section 4.1'],
  ...ipv4Range(64, 127, '100.in-addr.arpa', 'RFC 7793: shared address space'),
  ['0.in-addr.arpa', 'empty', 'RFC 6303 section 4.2'],
  ['127.in-addr.arpa', 'empty', 'RFC 6303 section 4.2'],
  ['254.169.in-addr.arpa', 'empty', 'RFC 6303 section 4.2: link-local'],
  ['2.0.192.in-addr.arpa', 'empty', 'RFC 6303 section 4.2: documentation'],
  ['100.51.198.in-addr.arpa', 'empty', 'RFC 6303 section 4.2: documentation'],
  ['113.0.203.in-addr.arpa', 'empty', 'RFC 6303 section 4.2: documentation'],
  ['255.255.255.255.in-addr.arpa', 'empty', 'RFC 6303 section 4.2: broadcast'],

  [ipv6Reverse('', 32), 'empty', 'RFC 6303 section 4.3: the unspecified address'],
  ['d.f.ip6.arpa', 'empty', 'RFC 6303 section 4.4, RFC 4193 section 4.4'],
  ['c.f.ip6.arpa', 'empty', 'RFC 4193 section 3.1: the other half of unique local addresses'],
  ['8.e.f.ip6.arpa', 'empty', 'RFC 6303 section 4.5: link-local'],
  ['9.e.f.ip6.arpa', 'empty', 'RFC 6303 section 4.5: link-local'],
  ['a.e.f.ip6.arpa', 'empty', 'RFC 6303 section 4.5: link-local'],
  ['b.e.f.ip6.arpa', 'empty', 'RFC 6303 section 4.5: link-local'],
  ['8.b.d.0.1.0.0.2.ip6.arpa', 'empty', 'RFC 6303 section 4.6: documentation'],
];

/** RFC 6762 section 22.1 keeps `local` for multicast DNS, and sites have it in unicast DNS all the same. */
const OF_SITE: ReadonlySet<string> = new Set([
  'test',
  'local',
  'home.arpa',
  '10.in-addr.arpa',
  ...ipv4Range(16, 31, '172.in-addr.arpa', '').map(([name]) => name),
  '168.192.in-addr.arpa',
  ...ipv4Range(64, 127, '100.in-addr.arpa', '').map(([name]) => name),
  'd.f.ip6.arpa',
  'c.f.ip6.arpa',
]);

export const SPECIAL_NAMES: readonly SpecialName[] = TABLE.map(([name, rule, because]) => {
  return { name, rule, because, isOfSite: OF_SITE.has(name) };
});

function ipv4Range(first: number, last: number, parent: string, because: string) {
  return Array.from({ length: last - first + 1 }, (_, offset) => {
    return [`${first + offset}.${parent}`, 'empty', because] as const;
  });
}

/** The reverse name of the address that ends in the hexadecimal digits `low` after zeros. */
function ipv6Reverse(low: string, digits: number): string {
  return `${[...low.padStart(digits, '0')].reverse().join('.')}.ip6.arpa`;
}
