import t from 'tap';
import { allPages, type Page, present } from '../../src/far-side/poll.ts';
import { FROM_AWS, FROM_SOMEBODY } from './polling.ts';

type Pages = Readonly<Record<string, Page<number, string>>>;

function reading(pages: Pages): Promise<number[]> {
  return allPages<number, string>(async (token = 'start') => {
    const page = pages[token];
    if (page === undefined) throw new Error(`no page "${token}"`);
    return page;
  });
}

t.test('a listing is read to its end, through empty pages', async (t) => {
  const pages = { start: { items: [], next: 'b' }, b: { items: [1, 2], next: 'c' }, c: { items: [3] } };
  t.same(await reading(pages), [1, 2, 3]);
});

t.test('a page that fails fails the listing', async (t) => {
  await t.rejects(reading({ start: { items: [1], next: 'lost' } }), { message: 'no page "lost"' });
});

t.test('a token that comes twice ends the listing as malformed', async (t) => {
  const pages = {
    start: { items: [1], next: 'b' },
    b: { items: [2], next: 'c' },
    c: { items: [3], next: 'b' },
  };
  await t.rejects(reading(pages), { code: 'malformed', reachedFarSide: true });
});

t.test('a listing without end is given up', async (t) => {
  let calls = 0;
  const endless = allPages<number, number>(async (token = 0) => {
    calls++;
    return { items: [token], next: token + 1 };
  });
  await t.rejects(endless, { code: 'malformed' });
  t.equal(calls, 50);
});

t.test(
  'an answer without the list is malformed with a mark of AWS, and from something in between without',
  async (t) => {
    t.same(present([], FROM_SOMEBODY, 'things'), []);
    t.throws(() => present(undefined, FROM_AWS, 'things'), { code: 'malformed', reachedFarSide: true });
    t.throws(() => present(undefined, FROM_SOMEBODY, 'things'), { code: 'proxy', reachedFarSide: false });
  },
);
