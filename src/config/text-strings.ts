/** The data of a TXT record: strings, in quotes or without, to the character-strings of RFC 1035 section 3.3. */
import type { Reading } from './key.ts';

const STRING_OCTETS = 255;
const DATA_OCTETS = 4096; // more would not fit a UDP reply by far, and is a slip

export function readTextStrings(text: string): Reading<readonly string[]> {
  const strings: string[] = [];
  let octets = 0;
  for (const token of text.matchAll(/"((?:[^"\\]|\\.)*)"(?=\s|$)|([^\s"]+)(?=\s|$)|(\S)/g)) {
    if (token[3] !== undefined) {
      return {
        message: 'a quote that is not closed, or not set apart by spaces',
        mend: 'write each string as "text", with \\" for a quote in it',
      };
    }
    const string = unescaped(token[1] ?? token[2] ?? '');
    if (string === undefined)
      return { message: 'an escape other than \\" and \\\\', mend: 'write the character itself' };
    const length = new TextEncoder().encode(string).length;
    if (length > STRING_OCTETS) {
      return {
        message: `a string of ${length} octets, more than ${STRING_OCTETS}`,
        mend: 'write it as several strings: "..." "..."',
      };
    }
    octets += length + 1;
    strings.push(string);
  }
  if (octets > DATA_OCTETS)
    return { message: `${octets} octets, more than ${DATA_OCTETS}`, mend: 'shorten it' };
  return { value: strings };
}

function unescaped(text: string): string | undefined {
  if (/\\(?!["\\])/.test(text.replaceAll('\\\\', ''))) return undefined;
  return text.replace(/\\(["\\])/g, '$1');
}
