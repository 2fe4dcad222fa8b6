import t from 'tap';
import { retainedFindings } from '../../src/commands/retained-findings.ts';
import { retained } from '../store/retained-records.ts';

const retain = (...names: readonly string[]) => names.map((name) => ({ name, qtypes: [1, 28] }));
const reading = (...names: readonly string[]) =>
  ({
    served: { from: 'current', generation: 1, writtenAtMs: 0, content: names.map((name) => retained(name)) },
    faults: [],
  }) as const;

t.test('a retained name without an answer on disk would fail in an outage', async (t) => {
  t.strictSame(retainedFindings(retain('a.example'), reading('a.example', 'b.example')), []);
  t.match(retainedFindings(retain('a.example', 'c.example'), reading('a.example')), [
    { severity: 'problem', what: 'retained name "c.example": no answer to it was ever kept' },
  ]);
  t.match(retainedFindings(retain('a.example'), { faults: [] }), [{ severity: 'problem' }], 'no file yet');
});

t.test('each name once, and no more than a few of many', async (t) => {
  const twice = [...retain('a.example'), { name: 'a.example', qtypes: [33] }];
  t.equal(retainedFindings(twice, reading()).length, 1);
  const many = retain(...Array.from({ length: 12 }, (_, at) => `n${at}.example`));
  const found = retainedFindings(many, reading());
  t.equal(found.length, 6);
  t.match(found.at(-1), { severity: 'problem', what: 'and 7 more retained names' });
});

t.test('a file that cannot be read is told of, where anything is retained', async (t) => {
  const faults = [
    { path: '/s/retained.json', kind: 'unreadable', reason: 'eacces', detail: 'EACCES' },
  ] as const;
  t.match(retainedFindings(retain('a.example'), { faults }), [
    { severity: 'warning', what: '"/s/retained.json": EACCES' },
    { severity: 'problem' },
  ]);
  t.strictSame(retainedFindings([], { faults }), []);
});
