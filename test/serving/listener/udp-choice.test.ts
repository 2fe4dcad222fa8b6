import t from 'tap';
import { loadDatagramCalls } from '../../../src/runtime/libc.ts';
import { chooseDatagramCalls, udpListeners } from '../../../src/serving/listener/bound-address.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { makeRig } from './rig.ts';

const kindOf = (libc: Awaited<ReturnType<typeof chooseDatagramCalls>>, address: string) =>
  udpListeners(libc)({ address, port: 0 }, makeRig()).kind;

t.test('plain is plain, also where batches could be had', async (t) => {
  const log = new CollectingLog();
  t.equal(kindOf(await chooseDatagramCalls('plain', log), '127.0.0.1'), 'plain');
  t.equal(log.lines.length, 0);
});

t.test(
  'auto and batched take batches where they can be had, and the log says where they cannot',
  async (t) => {
    const isAvailable = (await loadDatagramCalls()).kind === 'available';
    for (const mode of ['auto', 'batched'] as const) {
      const log = new CollectingLog();
      const libc = await chooseDatagramCalls(mode, log);
      t.equal(kindOf(libc, '127.0.0.1'), isAvailable ? 'batched' : 'plain', mode);
      t.equal(
        kindOf(libc, 'fe80::1%lo'),
        'plain',
        'a link-local address needs its interface, which dgram finds',
      );
      const level = mode === 'auto' ? 'info' : 'warn';
      t.match(log.lines, isAvailable ? [] : [{ level, text: 'udp is not received in batches' }]);
    }
  },
);
