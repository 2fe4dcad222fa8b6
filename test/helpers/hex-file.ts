import { readdirSync, readFileSync } from 'node:fs';

export interface HexFile {
  readonly name: string;
  readonly verdict: string;
  readonly octets: Uint8Array;
}

/** The `.hex` files of a folder under test/wire: first line `# verdict: why`, then octets. */
export function readHexFiles(folder: string): HexFile[] {
  const directory = new URL(`../wire/${folder}/`, import.meta.url);
  return readdirSync(directory)
    .filter((name) => name.endsWith('.hex'))
    .map((name) => {
      const [head = '', ...lines] = readFileSync(new URL(name, directory), 'utf8').split('\n');
      const verdict = /^# ([a-z]+): /.exec(head)?.[1];
      if (verdict === undefined) throw new Error(`${name}: first line must be "# verdict: why"`);
      return { name: name.slice(0, -4), verdict, octets: new Uint8Array(Buffer.from(lines.join(''), 'hex')) };
    });
}
