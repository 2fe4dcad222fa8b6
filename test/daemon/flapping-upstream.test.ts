/** The only upstream is up for a second and down for two, for ten minutes: nothing that follows from it grows with each change. */
import t from 'tap';
import { readLedger } from '../../src/store/ledger-reader.ts';
import { openSite } from './virtual-site.ts';

t.test('lines of the log and of the ledger, and polls, are few', async (t) => {
  const { site, directory } = await openSite(t);
  const { plane, ledger } = site.rooms;
  let kicks = 0;
  const { kick } = plane;
  plane.kick = (reason) => {
    kicks++;
    return kick.call(plane, reason);
  };
  site.says = () => (site.time.monotonicMs() % 3_000 >= 1_000 ? 'silence' : undefined);
  const startMs = site.time.monotonicMs();
  let answered = 0;
  let longestMs = 0;
  for (let at = 0; site.time.monotonicMs() < startMs + 600_000; at++) {
    const { rcode, afterMs } = await site.ask({ name: `n${at}.example.com` });
    if (rcode === 0) answered++;
    longestMs = Math.max(longestMs, afterMs);
    await site.time.advance(200);
  }
  const lines = site.log.lines.filter(({ level }) => level !== 'debug');
  const changes = lines.filter(({ text }) => /^(?:link changed|upstream is (?:up|down))$/.test(text));
  t.ok(changes.length <= 25, `${changes.length} lines of the link and of the upstream`);
  t.ok(lines.length <= 100, `${lines.length} lines`);
  t.ok(kicks <= 20, `${kicks} times all sources are asked again`);
  t.ok(longestMs <= 5_000, `${longestMs} ms`);
  t.ok(answered > 200, `${answered} answered`);
  await ledger.flush();
  const { entries } = await readLedger(directory);
  t.ok(entries.length <= 12, `${entries.length} lines of the ledger`);
});
