/** A throw in background work costs that work, a line and a count. */
import t from 'tap';
import {
  backgroundFailures,
  inBackground,
  logBackgroundFailures,
  noteFailure,
} from '../../src/runtime/background.ts';
import { systemTimers } from '../../src/runtime/clock.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { until } from '../helpers/patience.ts';

t.test(
  'thrown at once, rejected later, in a timer, in a timer that goes on: nothing gets through',
  async (t) => {
    const log = new CollectingLog();
    logBackgroundFailures(log);
    const fail = () => {
      throw new Error('a defect');
    };
    await inBackground('address-checks', fail);
    await inBackground('address-checks', async () => fail());
    systemTimers.after(0, fail);
    systemTimers.after(0, async () => fail());
    noteFailure('other', 'not even an error');
    await until('all are counted', () => backgroundFailures()['timer'] === 2);
    t.match(backgroundFailures(), { 'address-checks': 2, timer: 2, other: 1 });
    const works = log.lines.map(({ fields }) => fields['work']);
    t.strictSame(works.toSorted(), ['address-checks', 'other', 'timer'], 'each work once in ten seconds');
  },
);
