/**
 * Writes the files that are generated from the source; with `--check` writes nothing and exits 1 naming those out of step.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SERVE_MESSAGES } from '../src/commands/serve.ts';
import { ROOM_REPORTS } from '../src/daemon/report.ts';
import { awsPartitions } from './aws-partitions.ts';
import { checksPage } from './checks-page.ts';
import { configurationPage, jsonSchema, referenceYaml } from './config-reference.ts';
import { metricsPage } from './metrics-page.ts';
import { rulesFile } from './monitoring/alerts.ts';
import { boardFile } from './monitoring/board.ts';
import { logPage, ROOM_MESSAGES } from './room-messages.ts';
import { specialNamesPage } from './special-names.ts';

interface GeneratedFile {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: () => string;
}

const GENERATED: readonly GeneratedFile[] = [
  { path: 'config/grafana/outpost-dns.json', text: boardFile },
  { path: 'config/prometheus/outpost-dns.rules.yaml', text: () => rulesFile() },
  { path: 'config/reference.yaml', text: referenceYaml },
  { path: 'config/schema.json', text: jsonSchema },
  { path: 'docs/configuration.md', text: configurationPage },
  { path: 'docs/checks.md', text: checksPage },
  { path: 'docs/log.md', text: () => logPage([...ROOM_MESSAGES, ['The process', SERVE_MESSAGES]]) },
  { path: 'docs/metrics.md', text: () => metricsPage(ROOM_REPORTS) },
  { path: 'docs/special-names.md', text: specialNamesPage },
  { path: 'src/protocol/words/aws-partitions.json', text: awsPartitions },
];

/** Paths whose file is missing or differs from what the source yields. */
export async function outOfStep(root: string): Promise<string[]> {
  const paths: string[] = [];
  for (const { path, text } of GENERATED) {
    const written = await readFile(join(root, path), 'utf8').catch(() => undefined);
    if (written !== text()) paths.push(path);
  }
  return paths;
}

/** Writes the files that are out of step and returns their paths. */
export async function generate(root: string): Promise<string[]> {
  const paths = await outOfStep(root);
  for (const { path, text } of GENERATED.filter((one) => paths.includes(one.path))) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text());
  }
  return paths;
}

async function main(args: readonly string[]): Promise<number> {
  const root = join(import.meta.dirname, '..');
  const unknown = args.find((arg) => arg !== '--check');
  if (unknown !== undefined) {
    console.error(`unknown argument "${unknown}": the only one is --check`);
    return 2;
  }
  if (!args.includes('--check')) {
    for (const path of await generate(root)) console.log(`wrote ${path}`);
    return 0;
  }
  const paths = await outOfStep(root);
  for (const path of paths) console.error(`${path} is out of step: run "node scripts/generate.ts"`);
  return paths.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
