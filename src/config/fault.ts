/** Writes the faults of a configuration as text, each with place and fix. Holds suggestions and the room's error class. */
import { distance } from 'fastest-levenshtein';

export type Path = readonly (string | number)[];

/** A fault before its place in the file is known: rules and kinds report it. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  readonly fix: string;
  /** The key is at fault, with any value. */
  readonly isKey?: true;
}

export interface Fault {
  /** The file as it was named, or `environment` when a variable is at fault. */
  readonly file: string;
  /** Counted from 1. */
  readonly line?: number;
  /** Counted from 1. */
  readonly column?: number;
  /** The environment variable at fault, in place of a line. */
  readonly variable?: string;
  /** Such as `clusters[0].region`; empty for the file as a whole. */
  readonly path: string;
  /** The bad value as JSON would write it, shortened. */
  readonly value?: string;
  readonly message: string;
  readonly fix: string;
}

/** `unreadable`: no text could be had; `malformed`: the text is not the YAML that is supported; `invalid`: its values are wrong. */
export type ConfigErrorCode = 'unreadable' | 'malformed' | 'invalid';

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code: ConfigErrorCode;
  readonly faults: readonly Fault[];
  /** Of all faults, where `faults` holds only the first. */
  readonly count: number;

  constructor(code: ConfigErrorCode, faults: readonly Fault[], count = faults.length) {
    const text = count === 1 ? '1 fault' : `${count} faults`;
    super(`cannot use the configuration: ${text}\n${formatFaults(faults, count)}`);
    this.code = code;
    this.faults = faults;
    this.count = count;
  }
}

/**
 * A file of another program can hold a fault on each of its lines: a person reads the first. To take over or to log thousands
 * stops the loop for 20 ms.
 */
export const SHOWN_FAULTS = 50;

/** One line with place, path, value and message, and an indented one with the fix, for each fault. */
export function formatFaults(faults: readonly Fault[], count = faults.length): string {
  const lines = faults.slice(0, SHOWN_FAULTS).map((fault) => {
    const parts = [placeText(fault), fault.path, fault.value, fault.message].filter((part) => part);
    return `${parts.join(': ')}\n    ${fault.fix}`;
  });
  if (count > SHOWN_FAULTS) lines.push(`and ${count - SHOWN_FAULTS} more faults`);
  return lines.join('\n');
}

function placeText(fault: Fault): string {
  if (fault.variable !== undefined) return `${fault.file} ${fault.variable}`;
  if (fault.line === undefined) return fault.file;
  return `${fault.file}:${fault.line}:${fault.column ?? 1}`;
}

/** `['clusters', 0, 'region']` as `clusters[0].region`; a key with other characters goes in brackets and quotes. */
export function pathText(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${quoted(step)}]`;
  }
  return text;
}

/** A scalar or a list on one line, shortened; undefined for a map. */
export function quoted(value: unknown): string | undefined {
  if (typeof value === 'string') return JSON.stringify(shortened(value)).replace(INVISIBLE, escaped);
  if (typeof value === 'number') return String(value); // JSON has no .inf and no .nan
  if (typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return `[${shortened(value.map((item) => quoted(item) ?? '{...}').join(', '))}]`;
  return undefined;
}

/** Spaces of other kinds, and characters without a width: a person would not see that they are at fault. */
const INVISIBLE = /[\u007f-\u00a0\u00ad\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]/gu;

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

const SHOWN_CHARACTERS = 80;

export function shortened(text: string): string {
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}...`;
}

const LONGEST_WORD = 40; // longer words are not slips, and a comparison takes the product of two lengths

/** The candidate that the word is probably a slip of. Letter case does not count. */
export function nearestWord(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > LONGEST_WORD) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const slips = slipsBetween(word.toLowerCase(), candidate.toLowerCase());
    if (slips < bestDistance) {
      best = candidate;
      bestDistance = slips;
    }
  }
  return best;
}

/** The beginning of a word, a word with an ending, and two swapped letters count as a single slip. */
function slipsBetween(word: string, candidate: string): number {
  const isPart =
    Math.min(word.length, candidate.length) >= 3 &&
    (word.startsWith(candidate) || candidate.startsWith(word));
  const isSlip = word !== candidate && (isPart || isSwapped(word, candidate));
  return isSlip ? 1 : distance(word, candidate);
}

function isSwapped(word: string, candidate: string): boolean {
  const at = [...word].findIndex((letter, index) => letter !== candidate[index]);
  const swapped = word.slice(0, at) + word.charAt(at + 1) + word.charAt(at) + word.slice(at + 2);
  return at >= 0 && swapped === candidate;
}
