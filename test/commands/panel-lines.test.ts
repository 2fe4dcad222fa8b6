import t from 'tap';
import { panelLines } from '../../src/commands/status.ts';
import { paintNothing } from '../../src/commands/subcommand.ts';
import { endpoint, panelsOf, report, serverReport } from '../admin/report-fixture.ts';

const lines = (of = report()) => panelLines(panelsOf(of), paintNothing);
const text = (of = report()) => lines(of).join('\n');

t.test('the whole table of a ready server', async (t) => {
  t.strictSame(lines(), [
    'ready: every endpoint can be answered',
    'Link: connected (for 5 min: answer)',
    '  path                  condition  for    because',
    '  aws us-west-2         connected  5 min  answer',
    '  upstream 10.0.0.2:53  unknown    2 h    nothing yet',
    '',
    'abc.gr7.us-west-2.eks.amazonaws.com (my-cluster, us-west-2)',
    '  addresses  10.0.1.10, 10.0.1.11 (does not answer, given last)',
    '  from       what the name resolves to',
    '  confirmed  30 s ago, changed 5 d ago, TTL 60 s',
    '  source      confirmed  next     sees                  latest',
    '  dns         30 s ago   in 15 s  10.0.1.10, 10.0.1.11  succeeded',
    '  interfaces  never      -        -                     failed 4 min ago: denied: list interfaces: "AccessDenied"',
    '',
    'Upstreams',
    '  upstream                         state                      round trip  in flight',
    '  10.0.0.2:53                      up                         12 ms       2',
    '  tls://9.9.9.9:853#dns.quad9.net  loops back to this server  -           0',
    '',
    'Retained names',
    '  name              type  state  confirmed  next',
    '  registry.example  A     fresh  30 s ago   in 3 min',
    '',
    'Server',
    '  version        0.2.0 on node 26.10.0, up for 2 h',
    '  listens on     127.0.0.1:5300',
    '  configuration  2 h old',
    '  waiting        3 queries for an upstream',
    '  cache          12 answers, 3.0 of 64.0 MiB',
    '  state          /var/lib/outpost-dns, generation 42, saved 3 s ago',
  ]);
});

t.test('not ready: said first, with every reason', async (t) => {
  const notReady = ['endpoint "a": no address is known yet', 'endpoint "b": the same'];
  t.strictSame(lines(serverReport({ ready: false, notReady })).slice(0, 3), [
    'not ready',
    '  endpoint "a": no address is known yet',
    '  endpoint "b": the same',
  ]);
});

t.test('the rows of an endpoint', async (t) => {
  const held = { addresses: ['10.0.1.99'], reason: 'loses more than half', ageSeconds: 7200 };
  const of = (parts: Parameters<typeof endpoint>[0]) => text(report({ endpoints: [endpoint(parts)] }));
  t.match(of({ basis: 'kept' }), 'from       kept from before: no source is usable now');
  t.match(of({ basis: 'kept', held }), 'from       kept from before: a change is held back');
  t.match(of({ basis: 'pin' }), "from       the operator's pin");
  t.match(of({ basis: 'a later word' }), 'from       a later word');
  t.match(of({ held }), 'held back  10.0.1.99 for 2 h: loses more than half');
  t.match(of({ warnings: ['first', 'second'] }), /warning {4}first\n {2}warning {4}second/);
  t.match(
    of({ addresses: [], basis: 'none' }),
    /addresses {2}no address\n {2}from {7}nothing: no address was ever known/,
  );
  t.match(of({ endpoint: undefined, region: undefined }), 'endpoint name not known (my-cluster)');
  t.match(of({ confirmedAgeSeconds: undefined, changedAgeSeconds: undefined }), 'confirmed  never, TTL 60 s');
  t.match(of({ confirmedAgeSeconds: 86_400 * 31 }), 'confirmed  31 d ago');
});

t.test('the other rows', async (t) => {
  const { state } = report();
  t.match(text(report({ state: { ...state, isPending: true } })), 'not everything is on disk yet');
  t.match(
    text(report({ state: { ...state, failure: 'write "/s": ENOSPC' } })),
    'saving fails: write "/s": ENOSPC',
  );
  t.match(text(report({ state: { ...state, faults: ['x: corrupt'] } })), 'x: corrupt');
  t.match(
    text(serverReport({ configuration: { ageSeconds: 7200, lastReloadFailed: true } })),
    'the file was refused: what was loaded 2 h ago runs on',
  );
  const [up] = report().upstreams;
  t.match(text(report({ upstreams: [{ ...up!, isHealthy: false }] })), /10\.0\.0\.2:53 {2}down/);
  const expired = { ...up!, isHealthy: false, downBecause: 'certificate has expired' };
  t.match(text(report({ upstreams: [expired] })), /10\.0\.0\.2:53 {2}down: certificate has expired/);
  t.match(
    text(report({ upstreams: [{ ...up!, isLate: true }] })),
    /up, but its answers come late: any other is asked first/,
  );
  const cutFailures = [
    { name: 'a.example', failure: 'REFUSED' },
    { name: 'b.example', failure: 'no reply in time' },
  ];
  t.match(
    text(report({ upstreams: [{ ...up!, cutNames: 3, cutFailures }] })),
    'up, but not for a.example (REFUSED), b.example (no reply in time) and 1 more',
  );
  t.match(text(report({ upstreams: [{ ...up!, rttSeconds: 0.0004567 }] })), ' 0.46 ms ');
});

t.test('a drill is shown before the rows that look bad because of it', async (t) => {
  t.match(
    lines(report({ drill: { isRunning: true, endsInSeconds: 1790 } }))[1],
    /^ {2}a drill runs: an outage is rehearsed by this server alone, ends in 30 min, or with "outpost-dns drill stop"$/,
  );
});

t.test('a retained name without an answer shows the reason', async (t) => {
  const retained = [
    {
      name: 'oidc.example',
      type: 'AAAA',
      state: 'unknown' as const,
      lastFailure: { detail: 'SERVFAIL', ageSeconds: 3 },
      asked: 2,
      failed: 2,
      denialsIgnored: 0,
    },
    {
      name: 'registry.example',
      type: 'A',
      state: 'denied' as const,
      confirmedAgeSeconds: 600,
      doubtedAgeSeconds: 180,
      asked: 9,
      failed: 0,
      denialsIgnored: 3,
    },
  ];
  t.match(text(report({ retained })), /oidc\.example +AAAA +unknown +never: SERVFAIL +-/);
  t.match(
    text(report({ retained })),
    /registry\.example +A +denied +10 min ago; denied for 3 min, not believed/,
  );
});

t.test('texts from the network cannot steer the terminal', async (t) => {
  const evil = '\x1b[2J\nready: every endpoint can be answered';
  const all = text(
    report({
      endpoints: [
        endpoint({
          cluster: evil,
          endpoint: evil,
          region: evil,
          basis: evil,
          warnings: [evil],
          addresses: [{ address: evil, isDead: true, seenBy: [] }],
          held: { addresses: [evil], reason: evil, ageSeconds: 1 },
          sources: [
            {
              source: evil,
              latest: 'failed',
              lastFailure: { reason: evil, detail: evil, ageSeconds: 1 },
              refreshes: {},
              lateResults: 0,
              unsettled: 0,
              durationSecondsSum: 0,
            },
          ],
        }),
      ],
      state: { ...report().state, directory: evil, failure: evil, faults: [evil] },
      server: { ...report().server, ready: false, notReady: [evil], version: evil, runtime: evil },
    }),
  );
  t.notMatch(all, '\x1b');
  t.notMatch(all, /^ready/m, 'no line can be forged');
});
