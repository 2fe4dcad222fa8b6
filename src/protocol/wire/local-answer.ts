/**
 * Answers that this server authors itself, composed once (by dns2) when a table is built, and written per
 * query by copying octets behind the client's own question.
 */
import type { ResourceRecord } from '../words/resource-record.ts';
import { TYPE } from '../words/types.ts';
import { composeWithDns2 } from './dns2-composer.ts';
import { writeHeaderAndQuestion } from './error-reply.ts';
import { FLAG, HEADER_OCTETS, putUint16, uint16At } from './header.ts';
import { optLength, writeOpt } from './opt.ts';
import type { Query } from './query.ts';
import { indexResponse } from './response.ts';
import { writeTruncatedReply } from './response-patch.ts';

/** Sections of a reply behind its question, ready to be copied. */
export interface LocalAnswer {
  readonly rcode: number;
  readonly answerCount: number;
  readonly authorityCount: number;
  readonly octets: Uint8Array;
  /** The name that compression pointers were composed against, and where they stand in `octets`. */
  readonly composedNameOctets: number;
  readonly pointerOffsets: readonly number[];
  /** Octets of one answer record and how many of them take part in rotation; the rest follow in fixed order. */
  readonly rotation: { readonly recordOctets: number; readonly records: number } | undefined;
  /** It ends in an alias whose target is for somebody else to answer. */
  readonly isOpen: boolean;
}

export interface LocalAnswerParts {
  readonly rcode: number;
  /** The QNAME the answer is for; for answers to names under it, the apex that they end in. */
  readonly name: string;
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  /** So many of the first answers are rotated; they all have the same owner, type and size. */
  readonly rotated?: number;
  readonly isOpen?: boolean;
}

/** Composes the sections. Throws when dns2 dropped a record: an author's mistake, found when the table is built. */
export function composeLocalAnswer(parts: LocalAnswerParts): LocalAnswer {
  const message = composeWithDns2(parts);
  const index = indexResponse(message);
  if (index.kind === 'fault' || index.ttlOffsets.length !== parts.answers.length + parts.authorities.length) {
    throw new Error(`cannot compose the answer for "${parts.name}"`);
  }
  const octets = message.subarray(index.questionEnd);
  const rotated = parts.rotated ?? 0;
  return {
    rcode: parts.rcode,
    answerCount: parts.answers.length,
    authorityCount: parts.authorities.length,
    octets,
    composedNameOctets: index.questionEnd - HEADER_OCTETS - 4,
    pointerOffsets: pointerOffsets(message, index.questionEnd),
    rotation:
      rotated > 1 ? { recordOctets: octets.length / parts.answers.length, records: rotated } : undefined,
    isOpen: parts.isOpen ?? false,
  };
}

/**
 * Writes the authoritative reply; `turn` picks the rotation. A name longer than the composed one (a name under
 * the apex) shifts every compression pointer by the difference. Returns the octets written.
 */
export function writeLocalReply(
  query: Query,
  answer: LocalAnswer,
  turn: number,
  limit: number,
  reply: Uint8Array,
  replyStart: number,
): number {
  const questionOctets = query.questionEnd - query.start;
  const total = questionOctets + answer.octets.length + optLength(query, undefined);
  if (total > limit) {
    return writeTruncatedReply(
      query,
      answer.rcode,
      { extendedError: undefined, limit },
      reply,
      replyStart,
      FLAG.AA,
    );
  }
  const at = writeHeaderAndQuestion(query, FLAG.AA | answer.rcode, reply, replyStart);
  putUint16(reply, replyStart + 6, answer.answerCount);
  putUint16(reply, replyStart + 8, answer.authorityCount);
  putUint16(reply, replyStart + 10, query.hasEdns ? 1 : 0);
  copyRotated(answer, turn, reply, at);
  const shift = query.nameEnd - query.nameStart - answer.composedNameOctets;
  if (shift !== 0) {
    for (const offset of answer.pointerOffsets)
      putUint16(reply, at + offset, uint16At(reply, at + offset) + shift);
  }
  const end = at + answer.octets.length;
  return (query.hasEdns ? writeOpt(reply, end, answer.rcode, query, undefined) : end) - replyStart;
}

function copyRotated(answer: LocalAnswer, turn: number, reply: Uint8Array, at: number): void {
  const { octets, rotation } = answer;
  if (rotation === undefined) {
    for (let i = 0; i < octets.length; i++) reply[at + i] = octets[i] ?? 0;
    return;
  }
  const rotating = rotation.records * rotation.recordOctets;
  let from = (turn % rotation.records) * rotation.recordOctets;
  for (let i = 0; i < rotating; i++) {
    reply[at + i] = octets[from] ?? 0;
    if (++from === rotating) from = 0;
  }
  for (let i = rotating; i < octets.length; i++) reply[at + i] = octets[i] ?? 0;
}

/** Where compression pointers stand behind `from`, counted from there: in owners and in names inside RDATA. */
function pointerOffsets(message: Uint8Array, from: number): number[] {
  const found: number[] = [];
  const note = (start: number): number => {
    let at = start;
    while ((message[at] ?? 0) !== 0) {
      if ((message[at] ?? 0) >= 0xc0) {
        found.push(at - from);
        return at + 2;
      }
      at += (message[at] ?? 0) + 1;
    }
    return at + 1;
  };
  for (let at = from; at < message.length; ) {
    const typeAt = note(at);
    const type = uint16At(message, typeAt);
    const rdata = typeAt + 10;
    if (type === TYPE.SOA) note(note(rdata));
    if (type === TYPE.CNAME || type === TYPE.PTR || type === TYPE.NS) note(rdata);
    if (type === TYPE.MX) note(rdata + 2);
    at = rdata + uint16At(message, typeAt + 8);
  }
  return found;
}
