import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { faultLines } from './loading.ts';

interface Block {
  readonly name: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly ownAddresses: readonly string[];
  readonly text: string;
  readonly faults: string;
}

function blocksOf(file: string): Block[] {
  const [, ...blocks] = readFileSync(join(import.meta.dirname, file), 'utf8').split(/^=== /m);
  return blocks.map((block) => {
    const [, head = '', text = '', faults = ''] =
      /^(.*?)^--- text\n(.*?)^--- faults\n(.*)$/ms.exec(block) ?? [];
    const [name = '', ...settings] = head.trimEnd().split('\n');
    const variables = settings.flatMap((line) => /^variable (\w+)=(.*)$/.exec(line)?.slice(1, 3) ?? []);
    const environment = Object.fromEntries(
      variables.flatMap((key, index) => (index % 2 === 0 ? [[key, variables[index + 1]!]] : [])),
    );
    const ownAddresses = settings.flatMap((line) => /^own (.*)$/.exec(line)?.[1] ?? []);
    return { name, environment, ownAddresses, text, faults: faults.trimEnd() };
  });
}

t.test('each bad configuration is refused with exactly the faults of the table', async (t) => {
  const blocks = blocksOf('bad-configurations.txt');
  t.ok(blocks.length > 50, 'the table is read');
  for (const { name, text, faults, environment, ownAddresses } of blocks) {
    t.strictSame(await faultLines(text, { environment, ownAddresses }), faults.split('\n'), name);
  }
});
