/** The text of an IP address, and what it says of itself: wildcard, loopback, link-local, family. Pure. */
import { isIPv4, SocketAddress } from 'node:net';

/** Whether the text is an address without a zone. Node's own test of IPv6 compiles a pattern for 3 ms, which a start would wait for. */
export function isAddress(text: string): boolean {
  if (!isSix(text)) return isIPv4(text);
  // what reads it stops at a NUL, and takes a zone
  if (!/^[\d.:a-f]+$/i.test(text)) return false;
  try {
    return new SocketAddress({ address: text, family: 'ipv6' }).family === 'ipv6';
  } catch {
    return false;
  }
}

/** Whether an address is one of IPv6. */
export function isSix(address: string): boolean {
  return address.includes(':');
}

/** Whether the address is `0.0.0.0` or `::` in any notation. */
export function isWildcard(address: string): boolean {
  return /^[0:.]+$/.test(address) && isAddress(address);
}

/** Whether a client on another host can never have sent to it. */
export function isLoopbackText(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

/** fe80::/10 (RFC 4291 section 2.5.6) or 169.254.0.0/16 (RFC 3927 section 2.1). */
export function isLinkLocal(address: string): boolean {
  return isIpv6LinkLocal(address) || address.startsWith('169.254.');
}

/** fe80::/10: ambiguous without its interface (RFC 4007 section 11). */
export function isIpv6LinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address);
}

/** `10.0.0.2:53`, `[fd00::2]:53`. */
export function socketText({ address, port }: { readonly address: string; readonly port: number }): string {
  return isSix(address) ? `[${address}]:${port}` : `${address}:${port}`;
}

export function isSameFamily(
  one: { readonly address: string },
  other: { readonly address: string },
): boolean {
  return isSix(one.address) === isSix(other.address);
}
