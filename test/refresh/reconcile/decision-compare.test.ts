import t from 'tap';
import type { FailureReason } from '../../../src/records/observation.ts';
import {
  CAUSE_TEXT,
  type Comparison,
  compare,
  type SourceView,
} from '../../../src/refresh/reconcile/decision.ts';

const [A, B, C, D] = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
const PUBLIC = '52.94.1.1';

function sees(...addresses: readonly string[]): SourceView {
  return { kind: 'addresses', addresses };
}

function failed(reason: FailureReason): SourceView {
  return { kind: 'unavailable', reason };
}

const untried: SourceView = { kind: 'unavailable' };

interface Row {
  readonly row: string;
  readonly names: readonly SourceView[];
  readonly interfaces: readonly SourceView[];
  readonly expected: Omit<Comparison, 'isTwoSided'>;
  readonly isTwoSided?: boolean;
}

const rows: readonly Row[] = [
  {
    row: 'row 1: names agree with the interfaces',
    names: [sees(A, B)],
    interfaces: [sees(B, A)],
    expected: { candidate: [A, B], basis: 'name' },
    isTwoSided: true,
  },
  {
    row: 'row 1: names are a subset of the interfaces',
    names: [sees(B)],
    interfaces: [sees(A, B, C)],
    expected: { candidate: [B], basis: 'name' },
    isTwoSided: true,
  },
  {
    row: 'row 2: names and interfaces overlap in part',
    names: [sees(A, B, C)],
    interfaces: [sees(B, C, D)],
    expected: {
      candidate: [B, C],
      basis: 'overlap',
      disagreement: { onlyByName: [A], onlyByInterfaces: [D] },
    },
    isTwoSided: true,
  },
  {
    row: 'row 2: names are a superset of the interfaces',
    names: [sees(A, B, C)],
    interfaces: [sees(A, B)],
    expected: {
      candidate: [A, B],
      basis: 'overlap',
      disagreement: { onlyByName: [C], onlyByInterfaces: [] },
    },
    isTwoSided: true,
  },
  {
    row: 'row 2: a public address beside private ones',
    names: [sees(A, PUBLIC)],
    interfaces: [sees(A, B)],
    expected: {
      candidate: [A],
      basis: 'overlap',
      disagreement: { onlyByName: [PUBLIC], onlyByInterfaces: [B] },
      likelyCause: 'public-access',
    },
    isTwoSided: true,
  },
  {
    row: 'row 3: names and interfaces are disjoint',
    names: [sees(A, B)],
    interfaces: [sees(C, D)],
    expected: {
      candidate: [C, D],
      basis: 'interfaces',
      disagreement: { onlyByName: [A, B], onlyByInterfaces: [C, D] },
    },
    isTwoSided: true,
  },
  {
    row: 'row 3: names are public',
    names: [sees(PUBLIC)],
    interfaces: [sees(A, B)],
    expected: {
      candidate: [A, B],
      basis: 'interfaces',
      disagreement: { onlyByName: [PUBLIC], onlyByInterfaces: [A, B] },
      likelyCause: 'public-access',
    },
    isTwoSided: true,
  },
  ...(['empty', 'filtered'] as const).map((reason) => ({
    row: `row 4: names are ${reason}`,
    names: [failed(reason)],
    interfaces: [sees(A, B)],
    expected: {
      candidate: [A, B],
      basis: 'interfaces' as const,
      disagreement: { onlyByName: [], onlyByInterfaces: [A, B] },
      likelyCause: 'dns-rebinding-filter' as const,
    },
  })),
  {
    row: 'row 4: a name source that reports an empty set is empty',
    names: [sees()],
    interfaces: [sees(A)],
    expected: { candidate: [A], basis: 'interfaces' },
  },
  {
    row: 'row 4: the name does not exist',
    names: [failed('not-found')],
    interfaces: [sees(A)],
    expected: {
      candidate: [A],
      basis: 'interfaces',
      disagreement: { onlyByName: [], onlyByInterfaces: [A] },
      likelyCause: 'name-not-found',
    },
  },
  {
    row: 'row 4: no reply about the name is a suspicion, but no disagreement',
    names: [failed('timeout')],
    interfaces: [sees(A)],
    expected: { candidate: [A], basis: 'interfaces', likelyCause: 'name-reply-dropped' },
  },
  ...(['network', 'denied', 'internal'] as const).map((reason) => ({
    row: `row 4: names fail with ${reason}`,
    names: [failed(reason)],
    interfaces: [sees(A)],
    expected: { candidate: [A], basis: 'interfaces' as const },
  })),
  {
    row: 'row 4: there is no name source',
    names: [],
    interfaces: [sees(A)],
    expected: { candidate: [A], basis: 'interfaces' },
  },
  ...(['denied', 'timeout', 'throttled', 'malformed'] as const).map((reason) => ({
    row: `row 5: interfaces fail with ${reason}`,
    names: [sees(A, B)],
    interfaces: [failed(reason)],
    expected: { candidate: [A, B], basis: 'name' as const },
  })),
  {
    row: 'row 5: the listing of interfaces is empty, which is doubted',
    names: [sees(A, B)],
    interfaces: [failed('empty')],
    expected: {
      candidate: [A, B],
      basis: 'name',
      disagreement: { onlyByName: [A, B], onlyByInterfaces: [] },
      likelyCause: 'interface-listing-empty',
    },
  },
  {
    row: 'row 6: everything fails',
    names: [failed('timeout'), failed('empty')],
    interfaces: [failed('expired-credentials')],
    expected: { candidate: [], basis: 'none' },
  },
  {
    row: 'row 6: nothing tried yet',
    names: [untried],
    interfaces: [untried],
    expected: { candidate: [], basis: 'none' },
  },
  { row: 'row 6: no source at all', names: [], interfaces: [], expected: { candidate: [], basis: 'none' } },
  {
    row: 'two name sources count as one that saw what either saw',
    names: [sees(A), sees(B)],
    interfaces: [sees(A, B, C)],
    expected: { candidate: [A, B], basis: 'name' },
    isTwoSided: true,
  },
  {
    row: "two interface sources that differ: what either lists exists, and the name's addresses are among it",
    names: [sees(A, B, C)],
    interfaces: [sees(A, B), sees(B, C, D)],
    expected: { candidate: [A, B, C], basis: 'name' },
    isTwoSided: true,
  },
  {
    row: 'two interface sources that differ, and a name that neither vouches for whole',
    names: [sees(A, B)],
    interfaces: [sees(B), sees(C)],
    expected: {
      candidate: [B],
      basis: 'overlap',
      disagreement: { onlyByName: [A], onlyByInterfaces: [C] },
    },
    isTwoSided: true,
  },
  {
    row: 'two interface sources that differ, without a name',
    names: [failed('network')],
    interfaces: [sees(A, B), sees(B, C)],
    expected: { candidate: [A, B, C], basis: 'interfaces' },
  },
  {
    row: 'a cut: one interface source is left, and nothing else',
    names: [failed('network')],
    interfaces: [failed('timeout'), sees(A, B, D)],
    expected: { candidate: [A, B, D], basis: 'interfaces' },
  },
  {
    row: 'an empty listing beside another that has addresses is no reason to doubt these',
    names: [sees(A)],
    interfaces: [failed('empty'), sees(A, B)],
    expected: { candidate: [A], basis: 'name' },
    isTwoSided: true,
  },
  {
    row: 'one interface source that is down leaves the other to speak',
    names: [sees(A)],
    interfaces: [sees(A), failed('denied')],
    expected: { candidate: [A], basis: 'name' },
    isTwoSided: true,
  },
  {
    row: 'one name source that fails leaves the other to speak',
    names: [failed('empty'), sees(A)],
    interfaces: [sees(A)],
    expected: { candidate: [A], basis: 'name' },
    isTwoSided: true,
  },
];

t.test('what is served follows the table of the design', (t) => {
  for (const { row, names, interfaces, expected, isTwoSided = false } of rows) {
    t.strictSame(
      compare(names, interfaces, (address) => address === PUBLIC),
      { ...expected, isTwoSided },
      row,
    );
  }
  t.end();
});

t.test('every likely cause has a sentence for a person', (t) => {
  for (const [cause, text] of Object.entries(CAUSE_TEXT)) t.match(text, /^[a-z].*[^.]$/, cause);
  t.end();
});
