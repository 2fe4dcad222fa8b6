import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { commandsOf, fencedBlocks } from '../lab/markdown.ts';
import packageJson from '../package.json' with { type: 'json' };
import { demoPopulation } from '../sandbox/demo-population.ts';
import { FAILURE_REASONS } from '../src/records/observation.ts';
import { load } from './config/loading.ts';

// what needs root, Debian or other people's servers is typed by `npm run test:lab`

const root = join(import.meta.dirname, '..');
const pages = [
  'README.md',
  'SECURITY.md',
  'src/README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
const readme = fencedBlocks(read('README.md'));
const commands = pages
  .flatMap((page) => fencedBlocks(read(page)))
  .filter(({ language }) => language === 'sh')
  .flatMap(commandsOf);

t.test('every link to a file of the repository leads to one', async (t) => {
  for (const page of pages) {
    const links = [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map((match) => match[1] ?? '');
    t.strictSame(
      links.filter((link) => !existsSync(join(root, dirname(page), link))),
      [],
      page,
    );
  }
});

t.test('every link to a heading leads to one', async (t) => {
  for (const page of pages) {
    const links = [...read(page).matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g)];
    for (const [, path = '', anchor = ''] of links) {
      const target = path === '' ? page : join(dirname(page), path);
      t.ok(anchorsOf(read(target)).includes(anchor), `${page}: ${path}#${anchor}`);
    }
  }
});

t.test('the README is short', async (t) => {
  const lines = read('README.md').trimEnd().split('\n').length;
  t.ok(lines < 150, `${lines} lines`);
});

t.test('the page on preparing names the whole of the advice', async (t) => {
  const text = read('docs/prepare.md');
  for (const word of [
    ...['x.509', '/etc/hosts', 'resolvConf', 'OIDC', 'mirror', 'tolerationSeconds', '12 h'],
    ...['SSM agent', 'crictl', 'etcd', 'logs of the control plane', 'observability', 'drill'],
  ])
    t.ok(text.includes(word), word);
});

/** As GitHub makes them: lower case, no punctuation, a hyphen for each space. */
function anchorsOf(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map((match) =>
    (match[1] ?? '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

t.test('the page on outages explains every reason for which a source fails', (t) => {
  const table = read('docs/outage.md')
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  for (const reason of FAILURE_REASONS)
    t.ok(
      table.some((line) => line.includes(`\`${reason}\``)),
      reason,
    );
  t.end();
});

t.test('the page on security names tests that exist, and each defence has one', (t) => {
  const text = read('docs/security.md');
  const paths = [...text.matchAll(/`(test\/[^`]+)`/g)].map((match) => match[1] ?? '');
  t.ok(paths.length > 25);
  for (const path of paths) t.ok(existsSync(join(root, path)), path);
  const rows = text.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| against'));
  for (const row of rows) t.match(row, /`test\//, row.slice(0, 60));
  t.end();
});

t.test('every YAML block with clusters is a sound configuration', async (t) => {
  for (const page of pages) {
    const blocks = fencedBlocks(read(page)).filter(({ language }) => language === 'yaml');
    for (const { text, line } of blocks) {
      // a page may show a part: the rest of the smallest file goes with it
      const whole = /^upstreams:/m.test(text) ? text : `${text}upstreams: [10.0.0.2]\n`;
      await t.resolves(load(whole), `${page}:${line}`);
    }
  }
});

t.test('the smallest useful file: a cluster, its Region, an upstream', async (t) => {
  const [smallest] = readme.filter(({ language }) => language === 'yaml');
  t.equal(smallest?.text.trim().split('\n').length, 5);
});

t.test('the first command installs and starts, and another one installs and tests', async (t) => {
  const typed = readme.filter(({ language }) => language === 'sh').flatMap(commandsOf);
  t.equal(typed[0], 'npm ci && npm start');
  t.ok(typed.includes('npm ci && npm test'));
});

t.test('every npm script that a page names exists', async (t) => {
  const named = pages.flatMap((page) =>
    [...read(page).matchAll(/npm (?:run )?(start|test(?::\w+)?|ok|bench|build)\b/g)].map(
      (match) => match[1] ?? '',
    ),
  );
  t.ok(named.length > 3);
  t.strictSame(
    named.filter((name) => !(name in packageJson.scripts)),
    [],
  );
});

t.test('every subcommand of outpost-dns that a page names exists', async (t) => {
  const program = readFileSync(join(root, 'src/commands/program.ts'), 'utf8');
  const known = [...program.matchAll(/^ {2}\[\s*'(\w+)',/gm)].map((match) => match[1] ?? '');
  const named = commands.flatMap((command) => /(?:^|npx )outpost-dns (\w+)/.exec(command)?.[1] ?? []);
  t.ok(named.length > 3);
  t.strictSame(
    named.filter((name) => !known.includes(name)),
    [],
  );
});

t.test('the endpoint that the README digs is the one of the sandbox', async (t) => {
  const endpoint = demoPopulation().clusters[0]?.endpoint ?? '';
  const digs = readme.flatMap(commandsOf).filter((command) => command.startsWith('dig '));
  t.ok(digs.length >= 2);
  for (const command of digs) t.equal(command, `dig @127.0.0.1 -p 5300 ${endpoint}`);
});
