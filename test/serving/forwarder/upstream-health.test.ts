import t from 'tap';
import { UpstreamHealth } from '../../../src/serving/forwarder/upstream-client.ts';

const limits = { attemptMinMs: 200, attemptMaxMs: 2_000 };

/** `f<t>`: traffic fails that was sent at t and noted at t+1; `p`: a probe fails; `r`: a reply. */
function after(steps: string): UpstreamHealth {
  const health = new UpstreamHealth();
  let nowMs = 0;
  for (const step of steps.split(' ').filter(Boolean)) {
    nowMs += 1000;
    if (step === 'r') health.noteReply(10, limits);
    else health.noteFailure(nowMs, nowMs - 10, step === 'p');
  }
  return health;
}

t.test('an upstream goes down after 3 failures in a row and comes up after 2 replies in a row', async (t) => {
  for (const [steps, isUp] of [
    ['', true],
    ['f f', true],
    ['f f f', false],
    ['f f r f f', true],
    ['f f p p p', true],
    ['f f f r', false],
    ['f f f r p r', false],
    ['f f f r r', true],
    ['f f f r r f f', true],
    ['f f f r r f f f', false],
  ] as const)
    t.equal(after(steps).isUp, isUp, steps || 'never heard');
});

t.test('an exchange that was under way when a failure was counted is no further failure', async (t) => {
  const health = new UpstreamHealth();
  for (let lost = 0; lost < 100; lost++) health.noteFailure(500 + lost / 10, lost / 10, false);
  t.equal(health.strikes, 1, 'a hundred queries lost in one break are one strike');
  t.equal(health.noteFailure(1000, 600, false), undefined);
  t.equal(health.noteFailure(1500, 1000, false), 'went-down');
});

t.test('changes are reported once', async (t) => {
  const health = new UpstreamHealth();
  t.strictSame(
    [1, 2, 3, 4].map((second) => health.noteFailure(second * 1000, second * 1000, false)),
    [undefined, undefined, 'went-down', undefined],
  );
  t.strictSame(
    [1, 2, 3].map(() => health.noteReply(10, limits)),
    [undefined, 'came-up', undefined],
  );
});

t.test(
  'probes come after 0.5 s, then twice as late each time up to 2 s, and at once when it was heard',
  async (t) => {
    const health = after('f f f');
    t.strictSame(
      [1, 2, 3, 4, 5, 6].map(() => health.nextProbeDelayMs()),
      [500, 1000, 2000, 2000, 2000, 2000],
    );
    health.noteReply(10, limits);
    t.equal(health.nextProbeDelayMs(), 100);
  },
);

t.test('attempt timeouts follow the measured round trip between 200 ms and 2 s', async (t) => {
  for (const [samples, expected] of [
    [[], 500],
    [[1], 200],
    [[100], 300], // RFC 6298 section 2.2: R + 4 * R/2
    [[100, 100], 250], // section 2.3: 100 + 4 * 37.5
    [[600], 1800],
    [[600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600], 600 + 4 * 300 * 0.75 ** 11],
    [[30_000], 2000],
  ] as const) {
    const health = new UpstreamHealth();
    for (const sample of samples) health.noteReply(sample, limits);
    t.equal(Math.round(health.attemptTimeoutMs(limits)), Math.round(expected), samples.join(' '));
  }
});

t.test('a reply without a round trip proves reach and leaves the timeouts alone', async (t) => {
  const health = new UpstreamHealth();
  health.noteReply(undefined, limits);
  t.equal(health.roundTripMs, undefined);
  t.equal(health.attemptTimeoutMs(limits), 500);
});
