import t from 'tap';
import type { Observation } from '../../src/records/observation.ts';
import {
  type CredentialState,
  initialCredentialState,
  isInTrouble,
  nextCredentialState,
  retainSources,
} from '../../src/refresh/source-poller.ts';
import { describes, fails, sees } from './scripted-source.ts';

const LISTS = sees('interfaces', '10.0.0.1');

function after(...polls: readonly Observation[]): CredentialState {
  return polls.reduce((state, poll, at) => nextCredentialState(state, poll, at + 1), initialCredentialState);
}

t.test('what polls say of the credentials', async (t) => {
  for (const [what, polls, condition, sinceMs] of [
    ['nothing yet', [], 'unknown', 0],
    ['a listing', [LISTS], 'accepted', 1],
    ['no provider has any, or it hangs', [fails('interfaces', 'no-credentials')], 'missing', 1],
    ['a session that has ended', [fails('interfaces', 'expired-credentials', true)], 'expired', 1],
    ['a key that was revoked', [fails('cluster', 'refused-credentials', true)], 'refused', 1],
    ['a policy that forbids it: the caller is known', [fails('cluster', 'denied', true)], 'accepted', 1],
    ['an empty listing', [fails('interfaces', 'empty', true)], 'accepted', 1],
    ['throttled, perhaps before AWS checked them', [fails('interfaces', 'throttled', true)], 'unknown', 0],
    ['a cut', [LISTS, fails('interfaces', 'timeout'), fails('interfaces', 'network')], 'accepted', 1],
    ['a cut, in trouble', [fails('cluster', 'no-credentials'), fails('cluster', 'timeout')], 'missing', 1],
    [
      'trouble that is repeated',
      [fails('interfaces', 'no-credentials'), fails('interfaces', 'no-credentials')],
      'missing',
      1,
    ],
    [
      'trouble of another kind',
      [fails('interfaces', 'no-credentials'), fails('interfaces', 'expired-credentials')],
      'expired',
      2,
    ],
    [
      'over for one source, not for the other',
      [fails('cluster', 'expired-credentials'), LISTS],
      'expired',
      1,
    ],
    ['over for both', [fails('cluster', 'expired-credentials'), LISTS, describes({})], 'accepted', 3],
    ['DNS needs none', [sees('dns', '10.0.0.1'), fails('dns', 'denied', true)], 'unknown', 0],
    ['the API server on the site has its own', [fails('kubernetes', 'expired-credentials')], 'unknown', 0],
    ['a captive portal', [fails('interfaces', 'malformed')], 'unknown', 0],
  ] as const) {
    const state = after(...polls);
    t.match(state, { condition, sinceMs }, what);
    t.equal(isInTrouble(state), !['unknown', 'accepted'].includes(condition), what);
    t.equal(state.detail !== '', isInTrouble(state), `${what}: trouble has a detail, and only trouble`);
  }
});

t.test('trouble of a source that is no longer asked is forgotten', async (t) => {
  const both = after(fails('cluster', 'no-credentials'), fails('interfaces', 'expired-credentials'));
  t.equal(retainSources(both, new Set(['cluster', 'interfaces']), 9), both);
  t.match(retainSources(both, new Set(['cluster']), 9), { condition: 'missing', sinceMs: 9 });
  t.match(retainSources(both, new Set(['dns']), 9), { condition: 'unknown', sinceMs: 9, detail: '' });
});
