import t from 'tap';
import { statusPageTexts } from '../../src/admin/status-page.ts';
import { panelLines } from '../../src/commands/status.ts';
import { paintNothing } from '../../src/commands/subcommand.ts';
import { panelsOf, type RetainedReport, report } from './report-fixture.ts';

const statusPage = (panels: Parameters<typeof statusPageTexts>[0]) => [...statusPageTexts(panels)].join('');

/** As the server lists them: a hundred at most, those that are not fresh first. */
function retaining(fresh: number, stale: number) {
  const listed = Array.from({ length: Math.min(100, fresh + stale) }, (_, at): RetainedReport => {
    const state = at < stale ? 'stale' : 'fresh';
    return { name: `n${at}.example`, type: 'A', state, asked: 1, failed: 0, denialsIgnored: 0 };
  });
  const whole = report({ retained: listed });
  return { ...whole, retainedInAll: { ...whole.retainedInAll, fresh, stale } };
}

t.test('of many retained names the doubtful ones come first, and the rest is one line', async (t) => {
  for (const [fresh, stale, rows, rest] of [
    [3, 2, 5, undefined],
    [50, 0, 50, undefined],
    [1998, 2, 50, 'and 1950 more, all fresh'],
    [1900, 100, 50, 'and 1950 more, 50 of them not fresh'],
    [0, 2000, 50, 'and 1950 more, 1950 of them not fresh'],
  ] as const) {
    const whole = retaining(fresh, stale);
    const panels = panelsOf(whole);
    const found = panels.find(({ title }) => title === 'Retained names');
    t.equal(found?.rows?.length, rows);
    t.equal(found?.rest, rest);
    for (const text of [statusPage(panels), panelLines(panels, paintNothing).join('\n')]) {
      t.equal(text.match(/n\d+\.example/g)?.length, rows);
      if (rest !== undefined) t.match(text, rest);
    }
  }
});

t.test('failed writes are said in words, on the page and in the terminal', async (t) => {
  const { state } = report();
  t.strictSame(panelsOf(report())[0]?.notes, []);
  const failing = {
    ...state,
    retained: { saveFailures: 2, failure: 'write "/s/retained.json": ENOSPC', leftOut: 7 },
    snapshot: { ...state.snapshot, failure: 'write "/s/answers.snapshot": EROFS' },
    ledger: { ...state.ledger, failure: 'open "/s/ledger.jsonl": EACCES' },
  };
  const processing = {
    log: { dropped: { failed: 3, full: 4 }, failure: 'ENOSPC: no space left on device, write' },
    backgroundFailures: { 'address-checks': 2 },
    threadsNotEnded: 2,
  };
  const whole = report({ state: failing, process: processing });
  const page = statusPage(panelsOf(whole)).replaceAll('&quot;', '"');
  const terminal = panelLines(panelsOf(whole), paintNothing).join('\n');
  for (const words of [
    'retained answers cannot be saved: write "/s/retained.json": ENOSPC',
    '7 retained answers have no room in their file: a restart would lose them',
    'the answer cache cannot be written to disk: write "/s/answers.snapshot": EROFS',
    'the ledger cannot be written: open "/s/ledger.jsonl": EACCES',
    'the log cannot be written: ENOSPC: no space left on device, write: 7 lines were dropped',
    'work in the background failed (address-checks 2): the log says why, please report it',
    '2 threads hang in the operating system: a file that they read does not answer, see the log',
  ]) {
    t.ok(page.includes(words), `page: ${words}`);
    t.ok(terminal.includes(words), `terminal: ${words}`);
  }
});
