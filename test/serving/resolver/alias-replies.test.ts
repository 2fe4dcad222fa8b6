import t from 'tap';
import { typeFromText } from '../../../src/protocol/words/codes.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { message, rr } from '../../helpers/zone-text.ts';
import { answersFrom, record, rigWith, rules } from './alias-site.ts';
import { ENDPOINT, Rig } from './rig.ts';

t.test('the number of aliases is bounded to sixteen, from every source', async (t) => {
  const chain = (length: number, at: (n: number) => string) =>
    Object.fromEntries(Array.from({ length }, (_, n) => [`${at(n)} A`, `${at(n)} 60 CNAME ${at(n + 1)}`]));
  const name = (n: number) => `n${n}.example.com`;
  for (const [length, rcode] of [
    [16, 0],
    [17, 2],
    [40, 2],
  ] as const) {
    const rig = rigWith();
    answersFrom(rig, { ...chain(length, name), [`${name(length)} A`]: `${name(length)} 60 A 192.0.2.1` });
    const reply = await rig.answer({ name: name(0) }, { withinMs: 2000 });
    t.equal(reply.rcode, rcode, `${length} aliases`);
    if (rcode === 0) t.equal(reply.answers.length, 17);
    t.ok(rig.asked.length <= 17, `${rig.asked.length} questions`);
  }
  const one = rigWith();
  const whole = Array.from({ length: 60 }, (_, n) => `${name(n)} 60 CNAME ${name(n + 1)}`).join(';');
  answersFrom(one, { [`${name(0)} A`]: whole });
  t.equal((await one.answer({ name: name(0) }, { transport: 'tcp' })).rcode, 2);
  t.ok(one.asked.length <= 2);
  const loop = rigWith();
  answersFrom(loop, {
    'a.example.com A': 'a.example.com 60 CNAME b.example.com',
    'b.example.com A': 'b.example.com 60 CNAME A.example.COM',
  });
  t.match(await loop.answer({ name: 'a.example.com' }), { rcode: 2 });
  t.equal(loop.asked.length, 2);
});

t.test('a chain has the time of one question, even if many upstreams on the way are silent', async (t) => {
  const rig = rigWith();
  rig.delayMs = 900;
  const name = (n: number) => `n${n}.example.com`;
  answersFrom(
    rig,
    Object.fromEntries(
      Array.from({ length: 16 }, (_, n) => [`${name(n)} A`, `${name(n)} 60 CNAME ${name(n + 1)}`]),
    ),
  );
  const timed = rig.timed({ name: name(0), edns: {} });
  await rig.time.advance(20_000);
  t.match(await timed, { reply: { rcode: 2, ede: 22 }, afterMs: 5000 });
});

t.test(
  'appended records stay readable: compressed names in RDATA of known types, unknown types untouched',
  async (t) => {
    const target = 'x.y.far.example.net';
    const rig = rigWith({
      rules: [...rules, { name: 'far.example', records: [rr(`a.far.example 60 CNAME ${target}`)] }],
    });
    const pointerToQname = Buffer.of(0xc0, 0x0c);
    const pointerToSuffix = Buffer.of(0xc0, 0x0c + 4); // far.example.net
    const compressed = (type: string, data: Uint8Array) => {
      const fixed = Buffer.alloc(10);
      fixed.writeUInt16BE(typeFromText(type) ?? 0, 0);
      fixed.writeUInt16BE(1, 2);
      fixed.writeUInt32BE(77, 4);
      fixed.writeUInt16BE(data.length, 8);
      return Buffer.concat([pointerToQname, fixed, data]);
    };
    const mail = Buffer.concat([Buffer.of(0, 10, 4), Buffer.from('mail'), pointerToSuffix]);
    const service = Buffer.concat([Buffer.of(0, 1, 0, 2, 0, 3, 3), Buffer.from('srv'), pointerToSuffix]);
    const opaque = Buffer.of(1, 2, 0xc0, 0x0c, 0xff);
    rig.says = (question) => {
      const type = question.split(' ')[1] ?? '';
      const data = {
        MX: mail,
        SRV: service,
        TYPE65280: opaque,
        PTR: Buffer.concat([Buffer.of(1, 0x70), pointerToSuffix]),
      }[type];
      return message({ id: 1, question: [target, type], answers: [compressed(type, data ?? opaque)] });
    };
    t.match((await rig.answer({ name: 'a.far.example', type: 'PTR' })).answers[1], {
      owner: target,
      ttl: 77,
      data: 'p.far.example.net',
    });
    t.equal(
      (await rig.answer({ name: 'a.far.example', type: 'TYPE65280' })).answers[1]?.data,
      opaque.toString('hex'),
    );
    const srv = await rig.answer({ name: 'a.far.example', type: 'SRV' });
    t.equal(
      srv.answers[1]?.data,
      Buffer.concat([service.subarray(0, 6), nameToWire('srv.far.example.net')]).toString('hex'),
      'RFC 3597 section 4: written out, since SRV must not be compressed',
    );
    const mx = await rig.answer({ name: 'a.far.example', type: 'MX' });
    t.equal(mx.answers[1]?.data.slice(0, 14), '000a046d61696c', 'the first label is there');
  },
);

