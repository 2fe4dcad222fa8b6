/** The names that no upstream is ever asked about of our own accord: one table, each row with the RFC that says so. */

/**
 * - `loopback`      this name and all under it are this host: 127.0.0.1 and ::1
 * - `loopback-ptr`  the reverse name of a loopback address: PTR localhost
 * - `nothing`       neither this name nor any under it exists
 * - `empty`         a zone with SOA and NS at its apex and nothing under it (RFC 6303 section 3)
 */
export type SpecialRule = 'loopback' | 'loopback-ptr' | 'nothing' | 'empty';

export interface SpecialName {
  readonly name: string;
  readonly rule: SpecialRule;
  readonly because: string;
}

export const SPECIAL_NAMES: readonly SpecialName[] = [
  { name: 'localhost', rule: 'loopback', because: 'RFC 6761 section 6.3' },
  {
    name: '1.0.0.127.in-addr.arpa',
    rule: 'loopback-ptr',
    because: 'RFC 6761 section 6.3, RFC 1912 section 4.1',
  },
  { name: ipv6Reverse('1', 32), rule: 'loopback-ptr', because: 'RFC 6761 section 6.3, RFC 6303 section 4.3' },

  { name: 'invalid', rule: 'nothing', because: 'RFC 6761 section 6.4' },
  { name: 'test', rule: 'nothing', because: 'RFC 6761 section 6.2' },
  { name: 'local', rule: 'nothing', because: 'RFC 6762 section 22.1: multicast DNS, never unicast' },
  { name: 'onion', rule: 'nothing', because: 'RFC 7686 section 2' },
  { name: 'alt', rule: 'nothing', because: 'RFC 9476 section 2' },

  { name: 'home.arpa', rule: 'empty', because: 'RFC 8375 section 4' },
  {
    name: 'resolver.arpa',
    rule: 'empty',
    because: 'RFC 9462 section 6.1: an upstream would speak for itself, not for us',
  },

  { name: '10.in-addr.arpa', rule: 'empty', because: 'RFC 6303 section 4.1' },
  ...ipv4Range(16, 31, '172.in-addr.arpa', 'RFC 6303 section 4.1'),
  { name: '168.192.in-addr.arpa', rule: 'empty', because: 'RFC 6303 section 4.1' },
  ...ipv4Range(64, 127, '100.in-addr.arpa', 'RFC 7793: shared address space'),
  { name: '0.in-addr.arpa', rule: 'empty', because: 'RFC 6303 section 4.2' },
  { name: '127.in-addr.arpa', rule: 'empty', because: 'RFC 6303 section 4.2' },
  { name: '254.169.in-addr.arpa', rule: 'empty', because: 'RFC 6303 section 4.2: link-local' },
  { name: '2.0.192.in-addr.arpa', rule: 'empty', because: 'RFC 6303 section 4.2: documentation' },
  { name: '100.51.198.in-addr.arpa', rule: 'empty', because: 'RFC 6303 section 4.2: documentation' },
  { name: '113.0.203.in-addr.arpa', rule: 'empty', because: 'RFC 6303 section 4.2: documentation' },
  { name: '255.255.255.255.in-addr.arpa', rule: 'empty', because: 'RFC 6303 section 4.2: broadcast' },

  { name: ipv6Reverse('', 32), rule: 'empty', because: 'RFC 6303 section 4.3: the unspecified address' },
  { name: 'd.f.ip6.arpa', rule: 'empty', because: 'RFC 6303 section 4.4, RFC 4193 section 4.4' },
  {
    name: 'c.f.ip6.arpa',
    rule: 'empty',
    because: 'RFC 4193 section 3.1: the other half of unique local addresses',
  },
  ...['8', '9', 'a', 'b'].map((nibble): SpecialName => {
    return { name: `${nibble}.e.f.ip6.arpa`, rule: 'empty', because: 'RFC 6303 section 4.5: link-local' };
  }),
  { name: '8.b.d.0.1.0.0.2.ip6.arpa', rule: 'empty', because: 'RFC 6303 section 4.6: documentation' },
];

function ipv4Range(first: number, last: number, parent: string, because: string): SpecialName[] {
  return Array.from({ length: last - first + 1 }, (_, offset) => {
    return { name: `${first + offset}.${parent}`, rule: 'empty', because };
  });
}

/** The reverse name of the address with the hexadecimal digits `low` behind zeros. */
function ipv6Reverse(low: string, digits: number): string {
  return `${[...low.padStart(digits, '0')].reverse().join('.')}.ip6.arpa`;
}
