/** The map of the source names files that exist: every path in it, and a place to begin for each change of the list. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';

const SOURCE = join(import.meta.dirname, '..', '..', 'src');
const map = readFileSync(join(SOURCE, 'README.md'), 'utf8');

const CHANGES = [
  'a DNS-over-HTTPS upstream',
  'a metric',
  'a source',
  'an export format',
  'a query type answered by us',
  'IPv6 endpoint addresses',
  'a runtime command',
  'another check of an address',
  'a configuration key',
  'another state backend',
  'link thresholds',
  'a panel on the page',
];

const pathsIn = (text: string): string[] =>
  [...text.matchAll(/`([\w./-]+(?:\.ts|\/))`/g)].map((match) => match[1] ?? '');

const exists = (path: string): boolean =>
  existsSync(join(SOURCE, path)) || existsSync(join(SOURCE, '..', path));

t.test('every path in the map exists', async (t) => {
  const paths = pathsIn(map);
  t.ok(paths.length > 50, `${paths.length} paths`);
  for (const path of paths) t.ok(exists(path), path);
});

t.test('each change has its line, and the line names where to begin', async (t) => {
  for (const change of CHANGES) {
    const lines = map.split('\n').filter((line) => line.startsWith(`| ${change} |`));
    t.equal(lines.length, 1, change);
    t.ok(pathsIn(lines[0] ?? '').length > 0, `${change}: ${lines[0]}`);
  }
});

// reports that the lab writes (lab-out/) are not kept
t.test('a document that the code cites is in the repository', async (t) => {
  const root = join(SOURCE, '..');
  const files = globSync('{src,sandbox,lab,bench,scripts,test}/**/*.{ts,md}', { cwd: root });
  const cited = files.flatMap((file) =>
    [
      ...readFileSync(join(root, file), 'utf8').matchAll(
        /(?<![\w/*.-])((?!lab-out)(?:[\w.-]+\/)*[\w-]+\.md)\b/g,
      ),
    ].map(([, name = '']) => ({ file, name })),
  );
  t.ok(cited.length > 5, `${cited.length} documents are cited`);
  for (const { file, name } of cited) {
    const places = [root, dirname(join(root, file)), join(root, 'docs'), SOURCE];
    t.ok(
      places.some((place) => existsSync(join(place, name))),
      `${file}: ${name}`,
    );
  }
});
