/** What becomes of the polls: adopted, held, dropped, or left aside. */
import t from 'tap';
import { A, B, C, D, E, F, pair, serving, setUp } from './refreshing.ts';
import { fails, hangs, hangsUntilAborted, ScriptedSource, sees } from './scripted-source.ts';

t.test('the first poll publishes as soon as one source has answered', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B), hangs);
  const { refresher, time, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(0);
  t.strictSame(served(), [A, B]);
  t.equal(refresher.record.basis, 'name');
  refresher.stop();
});

t.test('a changed name is compared with interfaces that have just been polled', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served, changes } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  changes.length = 0;
  dns.script = sees('dns', A, B, D);
  interfaces.script = sees('interfaces', A, B, D);
  await time.advance(45_000);
  t.equal(interfaces.polls.length, 2, 'the interfaces are not asked by their interval, but at once');
  t.strictSame(served(), [A, B, D]);
  t.match(changes, [{ kind: 'addresses', added: [D], removed: [C], basis: 'name' }]);
  t.equal(changes.length, 1, 'in one step');
  refresher.stop();
});

t.test('nothing is adopted while a source that is asked for its view still polls', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  dns.script = sees('dns', A, B, D);
  interfaces.script = hangs;
  await time.advance(45_000);
  t.strictSame(served(), [A, B, C], 'waiting');
  await time.advance(20_000);
  t.equal(refresher.snapshot().sources[1]?.latest, 'failed', 'the deadline ends the wait');
  t.strictSame(served(), [A, B, C], 'names alone add nothing while the listing is silent');
  t.match(refresher.record.held, { addresses: [A, B, D], reason: `adds ${D}`, awaits: 'interfaces' });
  interfaces.script = sees('interfaces', A, B, D);
  await time.advance(60_000);
  t.strictSame(served().toSorted(), [A, B, D], 'and once it answers the change is taken');
  refresher.stop();
});

t.test('a name that is later than the interfaces does not take an address back', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  interfaces.script = sees('interfaces', A, B, D);
  await time.advance(300_000);
  t.strictSame(served(), [A, B, C], 'what the name still has stays, what it has not is not added');
  t.match(refresher.snapshot().disagreement, { onlyByName: [C], onlyByInterfaces: [D] });
  dns.script = sees('dns', A, B, D);
  await time.advance(60_000);
  t.strictSame(served(), [A, B, C, D], 'the listing has to lack it for an hour');
  await time.advance(3_600_000);
  t.strictSame(served(), [A, B, D]);
  refresher.stop();
});

t.test(
  'an answer of the name that was asked for before the listing does not contradict the listing',
  async (t) => {
    let name = sees('dns', A, B, C);
    const slowly = async () => {
      const asked = name;
      await new Promise<void>((resolve) => time.after(14_000, resolve));
      return asked;
    };
    const [dns, interfaces] = pair(slowly, sees('interfaces', A, B, C));
    const { refresher, time, served } = setUp([dns, interfaces]);
    refresher.start();
    await time.advance(297_000);
    t.equal(dns.running, 1, 'the name is asked from 295 s to 309 s');
    name = sees('dns', A, B);
    interfaces.script = sees('interfaces', A, B);
    await time.advance(14_000);
    t.equal(interfaces.polls.length, 2, 'the listing has answered meanwhile, after 300 s');
    t.strictSame(served(), [A, B, C], 'the name has the address, as far as is known');
    await time.advance(60_000);
    t.strictSame(served(), [A, B], 'the next answer agrees with the listing: there is no hour of grace');
    refresher.stop();
  },
);

