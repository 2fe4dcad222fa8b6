import t from 'tap';
import { DrillCounts } from '../../src/drill/drill-counts.ts';
import type { Query } from '../../src/protocol/wire/query.ts';
import { asked } from './asked.ts';

const nothing = { queries: 0, names: [], otherQueries: 0 };

t.test(
  'failed, stale and endpoint answers are counted apart, by name and type, whatever the case',
  async (t) => {
    const report = new DrillCounts();
    report.begin();
    for (const name of ['Registry.Site.Example', 'registry.site.example', 'a.example'])
      report.noteFailed(asked(name));
    report.noteFailed(asked('registry.site.example', 'AAAA'));
    report.noteFailed(asked('x.example', 'TYPE65281'));
    report.noteStale(asked('registry.site.example'));
    report.noteStale(asked('.', 'NS'));
    for (let at = 0; at < 3; at++)
      report.noteEndpoint({ cluster: 'demo', endpoint: 'abc.eks.amazonaws.com' });
    report.noteEndpoint({ cluster: 'nameless' });
    t.strictSame(report.read(), {
      failed: {
        queries: 5,
        names: [
          { name: 'registry.site.example', type: 'A', queries: 2 },
          { name: 'a.example', type: 'A', queries: 1 },
          { name: 'registry.site.example', type: 'AAAA', queries: 1 },
          { name: 'x.example', type: 'TYPE65281', queries: 1 },
        ],
        otherQueries: 0,
      },
      stale: {
        queries: 2,
        names: [
          { name: '.', type: 'NS', queries: 1 },
          { name: 'registry.site.example', type: 'A', queries: 1 },
        ],
        otherQueries: 0,
      },
      endpoints: [
        { endpoint: 'abc.eks.amazonaws.com', answers: 3 },
        { endpoint: 'nameless', answers: 1 },
      ],
    });
  },
);

t.test('while idle a hook returns at once and does not even look at the query', async (t) => {
  const report = new DrillCounts();
  const untouchable = new Proxy(asked('a.example'), {
    get(_target, member): never {
      throw new Error(`looked at ${String(member)}`);
    },
  }) as Query; // a proxy has the type of its target
  for (const when of ['before', 'after']) {
    t.doesNotThrow(() => report.noteFailed(untouchable), when);
    t.doesNotThrow(() => report.noteStale(untouchable), when);
    report.noteEndpoint({ cluster: 'demo' });
    t.strictSame(report.read(), { failed: nothing, stale: nothing, endpoints: [] }, when);
    report.begin();
    t.throws(() => report.noteFailed(untouchable), /looked at/, 'the trap works');
    report.end();
  }
});

t.test('nothing is kept of the query: its buffer is used again', async (t) => {
  const report = new DrillCounts();
  report.begin();
  const query = asked('first.example');
  report.noteFailed(query);
  query.octets.fill(0x61);
  t.match(report.read().failed.names, [{ name: 'first.example' }]);
});

t.test('a report survives the end of its drill, and the next one starts from nothing', async (t) => {
  const report = new DrillCounts();
  report.begin();
  report.noteFailed(asked('a.example'));
  report.end();
  report.noteFailed(asked('b.example'));
  t.match(report.read().failed, { queries: 1, names: [{ name: 'a.example' }] });
  report.begin();
  t.strictSame(report.read(), { failed: nothing, stale: nothing, endpoints: [] });
});

t.test('a thousand names have a count each, the rest one count, and the sum is right', async (t) => {
  const report = new DrillCounts();
  report.begin();
  for (let at = 0; at < 3_000; at++) {
    report.noteFailed(asked(`n${at}.example`));
    if (at % 10 === 0) report.noteFailed(asked('wanted.example'));
  }
  const { queries, names, otherQueries } = report.read().failed;
  t.equal(queries, 3_300);
  t.equal(names.length, 1_000);
  t.match(names[0], { name: 'wanted.example', queries: 300 });
  t.equal(
    names.reduce((sum, name) => sum + name.queries, otherQueries),
    3_300,
  );
});

t.test('a name with spaces, quotes and zeros in it is one name, with its type', async (t) => {
  const report = new DrillCounts();
  report.begin();
  report.noteFailed(asked('a\\032b\\000\\".example', 'TXT'));
  t.strictSame(report.read().failed.names, [{ name: 'a\\032b\\000\\".example', type: 'TXT', queries: 1 }]);
});
