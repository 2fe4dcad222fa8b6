/** The fenced blocks of a page, each with its place: the lab tests a document by the commands that it tells a reader to type. */

export interface FencedBlock {
  readonly language: string;
  readonly text: string;
  /** The nearest heading above, without its marks. */
  readonly heading: string;
  /** The paragraph right above. */
  readonly lead: string;
  /** The paragraph right below. */
  readonly after: string;
  /** Of the opening fence, from 1. */
  readonly line: number;
}

export function fencedBlocks(markdown: string): FencedBlock[] {
  const lines = markdown.split('\n');
  const blocks: FencedBlock[] = [];
  let heading = '';
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    heading = /^#+ (.*)/.exec(line)?.[1] ?? heading;
    const opening = /^( *)```(\S*)/.exec(line);
    if (opening === null) continue;
    const end = lines.findIndex((other, index) => index > at && other.trim() === '```');
    if (end < 0) throw new Error(`line ${at + 1}: the fence is not closed`);
    const inner = lines.slice(at + 1, end).map((text) => text.slice(opening[1]?.length ?? 0));
    blocks.push({
      language: opening[2] ?? '',
      text: inner.map((text) => `${text}\n`).join(''),
      heading,
      lead: paragraph(lines, at - 1, -1),
      after: paragraph(lines, end + 1, 1),
      line: at + 1,
    });
    at = end;
  }
  return blocks;
}

function paragraph(lines: readonly string[], start: number, step: 1 | -1): string {
  const found: string[] = [];
  let at = start;
  while (lines[at] === '') at += step;
  for (; lines[at] !== undefined && lines[at] !== '' && !/^(?:#|```)/.test(lines[at] ?? ''); at += step)
    found.push(lines[at] ?? '');
  return (step === 1 ? found : found.reverse()).join(' ');
}

/** The commands of a shell block: one a line, continued lines joined, comments left out. */
export function commandsOf({ text }: FencedBlock): string[] {
  return text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => line.replace(/^\s*#.*$|\s#\s.*$/, '').trim())
    .filter((line) => line !== '');
}
