/** Free text with bounds: paths and the strings of `identity`. */
import { type Reading, textKind } from '../key.ts';

export function absolutePath(example: string) {
  return textKind(readAbsolutePath, {
    allowed: `an absolute path, such as ${example}`,
    pattern: '^/',
  });
}

const PATH_OCTETS = 1024; // a file name and a suffix still go after it, below Linux's 4,096

function readAbsolutePath(text: string): Reading<string> {
  if (text.includes('\0')) return { message: 'a path with a NUL octet' };
  if (!text.startsWith('/')) return { message: 'not an absolute path' };
  if (new TextEncoder().encode(text).length > PATH_OCTETS)
    return { message: `longer than ${PATH_OCTETS} octets` };
  return { value: text.length > 1 ? text.replace(/\/+$/, '') || '/' : text };
}

/** What fits one character-string of a TXT record: RFC 1035 section 3.3. */
export function characterString(example: string) {
  return textKind(readCharacterString, { allowed: `a text of 1 to 255 octets, such as ${example}` });
}

function readCharacterString(text: string): Reading<string> {
  const octets = new TextEncoder().encode(text).length;
  if (octets === 0) return { message: 'an empty text' };
  return octets <= 255 ? { value: text } : { message: `${octets} octets, more than 255` };
}

/** A line that another check takes apart. */
export function line(allowed: string) {
  return textKind(
    (text): Reading<string> => {
      if (text.trim() === '') return { message: 'an empty text' };
      return text.length <= 4096 ? { value: text } : { message: 'longer than 4096 characters' };
    },
    { allowed },
  );
}
