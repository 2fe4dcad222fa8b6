/** pin, unpin, flush and explain against the real server: over a kill in the moment after the answer, and where no server can be commanded. */
import { chmodSync } from 'node:fs';
import t from 'tap';
import { run } from '../commands/running.ts';
import { until } from '../helpers/patience.ts';
import { isReady } from './readiness.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

const NAME = 'www.example.com';

t.test('what a command has done is still done after kill -9', async (t) => {
  const site = await Site.open(t);
  const words = (...given: readonly string[]) => run([...given, '--state', site.stateDirectory]);
  const why = ['--for', '4h', '--why', 'ticket 7'];
  const noServer = await words('pin', 'demo', '10.0.9.1', ...why);
  t.match(noServer, {
    code: 1,
    stderr: /cannot pin: control socket ".*control\.sock": nothing listens there/,
  });
  t.match(noServer.stderr, /is it running\?/);

  const first = site.start();
  await isReady(first);
  await first.ask({ name: NAME });
  await until('the commands are there', async () => (await words('drill', 'report')).stderr === '');

  const pinned = await words('pin', 'demo', '10.0.9.1', ...why);
  t.match(pinned, {
    code: 0,
    stderr: '',
    stdout: /is answered with 10\.0\.9\.1 for 4 h in place of 10\./,
  });
  t.same(await first.addresses(ENDPOINT), ['10.0.9.1']);
  await first.kill('SIGKILL');

  const second = site.start();
  await second.firstAnswer({ name: ENDPOINT });
  t.same(await second.addresses(ENDPOINT), ['10.0.9.1'], 'from the state file');
  await isReady(second);
  const refused = await words('pin', 'demo', '198.51.100.7', ...why);
  t.match(refused, { code: 1, stdout: '', stderr: /"198\.51\.100\.7" is refused: / });
  t.match(refused.stderr, /allowedAddresses/);
  const unpinned = await words('unpin', 'demo', '--json');
  t.match(JSON.parse(unpinned.stdout), { cluster: 'demo', isSaved: true });
  t.same(await second.addresses(ENDPOINT), DEMO);

  const shown = await words('explain', ENDPOINT);
  t.match(shown, { code: 0, stderr: '', stdout: /10\.0\.1\.10 served\n/ });
  await second.ask({ name: NAME });
  const explained = JSON.parse((await words('explain', NAME, '--json')).stdout);
  t.match(explained, { now: { step: 'fresh', kept: {} }, inCut: { rcode: 'NOERROR' } });
  t.match(await words('explain', 'a..b'), { code: 2, stderr: /not a domain name: "a\.\.b"/ });
  t.match(await words('explain', NAME, 'NOTYPE'), { code: 2, stderr: /Not a record type/ });
  t.match(await words('explain', '10.0.1.10'), { code: 2, stderr: /write 10\.1\.0\.10\.in-addr\.arpa PTR/ });
  const flushed = await words('flush', NAME, '--json');
  t.match(JSON.parse(flushed.stdout), { name: NAME, below: false, isSaved: true });
  t.ok(JSON.parse(flushed.stdout).answers >= 1);
  await second.kill('SIGKILL');

  site.sandbox.link.set('refused');
  const third = site.start();
  await third.firstAnswer({ name: ENDPOINT });
  await until('the snapshot is loaded', () => third.logged('snapshot of answers loaded').length > 0);
  t.equal((await third.ask({ name: NAME })).answers.length, 0, 'not from the disk');
  t.same(await third.addresses(ENDPOINT), DEMO);
});

t.test(
  'a user who may not command the server gets told which user may',
  { skip: process.getuid?.() !== 0 },
  async (t) => {
    const site = await Site.open(t);
    const server = site.start();
    await isReady(server);
    chmodSync(site.directory, 0o755);
    chmodSync(site.stateDirectory, 0o711);
    const { runWith } = await import('../commands/running.ts');
    const options = { state: site.stateDirectory };
    for (const words of [
      ['pin', 'demo', '10.0.9.1', '--for', '4h', '--why', 'x'],
      ['unpin', 'demo'],
      ['flush', NAME, '--below'],
    ]) {
      const ended = await runWith(words, options, { uid: 65_534 });
      t.match(ended, { code: 1, stdout: '', stderr: /may not command the server \(EACCES\)/ });
      t.match(ended.stderr, /sudo -u outpost-dns/);
    }
  },
);

t.test('wrong words are refused before any server is asked', async (t) => {
  for (const [words, text] of [
    [['pin', 'demo', '10.0.9', '--for', '4h', '--why', 'x'], /Not an IPv4 address/],
    [['pin', 'demo', '10.0.9.1', '--for', 'soon', '--why', 'x'], /--for/],
    [['pin', 'demo', '10.0.9.1', '--for', '4h'], /--why/],
    [['pin', 'demo', '--for', '4h', '--why', 'x'], /missing required argument 'address'/],
    [['flush'], /missing required argument 'name'/],
  ] as const) {
    t.match(await run([...words, '--state', '/nowhere']), { code: 2, stdout: '', stderr: text });
  }
});
