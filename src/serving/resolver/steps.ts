/**
 * The order in which a query is answered, as one literal list: each step with the reason why it is there, and with the
 * steps that must stand before it. Steps share nothing but the turn; where no reason joins two steps they may change
 * places, and test/serving/resolver/step-order.test.ts asks every order that the reasons allow.
 */
import { PASS, PENDING, type Reply, type Step, type Turn } from '../turn.ts';
import type { KeptAnswers } from './kept-answers.ts';
import type { OutageAnswers } from './outage-answers.ts';
import type { OwnAnswers } from './own-answers.ts';
import { ORIGIN } from './resolver-counters.ts';

export interface StepParts {
  readonly own: OwnAnswers;
  readonly outage: OutageAnswers;
  readonly kept: KeptAnswers;
  readonly forward: (turn: Turn, reply: Reply) => void;
}

export function resolverSteps({ own, outage, kept, forward }: StepParts): readonly Step[] {
  return [
    {
      name: 'malformed',
      origin: ORIGIN.malformed,
      why: 'a message that cannot be read has no question',
      after: {},
      answer: (turn) => own.malformed(turn),
    },
    {
      name: 'class',
      origin: ORIGIN.class,
      why: 'only class IN has data here; class CH has what the operator chose to say of this server',
      after: { malformed: 'it reads the question' },
      answer: (turn) => own.otherClass(turn),
    },
    {
      name: 'meta-type',
      origin: ORIGIN.metaType,
      why: 'a zone transfer and the like is not about a name: it is refused for every name, and never passed on',
      after: { class: 'a class without data is refused without a reason, whatever the type' },
      answer: (turn) => own.metaType(turn),
    },
    {
      name: 'endpoint',
      origin: ORIGIN.endpoint,
      why: 'this server exists for it: before everything that an operator or an upstream could say of the name',
      after: { 'meta-type': 'the table has an answer for every type' },
      answer: (turn) => own.endpoint(turn),
    },
    {
      name: 'local-zone',
      origin: ORIGIN.localZone,
      why: 'names that must not leave the site, and the rules of the operator, who knows better than an upstream',
      after: { endpoint: 'a rule of the operator must not hide an endpoint' },
      answer: (turn) => own.localZone(turn),
    },
    {
      name: 'retained',
      origin: ORIGIN.retained,
      why: 'names that the operator wants answered at once, whatever happens; a schedule keeps them fresh, not the query',
      after: { 'local-zone': 'the zone has chosen the route, and with it whether upstreams can be asked' },
      answer: (turn) => kept.retained(turn),
    },
    {
      name: 'operator-rule',
      origin: ORIGIN.disconnected,
      why: "the operator's rule for a zone while its upstreams are gone wins over what they said",
      after: { retained: 'a retained name is answered in a cut too' },
      answer: (turn) => outage.byRule('before-cache', turn),
    },
    {
      name: 'fresh',
      origin: ORIGIN.cacheFresh,
      why: 'what an upstream said a moment ago',
      after: { 'operator-rule': 'the rule holds whatever an upstream said before' },
      answer: (turn) => kept.fresh(turn),
    },
    {
      name: 'aws-service',
      origin: ORIGIN.disconnected,
      why: 'services of AWS are gone with the link: a client would wait for an old address in vain',
      after: { fresh: 'an answer that is still fresh is given' },
      answer: (turn) => outage.byRule('before-stale', turn),
    },
    {
      name: 'stale',
      origin: ORIGIN.cacheStale,
      why: 'what an upstream said once, where waiting for a newer answer would help nobody',
      after: {
        fresh: 'the search for a fresh answer leaves the expired one on the turn',
        'aws-service': 'an old address of a service that is gone helps nobody',
      },
      answer: (turn) => kept.stale(turn),
    },
    {
      name: 'computed-name',
      origin: ORIGIN.disconnected,
      why: "EC2's own names can be computed, and the rest of them denied at once, where nothing was kept",
      after: { stale: 'what an upstream said is better than what is computed' },
      answer: (turn) => outage.byRule('behind-stale', turn),
    },
    {
      name: 'not-recursive',
      origin: ORIGIN.notRecursive,
      why: 'without RD the client asks for what is here, and nothing is',
      after: { 'computed-name': 'what is computed is here too' },
      answer: (turn) => own.notRecursive(turn),
    },
    {
      name: 'ds-of-own-zone',
      origin: ORIGIN.localZone,
      why: "DS of a zone of ours belongs to the parent's servers, and they cannot be asked",
      after: { 'not-recursive': 'without RD the client wants nothing that is for the parent to say' },
      answer: (turn) => outage.noDs(turn),
    },
    {
      name: 'search-leak',
      origin: ORIGIN.disconnected,
      why: 'a known name with a suffix after it comes from a search list, which goes on only after a denial',
      after: { 'not-recursive': 'a search list asks with RD' },
      answer: (turn) => outage.searchLeak(turn),
    },
    {
      name: 'forward',
      origin: ORIGIN.forwarded,
      why: 'what nobody here knows is asked of upstreams',
      after: {
        'ds-of-own-zone': 'in a cut every question to an upstream fails',
        'search-leak': 'in a cut every question to an upstream fails',
      },
      answer: () => PENDING,
      later: forward,
    },
  ];
}

/** Runs the list: the first step that has an answer, or leaves the query pending, ends it. */
export function firstAnswer(steps: readonly Step[], turn: Turn): number {
  for (const step of steps) {
    const length = step.answer(turn);
    if (length === PASS) continue;
    turn.step = step;
    turn.origin = step.origin;
    return length;
  }
  throw new Error('the list of steps has no end: its last step must answer every query');
}
