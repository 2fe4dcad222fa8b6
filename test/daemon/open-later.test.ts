import t from 'tap';
import { openLater } from '../../src/daemon.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

t.test(
  'what cannot be opened is asked for again every 30 s until it is, and closed at the end',
  async (t) => {
    const time = new VirtualTime();
    const seen: string[] = [];
    const answers = [undefined, undefined, { close: async () => void seen.push('closed') }];
    const opened = openLater(async () => {
      seen.push(`tried at ${time.monotonicMs()}`);
      return answers.shift();
    }, time);
    await time.advance(100_000);
    t.strictSame(seen, ['tried at 0', 'tried at 30000', 'tried at 60000']);
    t.equal(time.pendingTimers, 0);
    await opened[Symbol.asyncDispose]();
    t.equal(seen.at(-1), 'closed');
  },
);

t.test('an end in the middle of an attempt closes what it brings, and asks no more', async (t) => {
  for (const brings of [true, false]) {
    const time = new VirtualTime();
    const attempt = Promise.withResolvers<{ close(): Promise<void> } | undefined>();
    let [attempts, closed] = [0, 0];
    const opened = openLater(() => {
      attempts++;
      return attempt.promise;
    }, time);
    const ended = opened[Symbol.asyncDispose]();
    attempt.resolve(brings ? { close: async () => void closed++ } : undefined);
    await ended;
    await time.advance(100_000);
    t.strictSame([attempts, closed], [1, brings ? 1 : 0]);
    t.equal(time.pendingTimers, 0);
  }
});

t.test(
  'an attempt that throws, such as for a file that an upgrade replaces, is made again too',
  async (t) => {
    const time = new VirtualTime();
    const answers = [
      () => Promise.reject(new Error('no such file')),
      () => Promise.resolve({ close: async () => undefined }),
    ];
    let attempts = 0;
    const opened = openLater(async () => answers[attempts++]?.(), time);
    await time.advance(100_000);
    t.equal(attempts, 2);
    await opened[Symbol.asyncDispose]();

    const never = openLater(() => Promise.reject(new Error('no such file')), time);
    await never[Symbol.asyncDispose]();
    t.pass('the end of the server does not fail with it');
  },
);

t.test('what was opened and is lost later is closed, and opened again', async (t) => {
  const time = new VirtualTime();
  const seen: string[] = [];
  let isLost = false;
  const opened = openLater(async () => {
    seen.push(`tried at ${time.monotonicMs()}`);
    if (isLost) return undefined;
    return { close: async () => void seen.push('closed'), isLost: async () => isLost };
  }, time);
  await time.advance(70_000);
  isLost = true;
  await time.advance(60_000);
  isLost = false;
  await time.advance(60_000);
  t.strictSame(seen, ['tried at 0', 'closed', 'tried at 90000', 'tried at 120000', 'tried at 150000']);
  await opened[Symbol.asyncDispose]();
  t.equal(seen.at(-1), 'closed');
  t.equal(time.pendingTimers, 0);
});

t.test(
  'what waits for a moment is first tried then, and not at all where the server ends before',
  async (t) => {
    for (const endsAtMs of [249, 251]) {
      const time = new VirtualTime();
      const seen: string[] = [];
      const attempt = async () => {
        seen.push(`tried at ${time.monotonicMs()}`);
        return { close: async () => void seen.push('closed') };
      };
      const opened = openLater(attempt, time, 250);
      await time.advance(endsAtMs);
      await opened[Symbol.asyncDispose]();
      await time.advance(100_000);
      t.strictSame(seen, endsAtMs < 250 ? [] : ['tried at 250', 'closed']);
      t.equal(time.pendingTimers, 0);
    }
  },
);