t.test('the first part keeps its octets if nothing is left out of it', async (t) => {
  const rig = rigWith();
  const answers = [record('half.example.com 300 CNAME Api.SITE.example')];
  rig.says = (question) => message({ id: 9, question: [question.split(' ')[0] ?? '', 'A'], answers });
  const reply = await rig.answer({ name: 'half.example.com' });
  const first = answers[0] ?? Buffer.alloc(0);
  t.ok(reply.octets.includes(first), 'the record is there as it came');
  t.equal(reply.answers.length, 5);
});

t.test(
  'sizes: three addresses at the end of an alias fit 512 octets; a larger reply is TC, and whole over TCP',
  async (t) => {
    const long = 'x'.repeat(60);
    const many = Array.from({ length: 60 }, (_, n) => rr(`many.lab.test.example 60 A 10.1.1.${n + 1}`));
    const rig = rigWith({
      rules: [
        {
          name: 'site.example',
          records: [
            rr(`${long}.${long}.api.site.example 60 CNAME ${ENDPOINT}`),
            rr('many.site.example 60 CNAME many.lab.test.example'),
          ],
        },
        { name: 'lab.test.example', records: many },
      ],
    });
    const small = await rig.answer({ name: `${long}.${long}.api.site.example` });
    t.match(small, { tc: false, answers: { length: 4 } });
    t.ok(small.octets.length <= 512);
    const large = { name: 'many.site.example' };
    t.match(await rig.answer(large), { tc: true, rcode: 0, answers: [] });
    t.match(await rig.answer({ ...large, edns: { size: 4096 } }), { tc: false, answers: { length: 61 } });
    t.match(await rig.answer({ ...large, edns: { size: 600 } }), { tc: true, answers: [] });
    t.match(await rig.answer(large, { transport: 'tcp' }), { tc: false, answers: { length: 61 } });
  },
);

t.test(
  'authority records that a positive answer does not need are left out before the answer is',
  async (t) => {
    const rig = rigWith();
    const servers = Array.from(
      { length: 12 },
      (_, n) => `example.net 60 TYPE65281 ${String(n).padStart(60, '0')}`,
    ).join(';');
    answersFrom(rig, { 'www.example.com A': `www.example.com 300 A 192.0.2.1 | ${servers}` });
    const reply = await rig.answer({ name: 'web.site.example' });
    t.match(reply, { tc: false, answers: { length: 2 }, authorities: [] });
    t.match(await rig.answer({ name: 'web.site.example' }, { transport: 'tcp' }), {
      authorities: { length: 12 },
    });
  },
);

t.test('AD only where every part has it and the operator trusts the upstream', async (t) => {
  const rig = rigWith({ trustAuthenticatedData: true });
  rig.says = (question) => {
    const [name = '', type = 'A'] = question.split(' ');
    const answers =
      name === 'half.example.com'
        ? [record('half.example.com 300 CNAME far.example.net')]
        : [record('far.example.net 300 A 192.0.2.1')];
    return message({ id: 3, flags: 0x81a0, question: [name, type], answers });
  };
  const edns = { dnssecOk: true };
  t.match(await rig.answer({ name: 'half.example.com', edns }), { ad: true, answers: { length: 2 } });
  t.match(await rig.answer({ name: 'half.example.com', ad: true }), { ad: true });
  t.match(await rig.answer({ name: 'half.example.com' }), { ad: false });
  t.match(await rig.answer({ name: 'web.site.example', edns }), { ad: false });
});

t.test('a chain is counted once, where its end came from', async (t) => {
  const rig = rigWith();
  answersFrom(rig, { 'www.example.com A': 'www.example.com 300 A 192.0.2.1' });
  await rig.answer({ name: 'api.site.example' });
  await rig.answer({ name: 'web.site.example' });
  await rig.answer({ name: 'web.site.example' });
  const { origins, rcodes } = rig.resolver.counters.read();
  t.match(origins, { endpoint: 1, forwarded: 1, cache_fresh: 1, local_zone: 0 });
  t.same(rcodes, { NOERROR: 3 });
});

t.test(
  'a defect while the target is answered fails at once, and costs no other query anything',
  async (t) => {
    const rig = new Rig();
    answersFrom(rig, { 'www.example.com A': 'www.example.com 300 CNAME target.example.net' });
    rig.hurt.push = () => {
      throw new Error('a defect of the test');
    };
    let failure: unknown;
    rig.ask({ name: 'www.example.com' }).catch((error: unknown) => {
      failure = error;
    });
    await rig.time.advance(100);
    t.match(failure, { message: 'a defect of the test' });
  },
);