t.test('names that stay public cost no listing of interfaces at each poll', async (t) => {
  const [dns, interfaces] = pair(sees('dns', '52.94.1.1'), sees('interfaces', A, B));
  const { refresher, time, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(299_000);
  t.strictSame(served(), [A, B]);
  t.equal(interfaces.polls.length, 1);
  t.match(refresher.snapshot(), {
    basis: 'interfaces',
    likelyCause: 'public-access',
    warnings: [/public access/],
  });
  refresher.stop();
});

t.test(
  'an upstream that filters private addresses is named as the likely cause, in any order of the answers',
  async (t) => {
    for (const delays of [
      { dns: 0, interfaces: 50 },
      { dns: 50, interfaces: 0 },
    ]) {
      const [dns, interfaces] = pair(hangs, hangs);
      const { refresher, time, served, log } = setUp([dns, interfaces]);
      const after = (ms: number, given: ReturnType<typeof sees>) => async () => {
        await new Promise<void>((resolve) => time.after(ms, resolve));
        return given;
      };
      dns.script = after(delays.dns, fails('dns', 'empty'));
      interfaces.script = after(delays.interfaces, sees('interfaces', A));
      refresher.start();
      await time.advance(3_000);
      t.strictSame(served(), [A]);
      t.equal(refresher.snapshot().likelyCause, 'dns-rebinding-filter');
      await time.advance(17_000);
      t.ok(log.lines.some(({ text, level }) => text === 'sources disagree' && level === 'warn'));
      refresher.stop();
    }
  },
);

t.test('losing more than half is held, shown, confirmed by another poll, and adopted', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served, changes } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  dns.script = sees('dns', D, E, F);
  interfaces.script = sees('interfaces', D, E, F);
  await time.advance(45_000);
  t.strictSame(served(), [A, B, C]);
  t.match(refresher.snapshot(), {
    held: { addresses: [D, E, F], reason: 'loses 3 of 3 addresses' },
    warnings: [/held back/],
  });
  t.equal(changes.filter(({ kind }) => kind === 'held').length, 1);
  await time.advance(17_000);
  t.strictSame(served(), [D, E, F]);
  t.notOk(refresher.snapshot().held);
  t.match(changes.at(-1), { kind: 'released', outcome: 'adopted' });
  refresher.stop();
});

t.test('losing more than half is dropped when the next poll does not repeat it', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served, published } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  interfaces.script = sees('interfaces', A); // a listing that is not consistent yet, or only its first page
  await time.advance(300_000);
  interfaces.script = sees('interfaces', A, B, C);
  await time.advance(20_000);
  t.notOk(refresher.snapshot().held);
  t.strictSame(served(), [A, B, C]);
  t.ok(
    published.slice(1).every((addresses) => addresses.length === 3),
    'no client ever got fewer',
  );
  refresher.stop();
});

t.test('a kick just after a suspicious poll is no confirmation', async (t) => {
  const dns = new ScriptedSource('dns', sees('dns', D));
  const { refresher, time, served } = setUp([dns], serving(A, B, C));
  refresher.start();
  await time.advance(100);
  for (let kick = 0; kick < 5; kick++) {
    refresher.kick('again');
    await time.advance(1_000);
  }
  t.ok(dns.polls.length >= 5);
  t.strictSame(served(), [A, B, C]);
  refresher.stop();
});

t.test('a name that flaps between two sets never gets the better of what is served', async (t) => {
  let poll = 0;
  const dns = new ScriptedSource('dns', async () =>
    poll++ % 2 === 0 ? sees('dns', A, B) : sees('dns', C, D),
  );
  const { refresher, time, served } = setUp([dns], serving(A, B));
  refresher.start();
  await time.advance(3_600_000);
  t.ok(poll > 80);
  t.strictSame(served(), [A, B]);
  refresher.stop();
});

t.test('a source that flaps between answers and timeouts changes nothing', async (t) => {
  let poll = 0;
  const [dns, interfaces] = pair(
    async () => (poll++ % 2 === 0 ? sees('dns', A, B) : fails('dns', 'timeout')),
    sees('interfaces', A, B, C),
  );
  const { refresher, time, published } = setUp([dns, interfaces], serving(A, B));
  refresher.start();
  await time.advance(3_600_000);
  t.ok(poll > 80);
  t.ok(published.every((addresses) => addresses.length === 2));
  refresher.stop();
});

