import t from 'tap';
import { LinkChronicle, linkEvent } from '../../src/daemon/ledger-events.ts';
import { LinkMonitor } from '../../src/link/link-monitor.ts';
import { Ledger } from '../../src/store/ledger.ts';
import { readLedger } from '../../src/store/ledger-reader.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

function site(directory: string) {
  const time = new VirtualTime('2026-01-01T00:00:00Z');
  const log = new CollectingLog();
  const ledger = new Ledger({ directory }, { clock: time, timers: time, log });
  const chronicle = new LinkChronicle({
    clock: time,
    timers: time,
    record: (place, change, agoMs) => ledger.record(linkEvent(place, change), agoMs),
  });
  const link = new LinkMonitor({
    clock: time,
    timers: time,
    log,
    onRestored: () => {},
    onTransition: (transition) => chronicle.note(transition),
    isRehearsed: () => false,
  });
  const report = async (proves: 'reachable' | 'unreachable', afterMs: number) => {
    await time.advance(afterMs);
    link.report({ side: 'aws', key: 'us-west-2', proves, reason: proves });
  };
  return { time, log, ledger, chronicle, report };
}

t.test(
  'a cut of ten seconds is in the ledger with its own times, though its end is known later',
  async (t) => {
    const directory = t.testdir();
    const { time, ledger, report } = site(directory);
    await report('reachable', 0);
    for (const afterMs of [600_000, 1000, 1000]) await report('unreachable', afterMs);
    for (const afterMs of [6000, 2000, 2000]) await report('reachable', afterMs);
    await time.advance(60_000);
    await ledger.flush();
    const { entries } = await readLedger(directory);
    t.strictSame(
      entries.map(({ at, event }) => [
        at,
        event?.kind === 'link' && [event.side, event.from, event.to, event.lastedMs],
      ]),
      [
        ['2026-01-01T00:00:00.000Z', ['aws', 'unknown', 'connected', undefined]],
        ['2026-01-01T00:00:00.000Z', ['summary', 'unknown', 'connected', undefined]],
        ['2026-01-01T00:10:02.000Z', ['aws', 'connected', 'disconnected', 602_000]],
        ['2026-01-01T00:10:02.000Z', ['summary', 'connected', 'disconnected', 602_000]],
        ['2026-01-01T00:10:12.000Z', ['aws', 'disconnected', 'connected', 10_000]],
        ['2026-01-01T00:10:12.000Z', ['summary', 'disconnected', 'connected', 10_000]],
      ],
    );
  },
);

t.test(
  'the log counts the changes of a restless path that have no line, and after the end nothing is recorded',
  async (t) => {
    const directory = t.testdir();
    const { time, log, ledger, chronicle, report } = site(directory);
    await report('reachable', 0);
    for (let flips = 0; flips < 50; flips++) {
      for (const afterMs of [1000, 1000, 1000]) await report('unreachable', afterMs);
      for (const afterMs of [1000, 1000, 1000]) await report('reachable', afterMs);
    }
    chronicle[Symbol.dispose]();
    await time.advance(600_000);
    const lines = log.lines.filter(({ text }) => text === 'link changed');
    t.ok(lines.length <= 10, `${lines.length} lines`);
    const counted = lines.reduce((sum, { fields }) => sum + 1 + Number(fields['left'] ?? 0), 0);
    t.equal(counted, 1 + 4 * 50, 'each change has a line, or is counted in one');
    await report('unreachable', 0);
    await ledger.flush();
    const { entries } = await readLedger(directory);
    t.equal(entries.length, 4, 'connected, and the first cut, of the path and of the whole');
  },
);
