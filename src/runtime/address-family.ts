/**
 * The family of a text that is known to be an IP address. Not `node:net`'s `isIPv6`, which also judges whether it is one: its
 * expression takes 5 ms to compile, at every start.
 */
export function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}