t.test('one lost reply about the name does not bring in the interfaces; lasting silence does', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B), sees('interfaces', A, B, C));
  const { refresher, time, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(10_000);
  t.strictSame(served(), [A, B]);
  let poll = 0;
  dns.script = async () => (poll++ === 0 ? fails('dns', 'timeout') : sees('dns', A, B));
  await time.advance(60_000);
  t.ok(poll >= 2);
  t.strictSame(served(), [A, B]);
  dns.script = fails('dns', 'timeout');
  await time.advance(60_000);
  t.strictSame(served(), [A, B, C]);
  t.equal(refresher.record.basis, 'interfaces');
  refresher.stop();
});

t.test('addresses that no source has confirmed for 7 and 30 days cause one warning each', async (t) => {
  const dns = new ScriptedSource('dns', fails('dns'));
  const { refresher, time, log, served } = setUp([dns], serving(A));
  refresher.start();
  await time.advance(8 * 86_400_000);
  const logged = () =>
    log.lines.filter(({ text }) => /confirmed for days/.test(text)).map(({ fields }) => fields['days']);
  t.strictSame(logged(), [7]);
  t.match(refresher.snapshot().warnings, [/for 8 d: scripted/]);
  t.strictSame(served(), [A]);
  refresher.stop();
});

t.test('an empty set is a failure, even if a source calls it a success', async (t) => {
  const [dns, interfaces] = pair(sees('dns'), sees('interfaces'));
  const { refresher, time, served } = setUp([dns, interfaces], serving(A));
  refresher.start();
  await time.advance(600_000);
  t.strictSame(served(), [A]);
  t.equal(refresher.snapshot().sources[0]?.lastFailure?.reason, 'empty');
  refresher.stop();
});

t.test('a change during a cut is seen by the API server, and served once the guard is content', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const kubernetes = new ScriptedSource('kubernetes', sees('kubernetes', A, B, C));
  const { refresher, time, served, evidence, changes } = setUp(
    [dns, interfaces, kubernetes],
    serving(A, B, C),
  );
  refresher.start();
  await time.advance(60_000);
  const connected = evidence.length;
  dns.script = fails('dns');
  interfaces.script = hangsUntilAborted('interfaces');
  await time.advance(120_000);
  t.strictSame(served(), [A, B, C]);
  t.match(
    refresher.record,
    { lastRefreshFailed: false, ttlSeconds: 60 },
    'the cut is not felt: one confirms',
  );
  t.ok(
    (refresher.snapshot().confirmedAgoMs ?? Number.POSITIVE_INFINITY) <= 72_000,
    'and keeps the truth young',
  );
  kubernetes.script = sees('kubernetes', A, B, D);
  await time.advance(60_000 * 1.2 + 20_000);
  t.strictSame(served(), [A, B, D]);
  t.equal(refresher.record.basis, 'interfaces');
  const before = changes.length;
  kubernetes.script = sees('kubernetes', D, E, F);
  await time.advance(60_000 * 1.2 + 60_000);
  t.match(
    changes.slice(before).map(({ kind }) => kind),
    ['basis', 'held', 'addresses', 'released'],
    'a large loss is held until it is repeated',
  );
  t.strictSame(served(), [D, E, F]);
  const { length } = evidence.slice(connected).filter(({ proves }) => proves === 'reachable');
  t.equal(length, 0, 'and none of it was taken for a sign of AWS');
  refresher.stop();
});

t.test('interfaces found only by a loose description are shown as doubtful while that lasts', async (t) => {
  const loose = { kind: 'addresses', source: 'interfaces', addresses: [A], isDoubtful: true } as const;
  const [dns, interfaces] = pair(sees('dns', A), loose);
  const { refresher, time, log, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(700_000);
  t.strictSame(served(), [A]);
  t.match(refresher.snapshot(), { warnings: [/doubtful/], sources: [{}, { isDoubtful: true }] });
  const logged = (text: RegExp) => log.lines.filter((line) => text.test(line.text));
  t.match(logged(/no exact description/), [{ level: 'warn', fields: { addresses: [A] } }]);
  interfaces.script = sees('interfaces', A);
  await time.advance(400_000);
  t.strictSame(refresher.snapshot().warnings, []);
  t.equal(logged(/have the exact description/).length, 1);
  refresher.stop();
});
