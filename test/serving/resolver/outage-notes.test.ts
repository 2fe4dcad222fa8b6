import t from 'tap';
import { TYPE } from '../../../src/protocol/words/codes.ts';
import { rr } from '../../helpers/zone-text.ts';
import { addresses, ENDPOINT, endpointRecord, Rig } from './rig.ts';

/** Only answers that the outage has changed are noted. */
t.test('who is hurt: clients whose query fails, and clients that get an expired answer', async (t) => {
  const rig = new Rig({
    records: [
      endpointRecord({ addresses: ['10.0.0.1'] }),
      endpointRecord({ endpoint: 'empty.eks.amazonaws.com' }),
    ],
    disconnected: {
      regions: ['us-west-2'],
      zones: [
        { name: 'denied.example', whileDisconnected: 'nxdomain' },
        { name: 'static.example', whileDisconnected: [rr('www.static.example 60 A 10.7.7.7')] },
      ],
    },
  });
  rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
  await rig.answer({ name: 'old.example.com' });
  await rig.time.advance(50_000);
  await rig.answer({ name: 'young.example.com' });
  rig.cache.retain(
    'kept.example',
    TYPE.A,
    { message: addresses('kept.example A', ['192.0.2.3']), ageMs: Infinity },
    rig.time.monotonicMs(),
  );
  await rig.time.advance(20_000);
  rig.hurt.length = 0;
  rig.down.add('default');
  for (const [name, told] of [
    [ENDPOINT, [`endpoint ${ENDPOINT}`]],
    ['empty.eks.amazonaws.com', ['failed empty.eks.amazonaws.com A']],
    [`nothing.${ENDPOINT}`, []],
    ['old.example.com', ['stale old.example.com A']],
    ['young.example.com', []],
    ['kept.example', []],
    ['new.example.com', ['failed new.example.com A']],
    ['new.example.com', ['failed new.example.com A']],
    ['sts.amazonaws.com', ['failed sts.amazonaws.com A']],
    ['x.denied.example', ['failed x.denied.example A']],
    ['www.static.example', []],
    ['ip-10-0-3-10.us-west-2.compute.internal', []],
    ['web.us-west-2.compute.internal', []],
    ['localhost', []],
  ] as const) {
    await rig.answer({ name });
    t.same(rig.hurt, told, name);
    rig.hurt.length = 0;
  }
});

t.test('an AAAA of an endpoint, and the text of its status, are no answers with its addresses', async (t) => {
  const rig = new Rig({ records: [endpointRecord({ addresses: ['10.0.0.1'] })] });
  rig.now({ name: ENDPOINT, type: 'AAAA' });
  rig.now({ name: `_status.${ENDPOINT}`, type: 'TXT' });
  t.same(rig.hurt, []);
});

t.test('an answer that was waited for in vain is noted once, when it comes', async (t) => {
  const rig = new Rig();
  rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
  await rig.answer({ name: 'www.example.com' });
  await rig.time.advance(61_000);
  rig.says = () => undefined;
  t.match(await rig.answer({ name: 'www.example.com' }, { withinMs: 2_000 }), { rcode: 0 });
  t.same(rig.hurt, ['stale www.example.com A']);
  t.match(await rig.answer({ name: 'new.example.com' }, { withinMs: 5_100 }), { rcode: 2 });
  t.same(rig.hurt.slice(1), ['failed new.example.com A']);
});
