/** A refused address that leaves the answers has its line in the ledger; an address that two hosts have does not fill the ledger. */
import t from 'tap';
import { WithheldChronicle, type WithheldEvent } from '../../src/daemon/ledger-events.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

const HOUR_MS = 3_600_000;

function open() {
  const time = new VirtualTime();
  const lines: { readonly phase: string; readonly unwritten?: number | undefined; readonly atMs: number }[] =
    [];
  const chronicle = new WithheldChronicle({
    clock: time,
    timers: time,
    record: ({ phase, unwritten }, agoMs) =>
      lines.push({
        phase,
        ...(unwritten === undefined ? {} : { unwritten }),
        atMs: time.monotonicMs() - agoMs - startMs,
      }),
  });
  const startMs = time.monotonicMs();
  const note = (phase: WithheldEvent['phase'], address = '10.0.3.10') =>
    chronicle.note({ kind: 'withheld', cluster: 'demo', address, phase });
  return { time, lines, chronicle, note };
}

t.test('a departure and a return have a line each, at once', async (t) => {
  const { time, lines, note } = open();
  note('left');
  await time.advance(60_000);
  note('came');
  t.strictSame(lines, [
    { phase: 'left', atMs: 0 },
    { phase: 'came', atMs: 60_000 },
  ]);
  t.equal(time.pendingTimers, 0);
});

t.test(
  'an address that goes and comes every half minute for a day: a line an hour, the last with what is true then',
  async (t) => {
    const { time, lines, note } = open();
    let phase: WithheldEvent['phase'] = 'left';
    for (let at = 0; at < 2 * 60 * 24; at++) {
      note(phase);
      await time.advance(30_000);
      if (at < 2 * 60 * 24 - 1) phase = phase === 'left' ? 'came' : 'left';
    }
    await time.advance(2 * HOUR_MS);
    t.ok(lines.length <= 4 + 25, `${lines.length} lines`);
    t.equal(lines.at(-1)?.phase, phase);
    const counted = lines.reduce((sum, { unwritten = 0 }) => sum + unwritten + 1, 0);
    t.equal(counted, 2 * 60 * 24, 'every change is in a line, or counted in one');
    t.ok(
      lines.every(({ atMs }, index) => atMs >= (lines[index - 1]?.atMs ?? 0)),
      'in order',
    );
    t.equal(time.pendingTimers, 0);
    note('left');
    t.match(lines.at(-1), { phase: 'left', unwritten: undefined }, 'after a quiet hour at once');
  },
);

t.test('each address has its own lines, and none comes after the stop', async (t) => {
  const { time, lines, chronicle, note } = open();
  for (let at = 0; at < 5; at++) note('left');
  t.equal(lines.length, 4);
  note('left', '10.0.3.11');
  t.equal(lines.length, 5);
  chronicle[Symbol.dispose]();
  note('came');
  await time.advance(2 * HOUR_MS);
  t.equal(lines.length, 5);
  t.equal(time.pendingTimers, 0);
});
