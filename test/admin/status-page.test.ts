import { createHash } from 'node:crypto';
import t from 'tap';
import { STATUS_PAGE_POLICY, statusPageTexts } from '../../src/admin/status-page.ts';
import { endpoint, panelsOf, report, serverReport } from './report-fixture.ts';

const statusPage = (panels: Parameters<typeof statusPageTexts>[0]) => [...statusPageTexts(panels)].join('');

const text = (of = report()) =>
  statusPage(panelsOf(of)).replace(/<(?:style|script)>[\s\S]*?<\/(?:style|script)>/g, '');
/** What is read, without markup. */
const words = (of = report()) =>
  text(of)
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');

t.test('a person reads first: ready, the link, the addresses served, their sources, their age', async (t) => {
  const seen = words();
  let at = -1;
  for (const part of [
    'outpost-dns ready',
    'Link connected',
    'aws us-west-2 connected 5 min',
    'abc.gr7.us-west-2.eks.amazonaws.com my-cluster, us-west-2',
    '10.0.1.10',
    'from what the name resolves to confirmed 30 s ago',
    'dns 30 s ago',
    'Upstreams',
    '10.0.0.2:53 up 12 ms 2',
    'Retained names',
    'registry.example A fresh 30 s ago',
    'Server',
  ]) {
    const next = seen.indexOf(part, at + 1);
    t.ok(next > at, `"${part}" in its place`);
    at = Math.max(at, next);
  }
});

t.test('troubles are said in words, before everything else', async (t) => {
  const notReady = ['endpoint "a": no address is known yet'];
  t.match(words(serverReport({ ready: false, notReady })), /^.*not ready endpoint &quot;a&quot;: no address/);
  t.match(
    words(report({ drill: { isRunning: true, endsInSeconds: 600 } })),
    /a drill runs: .*ends in 10 min/,
  );
  const held = { addresses: ['10.0.1.99'], reason: 'loses more than half', ageSeconds: 7200 };
  t.match(
    words(report({ endpoints: [endpoint({ held })] })),
    'held back 10.0.1.99 for 2 h: loses more than half',
  );
  t.match(
    words(report({ endpoints: [endpoint({ addresses: [], basis: 'none' })] })),
    /no address .*was ever known/,
  );
  const { state } = report();
  t.match(words(report({ state: { ...state, faults: ['x: corrupt'] } })), 'x: corrupt');
  t.match(
    words(report({ state: { ...state, failure: 'ENOSPC' } })),
    /^.*the endpoints cannot be saved, and a restart would serve older addresses: ENOSPC/,
  );
  const configuration = { ageSeconds: 60, lastReloadFailed: true };
  t.match(
    words(serverReport({ configuration })),
    'the configuration file was refused: the server runs, and starts again, with what it took last',
  );
  const nameless = {
    name: 'gone.example',
    type: 'A',
    state: 'unknown',
    asked: 3,
    failed: 3,
    denialsIgnored: 0,
  } as const;
  t.match(
    words(report({ retained: [nameless] })),
    'without an answer would fail in an outage: gone.example A',
  );
});

t.test('texts from the network stay text', async (t) => {
  const evil = `</code><script>alert(1)</script><img src=x onerror="alert(1)">&amp;'\u202e`;
  const page = statusPage(
    panelsOf(
      report({
        endpoints: [endpoint({ endpoint: evil, warnings: [evil] })],
        retained: [
          {
            name: evil,
            type: evil,
            state: 'unknown',
            lastFailure: { detail: evil, ageSeconds: 1 },
            asked: 1,
            failed: 1,
            denialsIgnored: 0,
          },
        ],
        upstreams: report().upstreams.map((upstream) => ({ ...upstream, upstream: evil })),
      }),
    ),
  );
  t.equal(page.match(/<script>/g)?.length, 1, 'our own');
  t.notMatch(page, '<img');
  t.notMatch(page, '\u202e');
  t.match(page, '&lt;/code&gt;&lt;script&gt;');
});

t.test(
  'the policy allows just the style and the script that are in it, and nothing from anywhere else',
  async (t) => {
    const page = statusPage(panelsOf(report()));
    for (const [tag, directive] of [
      ['style', 'style-src'],
      ['script', 'script-src'],
    ]) {
      const [, content = ''] = new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(page) ?? [];
      const hash = createHash('sha256').update(content).digest('base64');
      t.match(STATUS_PAGE_POLICY, `${directive} 'sha256-${hash}';`);
    }
    t.notMatch(page, / style=| on[a-z]+=|https?:\/\//, 'nothing that the policy would stop');
  },
);
