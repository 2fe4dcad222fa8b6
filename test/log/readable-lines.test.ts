import t from 'tap';
import { readableEvent } from '../../src/log/readable-lines.ts';

const rows: readonly (readonly [record: Record<string, unknown>, line: string])[] = [
  [
    { level: 40, time: 1, msg: 'upstream is down', upstream: '10.0.0.2' },
    'upstream is down  upstream=10.0.0.2',
  ],
  [
    { msg: 'addresses learned', added: ['10.0.1.10', '10.0.1.11'], removed: [] },
    'addresses learned  added=10.0.1.10,10.0.1.11',
  ],
  [{ msg: 'a', detail: 'two words', empty: '', none: null, no: undefined }, 'a  detail="two words"'],
  [{ msg: 'a', list: [{ address: '10.0.0.1', reasons: [] }], nothing: {} }, 'a  list={address=10.0.0.1}'],
  [{ msg: 'a', count: 0, isOn: false }, 'a  count=0  isOn=false'],
  [{ msg: 'a', said: 'x\ny\u202e\u2028z\u001b[2J' }, 'a  said="x\\ny  z\\u001b[2J"'],
  [
    {
      msg: 'a',
      err: { type: 'TypeError', message: 'bad', stack: 'TypeError: bad\n    at f (file.ts:1:2)\n    at g' },
    },
    'a  err="TypeError: bad at f (file.ts:1:2)"',
  ],
];

t.test('an event is one line, and fields that say nothing are left out', async (t) => {
  for (const [record, line] of rows) t.equal(readableEvent(record), line);
});
