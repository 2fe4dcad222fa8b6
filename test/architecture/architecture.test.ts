import t from 'tap';
import { ROOM_MESSAGES } from '../../scripts/room-messages.ts';
import { SERVE_MESSAGES } from '../../src/commands/serve.ts';
import type { Declaration } from '../../src/log/log.ts';
import { isIn, linesWith, readSourceFiles } from '../helpers/source-files.ts';

const files = readSourceFiles();
t.ok(files.length > 20, 'the source was found');

/** The direction rule of src/README.md: a room, and the rooms it may import besides itself. */
const base = ['runtime', 'log', 'report'];
/** The file beside the rooms of serving, which every one of them may import. */
const shared = ['serving/turn.ts'];
const mayImport: ReadonlyArray<readonly [room: string, rooms: readonly string[]]> = [
  ['protocol/words', []],
  ['protocol/wire', ['protocol/words', 'runtime/random.ts']],
  ['records', ['protocol', 'runtime/checksum.ts']],
  ['report', []],
  ['runtime', ['log']],
  ['log', ['runtime/system-errors.ts']],
  ['link', base],
  ['store', ['records', 'protocol', ...base]],
  ['config', ['records', 'protocol/words', 'runtime/system-errors.ts']],
  ['serving/turn.ts', ['protocol']],
  ['serving/resolver', ['serving', 'protocol', 'records', ...base]],
  ['serving/listener', [...shared, 'protocol', ...base]],
  ['serving/endpoints', [...shared, 'protocol', 'records', ...base]],
  ['serving/local-zones', [...shared, 'protocol', ...base]],
  ['serving/answer-cache', [...shared, 'protocol', ...base]],
  ['serving/forwarder', [...shared, 'protocol', 'records', ...base]],
  ['far-side', ['records', 'protocol', ...base]],
  ['refresh', ['far-side', 'link', 'records', 'protocol', ...base]],
  ['drill', ['records', 'protocol', ...base]],
  ['trend', base],
  ['admin', ['protocol/words/address-text.ts', ...base]],
  [
    'daemon',
    [
      'serving',
      'refresh',
      'far-side',
      'admin',
      'drill',
      'trend',
      'link',
      'store',
      'records',
      'protocol',
      'config',
      ...base,
    ],
  ],
  [
    'daemon.ts',
    [
      'daemon',
      'serving',
      'refresh',
      'admin',
      'drill',
      'trend',
      'link',
      'store',
      'records',
      'protocol',
      'config',
      ...base,
    ],
  ],
  [
    'commands',
    [
      'daemon',
      'daemon.ts',
      'far-side',
      'config',
      'store',
      'records',
      '../sandbox',
      'admin',
      'drill',
      'protocol',
      ...base,
    ],
  ],
  ['main.ts', ['commands', 'runtime']],
];

t.test('every file lies in a room of the map', async (t) => {
  for (const { path } of files)
    t.ok(
      mayImport.some(([room]) => isIn(path, room)),
      path,
    );
});

t.test('imports go down, never up or across', async (t) => {
  for (const { path, imports } of files) {
    const [room = '', rooms = []] = mayImport.find(([candidate]) => isIn(path, candidate)) ?? [];
    const ours = imports.filter((target) => target.endsWith('.ts'));
    const wrong = ours.filter((target) => ![room, ...rooms].some((allowed) => isIn(target, allowed)));
    t.strictSame(wrong, [], path);
  }
});

t.test('the sandbox knows the words of DNS and the outside; one room of the product starts it', async (t) => {
  const known = ['protocol', ...base].map((room) => `../src/${room}`);
  for (const { path, imports } of readSourceFiles('sandbox')) {
    const ours = imports.filter((target) => target.startsWith('..'));
    t.strictSame(
      ours.filter((target) => !known.some((room) => isIn(target, room))),
      [],
      path,
    );
  }
  const starts = files.filter(({ imports }) => imports.some((target) => isIn(target, '../sandbox')));
  t.strictSame(
    starts.filter(({ path }) => !isIn(path, 'commands')),
    [],
  );
});

