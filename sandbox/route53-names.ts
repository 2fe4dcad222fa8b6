/** Names as Route 53 writes and orders them. */
import { nameFromWire, nameToWire } from '../src/protocol/words/name.ts';

/**
 * Lower case with a final dot; everything but letters, digits, `-` and `_` as a backslash and three octal digits.
 * Throws NameError.
 */
export function toRoute53Name(text: string): string {
  const octets = nameToWire(text);
  const labels: string[] = [];
  for (let at = 0; octets[at] !== 0; at += 1 + (octets[at] ?? 0)) {
    const label = octets.subarray(at + 1, at + 1 + (octets[at] ?? 0));
    labels.push([...label].map(octetText).join(''));
  }
  return `${labels.join('.')}.`;
}

/** Reads octal escapes as well as bare characters, a final dot or none. Throws NameError. */
export function fromRoute53Name(text: string): string {
  const decimal = text.replace(
    /\\([0-3][0-7]{2})/g,
    (_, octal: string) => `\\${String(Number.parseInt(octal, 8)).padStart(3, '0')}`,
  );
  return nameFromWire(nameToWire(decimal));
}

/** What listings are sorted by: the labels back to front, compared as text with the final dot in place. */
export function sortKey(route53Name: string): string {
  return `${route53Name.slice(0, -1).split('.').reverse().join('.')}.`;
}

function octetText(octet: number): string {
  const character = String.fromCharCode(octet);
  return /[a-z0-9_-]/.test(character) ? character : `\\${octet.toString(8).padStart(3, '0')}`;
}
