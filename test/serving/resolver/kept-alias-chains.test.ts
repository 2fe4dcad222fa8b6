/** Chains of aliases whose parts are kept, retained, or given by the rules of an outage. */
import t from 'tap';
import { message, rr } from '../../helpers/zone-text.ts';
import { answersFrom, lines, record, rigWith, rules } from './alias-site.ts';
import { ENDPOINT } from './rig.ts';

t.test('later part kept, earlier part fresh, and the reverse', async (t) => {
  const rig = rigWith();
  answersFrom(rig, {
    'www.example.com A': 'www.example.com 3600 CNAME cdn.example.net; cdn.example.net 20 A 192.0.2.1',
    'cdn.example.net A': 'cdn.example.net 600 A 192.0.2.2',
    'alias.example.com A': 'alias.example.com 30 CNAME cdn.example.net',
  });
  await rig.answer({ name: 'www.example.com' });
  await rig.answer({ name: 'alias.example.com' });
  await rig.time.advance(60_000);
  rig.down.add('default');
  t.same(
    lines(await rig.answer({ name: 'alias.example.com' })),
    ['alias.example.com 30 CNAME cdn.example.net', 'cdn.example.net 540 A 192.0.2.2'],
    'stale, then fresh',
  );
  t.same(
    lines(await rig.answer({ name: 'www.example.com' })),
    ['www.example.com 30 CNAME cdn.example.net', 'cdn.example.net 540 A 192.0.2.2'],
    'a fresh answer about the target beats the stale one in the chain',
  );
  rig.down.clear();
  const fresh = rigWith();
  answersFrom(fresh, {
    'short.example.net A': 'short.example.net 20 A 192.0.2.3',
    'alias.example.com A': 'alias.example.com 3600 CNAME short.example.net',
  });
  await fresh.answer({ name: 'alias.example.com' });
  await fresh.time.advance(60_000);
  fresh.down.add('default');
  t.same(
    lines(await fresh.answer({ name: 'alias.example.com' })),
    ['alias.example.com 3540 CNAME short.example.net', 'short.example.net 30 A 192.0.2.3'],
    'fresh, then stale',
  );
});

t.test('a retained name at the end, in the middle and at the start', async (t) => {
  const rig = rigWith();
  const retain = (name: string, text: string, ageMs: number) =>
    rig.cache.retain(
      name,
      1,
      {
        message: message({ question: [name, 'A'], answers: text.split(';').map(record) }),
        ageMs,
      },
      rig.time.monotonicMs(),
    );
  t.ok(retain('retained.example', 'retained.example 60 A 10.6.6.6', 0) !== undefined);
  t.ok(retain('start.example', 'start.example 60 CNAME api.site.example', 0) !== undefined);
  answersFrom(rig, {
    'mid.example.com A': 'mid.example.com 10 CNAME retained.example; retained.example 10 A 192.0.2.66',
    'lie.example.com A': 'lie.example.com 300 CNAME retained.example ! | example 60 SOA',
  });
  const end = async (name: string) => (await rig.answer({ name })).answers.at(-1)?.data;
  t.equal(await end('kept.site.example'), '10.6.6.6');
  t.equal((await rig.answer({ name: 'start.example' })).answers.length, 5);
  t.equal(await end('mid.example.com'), '192.0.2.66', 'fresh from the upstream');
  for (const it of ['fetched', 'kept'])
    t.equal(await end('lie.example.com'), '10.6.6.6', `${it}: denied beyond`);
  await rig.time.advance(1_000_000);
  rig.down.add('default');
  t.equal(await end('mid.example.com'), '10.6.6.6', 'a retained answer beats a stale answer');
  t.equal(await end('kept.site.example'), '10.6.6.6');
  t.match(await rig.answer({ name: 'start.example', edns: {} }), { ede: 3, answers: { length: 5 } });
});

t.test('records for an outage, as first and as later part; AA only for our own data', async (t) => {
  const rig = rigWith({
    disconnected: {
      zones: [
        {
          name: 'corp.example',
          whileDisconnected: [
            rr(`k8s.corp.example 60 CNAME ${ENDPOINT}`),
            rr('db.corp.example 60 A 10.4.0.1'),
            rr('up.corp.example 60 CNAME db.corp.example'),
          ],
        },
      ],
    },
    rules: [...rules, { name: 'more.example', records: [rr('db.more.example 60 CNAME db.corp.example')] }],
  });
  answersFrom(rig, {
    'www.example.com A': 'www.example.com 3000 CNAME db.corp.example; db.corp.example 3000 A 192.0.2.77',
  });
  await rig.answer({ name: 'www.example.com' });
  rig.down.add('default').add('corp');
  t.match(await rig.answer({ name: 'k8s.corp.example' }), { rcode: 0, aa: false, answers: { length: 4 } });
  t.match(await rig.answer({ name: 'up.corp.example' }), { rcode: 0, aa: false, answers: { length: 2 } });
  t.match(await rig.answer({ name: 'db.more.example' }), { aa: true, answers: [{}, { data: '10.4.0.1' }] });
  t.equal((await rig.answer({ name: 'www.example.com' })).answers.at(-1)?.data, '10.4.0.1');
  rig.down.clear();
  t.equal((await rig.answer({ name: 'www.example.com' })).answers.at(-1)?.data, '192.0.2.77');
});

t.test('a service of AWS after a stale alias fails at once in a cut, as it does by itself', async (t) => {
  const rig = rigWith({ disconnected: { regions: ['us-west-2'] } });
  const s3 = 'bucket.s3.us-west-2.amazonaws.com';
  answersFrom(rig, { 'files.example.com A': `files.example.com 60 CNAME ${s3}; ${s3} 60 A 192.0.2.1` });
  await rig.answer({ name: 'files.example.com' });
  rig.down.add('default');
  t.equal((await rig.answer({ name: 'files.example.com' })).rcode, 0, 'while fresh');
  await rig.time.advance(100_000);
  t.match(await rig.answer({ name: 'files.example.com', edns: {} }), { rcode: 2, ede: 22 });
});