t.test('a subcommand is one file that exports define, and a line in the list of program.ts', async (t) => {
  const commands = files.filter(({ path }) => isIn(path, 'commands'));
  const subcommands = commands.filter(({ code }) => /export function define\(/.test(code));
  t.ok(subcommands.length >= 8, `${subcommands.length} subcommands`);
  for (const { path } of subcommands) {
    const importers = commands.filter(({ imports }) => imports.includes(path)).map((file) => file.path);
    t.strictSame(importers, ['commands/program.ts'], path);
  }
});

t.test('no circle of imports, types included', async (t) => {
  // a file that imports, through others, itself
  const importsOf = new Map(files.map(({ path, imports }) => [path, imports]));
  const reaches = (from: string): boolean => {
    const seen = new Set<string>();
    const left = [...(importsOf.get(from) ?? [])];
    for (let path = left.pop(); path !== undefined; path = left.pop()) {
      if (path === from) return true;
      if (seen.has(path)) continue;
      seen.add(path);
      left.push(...(importsOf.get(path) ?? []));
    }
    return false;
  };
  t.strictSame(files.map(({ path }) => path).filter(reaches), []);
});

t.test('clocks, timers, chance and the process are arguments: named only at the edge', async (t) => {
  const forbidden =
    /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bset(?:Timeout|Interval)\(|\bMath\.random\b|\bprocess\.(?:env|exit|exitCode|argv|on|once)\b/;
  const edge = ['runtime', 'log', 'commands', 'main.ts'];
  for (const { path, code } of files) {
    if (edge.some((room) => isIn(path, room))) continue;
    t.strictSame(linesWith(code, forbidden), [], path);
  }
});

t.test('no AbortSignal.any: Node keeps such a signal until it is aborted (InnerAbort)', async (t) => {
  for (const { path, code } of files) t.strictSame(linesWith(code, /\bAbortSignal\.any\b/), [], path);
});

t.test(
  'IPv6 addresses are told apart by protocol/words: the pattern of Node takes the loop 7 ms',
  async (t) => {
    // threads of their own, and a command that is not the server
    // and a file that puts an answer of its own in the place of Node's
    const apart = ['far-side', 'commands/question.ts', 'serving/forwarder/tls.ts'];
    for (const { path, code } of files) {
      if (apart.some((room) => isIn(path, room))) continue;
      t.strictSame(linesWith(code, /\bisIP(?:v6)?\b/), [], path);
    }
  },
);

t.test(
  'the loop loads no crypto of Node, which takes 7 ms of one turn, except where C cannot be called',
  async (t) => {
    // TLS to an upstream needs it
    const apart = ['far-side', 'runtime', 'serving/forwarder/tls.ts'];
    const loading = files.filter(
      ({ path, loads }) => loads.includes('node:crypto') && !apart.some((room) => isIn(path, room)),
    );
    t.strictSame(
      loading.map(({ path }) => path),
      [],
    );
  },
);

t.test('an AWS client is imported in one room only, and only when it is needed', async (t) => {
  for (const { path, text, imports } of files) {
    const sdk = imports.filter((target) => target.startsWith('@aws-sdk/') || target.startsWith('@smithy/'));
    if (sdk.length === 0) continue;
    t.ok(isIn(path, 'far-side'), `${path} imports ${sdk}`);
    const eager = [...text.matchAll(/\nimport (?!type)[^;]*?from '(@(?:aws-sdk|smithy)\/[^']+)'/g)].map(
      (match) => match[1],
    );
    t.strictSame(eager, [], `${path}: types, or import() inside a function`);
  }
});

t.test('Zod reads the configuration only: its set-up stops the event loop for 10 ms', async (t) => {
  const users = files.filter(({ imports }) => imports.includes('zod')).map(({ path }) => path);
  t.ok(users.length > 0, 'imports of it are found');
  const allowed = ['config', 'commands/sandbox.ts'];
  t.strictSame(
    users.filter((path) => !allowed.some((room) => isIn(path, room))),
    [],
    'Valibot checks all other values, in the words of runtime/forms.ts',
  );
});

t.test('only calls cross into the far side: its insides are its own', async (t) => {
  const doors = ['far-side', 'poll', 'head', 'handshake', 'outbound'];
  for (const { path, imports } of files) {
    if (isIn(path, 'far-side')) continue;
    const inside = imports.filter((target) => isIn(target, 'far-side'));
    t.strictSame(
      inside.filter((target) => !doors.some((door) => target === `far-side/${door}.ts`)),
      [],
      path,
    );
  }
  const thread = files.find(({ path }) => path === 'far-side/far-side-thread.ts');
  const calls = /export interface Calls \{([^}]*)\}/.exec(thread?.code ?? '')?.[1] ?? '';
  t.strictSame(
    [...calls.matchAll(/readonly (\w+):/g)].map(([, name]) => name),
    ['poll', 'head', 'outpost', 'prove', 'aws', 'kubeconfig'],
  );
});

