/**
 * Makes long texts in pieces: a page of a thousand clusters has megabytes, and the loop that makes the page answers queries
 * too. Knows no page. A text comes as a list of short texts, none of which grows with the configuration.
 */
import { type Pause, turnBound } from '../runtime/slices.ts';

/** Characters that are made and encoded in one turn of the loop: a fraction of a millisecond. */
export const PIECE_CHARACTERS = 16_384;

/** Encodes a text; the loop has its turn after each piece. */
export async function inPieces(texts: Iterable<string>, pause: Pause): Promise<readonly Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  let piece = '';
  let isOver = turnBound();
  for (const text of texts) {
    piece += text;
    if (piece.length < PIECE_CHARACTERS && !isOver()) continue;
    pieces.push(Buffer.from(piece));
    piece = '';
    await pause();
    isOver = turnBound();
  }
  pieces.push(Buffer.from(piece));
  return pieces;
}

/** The deepest list that grows with the configuration: the addresses of an endpoint, the rows of a panel, the records of a zone. */
const DEEPEST_LIST = 4;

interface TextForm {
  readonly indent: string;
  readonly replacer?: (key: string, value: unknown) => unknown;
}

/**
 * The text of `JSON.stringify(value, replacer, indent)`. A member of an object and an item of a list come one by one, down to the
 * depth of `DEEPEST_LIST`; the replacer sees single values and what lies deeper.
 */
export function* jsonTexts(value: unknown, form: TextForm = { indent: '  ' }, depth = 0): Iterable<string> {
  const { indent, replacer } = form;
  const line = indent === '' ? '' : `\n${indent.repeat(depth)}`;
  if (depth >= DEEPEST_LIST || typeof value !== 'object' || value === null) {
    yield (JSON.stringify(value, replacer, indent) ?? 'null').replaceAll('\n', line);
    return;
  }
  const isList = Array.isArray(value);
  const [open, close] = isList ? '[]' : '{}';
  const colon = indent === '' ? ':' : ': ';
  let isEmpty = true;
  for (const [key, item] of Object.entries(value)) {
    if (!isList && item === undefined) continue;
    yield `${isEmpty ? open : ','}${line}${indent}${isList ? '' : `${JSON.stringify(key)}${colon}`}`;
    yield* jsonTexts(item, form, depth + 1);
    isEmpty = false;
  }
  yield isEmpty ? `${open}${close}` : `${line}${close}`;
}
