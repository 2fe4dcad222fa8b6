/** Lines of the log on their way to a destination that a test scripts. */
import t from 'tap';
import { type ErrnoException, LineQueue } from '../../src/log/pino-log.ts';
import { until } from '../helpers/patience.ts';
import { systemError } from '../helpers/system-error.ts';

type Done = (error: ErrnoException | undefined, written: number) => void;

/** What `answer` says to each write in turn; the rest is taken whole. */
function scripted(...answers: readonly (readonly [code: string | undefined, written: number] | 'never')[]) {
  const taken: string[] = [];
  const left = [...answers];
  const recovered: number[] = [];
  const write = (octets: Uint8Array, done: Done) => {
    const [code, written] = ((next) =>
      next === 'never' ? ['never', 0] : (next ?? [undefined, octets.length]))(left.shift());
    if (code === 'never') return;
    taken.push(Buffer.from(octets.subarray(0, written)).toString());
    const error = code === undefined ? undefined : systemError(code);
    setImmediate(() => done(error, written));
  };
  const lines = new LineQueue({ write }, (dropped) => recovered.push(dropped));
  return { lines, recovered, text: () => taken.join('') };
}

t.test(
  'a part that was taken is gone on with; a line that is torn by an error does not spoil the next',
  async (t) => {
    const one = scripted([undefined, 3], ['ENOSPC', 2]);
    one.lines.write('first line\n');
    await until('it has failed', () => one.lines.state().failure !== undefined);
    t.match(one.lines.state(), { failure: /^ENOSPC/, dropped: { failed: 1, full: 0 } });
    one.lines.write('second\n');
    t.ok(await one.lines.flush(5000));
    t.equal(one.text(), 'first\nsecond\n');
    t.same(one.recovered, [1]);
    t.equal(one.lines.state().failure, undefined);
  },
);

t.test('a destination that is busy loses nothing', async (t) => {
  const one = scripted(['EAGAIN', 0], ['EAGAIN', 2]);
  one.lines.write('only\n');
  t.ok(await one.lines.flush(5000));
  t.equal(one.text(), 'only\n');
  t.same(one.lines.state().dropped, { failed: 0, full: 0 });
});

for (const code of ['ENOSPC', 'EDQUOT', 'EIO', 'EPIPE', 'EFBIG', 'EBADF']) {
  t.test(`${code} costs the lines of that write`, async (t) => {
    const one = scripted([code, 0]);
    one.lines.write('lost\n');
    await until('it has failed', () => one.lines.state().failure !== undefined);
    t.match(one.lines.state().failure, new RegExp(`^${code}: \\w`));
    one.lines.write('kept\n');
    t.ok(await one.lines.flush(5000));
    t.equal(one.text(), 'kept\n');
    t.same(one.lines.state().dropped, { failed: 1, full: 0 });
  });
}

t.test(
  'a write that never ends: the queue has a bound, each line beyond it is counted, an end does not wait',
  async (t) => {
    const one = scripted('never');
    const line = `${'x'.repeat(1023)}\n`;
    for (let count = 0; count < 5000; count++) one.lines.write(line);
    const { failed, full } = one.lines.state().dropped;
    t.equal(failed, 0);
    t.ok(full >= 5000 - 1024 - 1, `${full} dropped`);
    t.equal(await one.lines.flush(10), false);
    t.ok(one.lines.isWriting);
  },
);