t.test('the thread that answers queries loads nothing that speaks HTTPS: that has its own', (t) => {
  const heavy = /^(?:node:)?(?:https|tls|http2)$/;
  const loadsOf = (path: string) => files.find((file) => file.path === path)?.loads ?? [];
  const loadedBy = (entry: string): string[] => {
    const reached = new Set([entry]);
    for (const path of reached) for (const target of loadsOf(path)) reached.add(target);
    return [...reached].sort();
  };
  const served = loadedBy('commands/serve.ts');
  t.ok(served.includes('daemon/rooms.ts') && served.includes('admin/metrics.ts'), 'the server was followed');
  t.strictSame(
    served.flatMap((path) =>
      loadsOf(path)
        .filter((target) => heavy.test(target))
        .map((target) => `${path} loads ${target}`),
    ),
    // a DNS-over-TLS upstream is asked by the thread that has the question; TLS is loaded only where one is configured
    ['serving/forwarder/tls.ts loads node:tls'],
  );
  t.match(
    loadedBy('far-side/far-side-thread.ts').filter((target) => heavy.test(target)),
    ['node:https', 'node:tls'],
    'whatever is loaded is found',
  );
  // a module that is named by an expression would not be found
  for (const { path, text } of files)
    t.strictSame(linesWith(text, /\bgetBuiltinModule\((?!'[^']+'\))/), [], path);
  t.end();
});

t.test('work that nobody waits for starts in one way: inBackground, or a timer', async (t) => {
  // the thread of all that speaks HTTPS ends with a defect, and is started again by the one that answers
  const apart = ['far-side/far-side-thread.ts', 'far-side/far-side.ts', 'runtime/background.ts'];
  for (const { path, code } of files) {
    if (isIn(path, 'commands') || apart.includes(path)) continue;
    // `void promise` as a statement or as the whole of a callback
    const floating = linesWith(code, /(?:^|[;{)]|=>|\belse)\s*void [a-z](?![\w]*[;,)>])/);
    const allowed = /void \(?await |=> void calls\./;
    t.strictSame(
      floating.filter((line) => !allowed.test(line)),
      [],
      path,
    );
  }
});

t.test('a transport to upstreams is a file that is handed in: no other file knows it', async (t) => {
  const room = 'serving/forwarder';
  const known = ['exchange.ts', 'tcp.ts'].map((name) => `${room}/${name}`); // TLS is a stream of TCP
  const transports = files.filter(({ code }) =>
    /export (?:function|const) \w+[^;{=]*: TransportKind\b/.test(code),
  );
  t.strictSame(
    transports.map(({ path }) => path),
    ['tcp', 'tls', 'udp'].map((name) => `${room}/${name}.ts`),
  );
  for (const { path, imports } of transports)
    t.strictSame(
      imports.filter((target) => isIn(target, room) && !known.includes(target)),
      [],
      path,
    );
  const users = (target: string): string[] =>
    files.filter(({ imports }) => imports.includes(target)).map(({ path }) => path);
  t.strictSame(users(`${room}/tls.ts`), ['daemon/serving-rooms.ts']);
  const spelled = files
    .filter(({ text }) => /transport: 'tls'|\[\s*'tls',|^ +tls: [{(]/m.test(text))
    .map(({ path }) => path);
  t.strictSame(
    spelled,
    ['commands/check/upstreams.ts', 'config/kinds/upstream.ts'],
    'the file that reads what an operator writes, and the command that asks beside the server',
  );
});

t.test('one writer decides when state is written; formats know no file, and the state no disk', async (t) => {
  const room = files.filter(({ path }) => isIn(path, 'store'));
  const users = (pattern: RegExp): string[] =>
    room.filter(({ code }) => linesWith(code, pattern).length > 0).map(({ path }) => path);
  // the disk only watches how long an operation takes
  const waiting = ['store/file-system.ts', 'store/writer.ts'];
  t.strictSame(users(/\btimers\.after\(|\bsleep\(|\bendsWithin\(/), waiting, 'what waits or tries again');
  t.strictSame(users(/\bsetAside\(this\.#?files/), ['store/answers-snapshot.ts', 'store/state-backend.ts']);
  const importsOf = (path: string) =>
    (room.find((file) => file.path === path)?.imports ?? []).filter((target) => isIn(target, 'store'));
  for (const { path } of room.filter((file) => file.path.endsWith('-format.ts'))) {
    const known = ['store/checked-json.ts', 'store/state-format.ts', 'store/store-messages.ts'];
    const own = path === 'store/state-format.ts' ? importsOf(path) : known;
    t.strictSame(
      importsOf(path).filter((target) => !own.includes(target)),
      [],
      path,
    );
  }
  const disk = ['store/file-system.ts'];
  t.strictSame(
    importsOf('store/state-store.ts').filter((target) => disk.includes(target)),
    [],
    'another backend is another implementation of one interface',
  );
});

t.test('every log line is declared: its room names level, text, fields and what to do', async (t) => {
  const passesOn = ['far-side/far-side.ts', 'far-side/far-side-thread.ts'];
  for (const { path, code } of files) {
    if (isIn(path, 'log') || passesOn.includes(path)) continue;
    const undeclared = linesWith(code, /\blog(?:ger)?\)?\??\.(?:debug|info|warn|error)\(|\blog(?:ger)?\[/);
    t.strictSame(undeclared, [], `${path}: declare it with messages() in its room`);
  }
  const rooms = [...ROOM_MESSAGES.map(([, declared]) => declared), SERVE_MESSAGES];
  const declaring = files.flatMap(({ code }) => code.match(/^export const [A-Z_]+ = messages\(/gm) ?? []);
  t.equal(declaring.length, rooms.length, 'every declaration is in the list of scripts/room-messages.ts');
  for (const { level, text, fix } of rooms.flatMap((declared) => Object.values<Declaration>(declared))) {
    t.match(text, /^[a-z][^.]*[^.:]$/, `${text}: lower case, no full stop`);
    if (level === 'warn' || level === 'error') t.ok(fix, `${text}: says what to do`);
  }
});
