/**
 * Denials that prove nothing while the link is down: a resolver on the site that is cut off itself may deny what it
 * cannot ask for, from an empty root zone or from nothing.
 */
import { FLAG } from '../../protocol/wire/header.ts';
import { isPositive, type ResponseIndex } from '../../protocol/wire/response.ts';

/**
 * Whether it is a denial, and not one of a server that speaks with authority of a zone of its own: such a server is on
 * the site, and is right. An empty root is no such zone.
 */
export function mayBeMadeUp(octets: Uint8Array, index: ResponseIndex): boolean {
  if (isPositive(index)) return false;
  if ((index.flags & FLAG.AA) === 0 || index.negativeTtlSeconds === undefined) return true;
  // the SOA comes first in the authority section of every server's denials
  return index.answerCount === 0 && octets[index.questionEnd] === 0;
}
