/** A fact is written in one place: keys, the text of records, calls of the SDK, sources, addresses, thresholds of the link. */
import t from 'tap';
import { isIn, linesWith, readSourceFiles } from '../helpers/source-files.ts';

const files = readSourceFiles();

t.test('a key is declared in one file, and what may stand in a zone is said in one', async (t) => {
  const importers = (target: string) =>
    files.filter(({ imports }) => imports.includes(target)).map(({ path }) => path);
  for (const { path } of files.filter((file) => isIn(file.path, 'config/keys')))
    t.strictSame(importers(path), ['config/config.ts'], path);
  t.strictSame(importers('protocol/words/zone-rules.ts'), [
    'config/keys/zones.ts',
    'serving/local-zones/own-zones.ts',
  ]);
});

t.test('one client speaks with the running server, one file knows the text of records', async (t) => {
  const commands = files.filter(({ path }) => isIn(path, 'commands'));
  const speakHttp = commands.filter(({ imports }) => imports.includes('node:http'));
  t.strictSame(
    speakHttp.map(({ path }) => path),
    ['commands/server-client.ts'],
  );
  // RFC 3597 section 5: `\# length hex`
  const texts = [...files, ...readSourceFiles('sandbox')].filter(({ text }) => text.includes('\\\\# $'));
  t.strictSame(
    texts.map(({ path }) => path),
    ['protocol/wire/presentation.ts'],
  );
});

t.test('no call of the SDK is spelled more than twice', (t) => {
  const spelled = new Map<string, number>();
  for (const { code } of files)
    for (const [, name = ''] of code.matchAll(/new (?:\w+\.)?(\w+Command)\(/g))
      spelled.set(name, (spelled.get(name) ?? 0) + 1);
  t.ok(spelled.size >= 5, [...spelled.keys()].join());
  t.strictSame(
    [...spelled].filter(([, times]) => times > 2),
    [],
  );
  t.end();
});

t.test('a source is named where it is declared, polled and configured, and nowhere else', async (t) => {
  const homes = ['records/', 'far-side/', 'config/keys/clusters.ts'];
  for (const { path, text } of files) {
    if (homes.some((home) => path.startsWith(home))) continue;
    t.strictSame(linesWith(text, /['"](?:route53|kubernetes)['"]|\b(?:route53|kubernetes)\??:/), [], path);
  }
});

t.test(
  'what an endpoint address is, is said once: those who find, keep or refuse one ask records/',
  async (t) => {
    const rooms = ['records', 'store', 'refresh', 'far-side', 'serving/endpoints'];
    const said = files.filter(
      ({ path, code }) => rooms.some((room) => isIn(path, room)) && /\bisIPv4\b/.test(code),
    );
    t.strictSame(
      said.map(({ path }) => path),
      ['records/endpoint-record.ts'],
    );
  },
);

t.test(
  'what becomes of addresses is decided by pure files; the thresholds of the link are written once',
  (t) => {
    const pure = ['records', 'protocol', 'refresh/reconcile', 'node:net', 'ipaddr.js'];
    for (const { path, code, imports } of files.filter((file) => isIn(file.path, 'refresh/reconcile'))) {
      const others = imports.filter((to) => !pure.some((room) => isIn(to, room)));
      t.strictSame(others, [], path);
      t.strictSame(linesWith(code, /\b(?:async|await|class|Timers|systemTimers)\b/), [], path);
    }
    const writers = files.filter(({ code }) => /\b(?:failuresToDisconnect|successesToConnect):/.test(code));
    t.strictSame(
      writers.map(({ path }) => path),
      ['link/link-monitor.ts'],
    );
    // rooms that may not import the link are handed its thresholds: they keep no copy under another name
    const handed = files.filter(({ path }) => isIn(path, 'serving/forwarder'));
    const copies = handed.flatMap(({ path, text, code }) => [
      ...linesWith(text, /^const [A-Z_]+ = \d;.*\blink\b/).map((line) => `${path}:${line}`),
      ...linesWith(
        code,
        /\blost (?:[<>]=?|===) (?:[A-Z_]+\b|[1-9])|#answersWanted = .*(?:[A-Z_]{3,}|\b[2-9]\b)|failures: [1-9]|answers: [1-9]/,
      ).map((line) => `${path}:${line}`),
    ]);
    t.strictSame(copies, []);
    const users = handed.filter(({ code }) => /\bevidenceWanted\.(?:answers|failures)/.test(code));
    t.strictSame(
      users.map(({ path }) => path),
      ['serving/forwarder/probing.ts', 'serving/forwarder/upstream-client.ts'],
    );
    t.end();
  },
);
