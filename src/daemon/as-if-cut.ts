/**
 * Rehearses, for `check --as-if-cut`, every question that matters in an outage: endpoints, retained names, and names that clients
 * asked for in the last day. Clients notice nothing: see rehearsal.ts.
 */

import type { AsIfCutReport } from '../admin/drill-control.ts';
import { HEADER_OCTETS, rcodeAt, skipName, uint16At } from '../protocol/wire/message.ts';
import { RCODE, TYPE, typeName } from '../protocol/words/codes.ts';
import { nameFromWire } from '../protocol/words/name.ts';
import type { Clock } from '../runtime/clock.ts';
import { inSlices, type Steps } from '../runtime/slices.ts';
import { failsWhileDisconnected } from '../serving/local-zones/disconnected-rules.ts';
import type { Rehearsal } from '../serving/resolver/rehearsal.ts';
import type { DaemonParts } from './parts.ts';
import type { Rooms } from './rooms.ts';
import { disconnectedRules } from './routes.ts';

const DAY_MS = 86_400_000;
/** The whole answer comes within 5 s: the rest of that is for the way. */
const BUDGET_MS = 4_000;
const MOST_LISTED = 200;

/** A rehearsal takes some tens of microseconds. */
const REHEARSALS_PER_TURN = 10;

/** For `check --as-if-cut`, and for the page. */
export function rehearseCut({ pause, clock }: Pick<DaemonParts, 'pause' | 'clock'>, rooms: Rooms) {
  return inSlices(asIfCut(rooms, clock), pause, REHEARSALS_PER_TURN);
}

function* asIfCut(
  { serving, rehearsal, cache, failedNames, inForce }: Rooms,
  clock: Pick<Clock, 'monotonicMs'>,
): Steps<AsIfCutReport> {
  const startedMs = clock.monotonicMs();
  const [endpoints, retained, asked] = [new Group(rehearsal), new Group(rehearsal), new Group(rehearsal)];
  const done = new Set<string>();
  for (const { endpoint } of serving.current.records) {
    if (endpoint !== undefined) endpoints.tryOne(endpoint, TYPE.A, done);
    yield;
  }
  // an endpoint without a record is not answered either
  for (const { endpoint } of inForce.config.clusters) {
    if (endpoint !== undefined) endpoints.tryOne(endpoint, TYPE.A, done);
    yield;
  }
  for (const { name, qtype } of inForce.config.retain) {
    retained.tryOne(name, qtype, done);
    yield;
  }
  const isByRule = yield* failsWhileDisconnected(disconnectedRules(inForce.config, inForce.routes));
  let [failByRule, untried] = [0, 0];
  for (const { name, qtype } of failedNames.since(startedMs - DAY_MS)) {
    if (isByRule(name)) failByRule++;
    else asked.tryOne(name, qtype, done);
    yield;
  }
  for (const entry of cache.entries(startedMs)) {
    // all use of the entry stands before the pause: a query during the pause reads another answer into the same octets
    if (entry !== undefined && entry.idleMs <= DAY_MS && entry.hits > 0) {
      if (clock.monotonicMs() - startedMs > BUDGET_MS) untried++;
      else {
        const name = nameFromWire(entry.octets, HEADER_OCTETS);
        const qtype = uint16At(entry.octets, skipName(entry.octets, HEADER_OCTETS, entry.octets.length));
        if (isByRule(name)) failByRule++;
        else asked.tryOne(name, qtype, done);
      }
    }
    yield;
  }
  return {
    endpoints: endpoints.report(),
    retained: retained.report(),
    asked: asked.report(),
    failByRule,
    untried,
    tookMs: Math.round(clock.monotonicMs() - startedMs),
  };
}

/** Answers that help a client. */
const HELPFUL: ReadonlySet<number> = new Set([RCODE.NOERROR, RCODE.NXDOMAIN]);

class Group {
  readonly #rehearsal: Rehearsal;
  readonly #failing: { readonly name: string; readonly type: string; readonly step: string }[] = [];
  #tried = 0;
  #more = 0;

  constructor(rehearsal: Rehearsal) {
    this.#rehearsal = rehearsal;
  }

  tryOne(name: string, qtype: number, done: Set<string>): void {
    const key = `${name} ${qtype}`;
    if (done.has(key)) return;
    done.add(key);
    this.#tried++;
    const { message, step, origin } = this.#rehearsal.answer(name, qtype, 'cut');
    // without a message the question goes to an upstream on the site, which a cut does not take away
    if (message === undefined ? origin !== 'failed' : HELPFUL.has(rcodeAt(message, 0))) return;
    if (this.#failing.length < MOST_LISTED) this.#failing.push({ name, type: typeName(qtype), step });
    else this.#more++;
  }

  report(): AsIfCutReport['asked'] {
    return { tried: this.#tried, failing: this.#failing, more: this.#more };
  }
}
