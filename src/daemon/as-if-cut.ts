/**
 * Rehearses, for `check --as-if-cut`, every question that matters in an outage: endpoints, retained names, and names that clients
 * asked for in the last day. Clients notice nothing: see rehearsal.ts. The page shows the result as a panel.
 */
import type { AsIfCutReport } from '../admin/drill-control.ts';
import { HEADER_OCTETS, rcodeAt, uint16At } from '../protocol/wire/header.ts';
import { skipName } from '../protocol/wire/query.ts';
import { RCODE, TYPE, typeName } from '../protocol/words/codes.ts';
import { nameFromWire } from '../protocol/words/name.ts';
import { type Panel, toned } from '../report/report.ts';
import { inBackground } from '../runtime/background.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Steps } from '../runtime/slices.ts';
import { sleep, type Timers } from '../runtime/timers.ts';
import { failsWhileDisconnected } from '../serving/local-zones/disconnected-rules.ts';
import type { Rehearsal } from '../serving/resolver/rehearsal.ts';
import type { Rooms } from './rooms.ts';
import { disconnectedRules } from './routes.ts';

const DAY_MS = 86_400_000;
/** The whole answer comes within 5 s: the rest of that is for the way. */
const BUDGET_MS = 4_000;
const MOST_LISTED = 200;

export function* asIfCut(
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
  const isByRule = failsWhileDisconnected(disconnectedRules(inForce.config));
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

const TITLE = 'If the link were cut now';
/** Failing questions on the page; `outpost-dns check --as-if-cut` lists more. */
const MOST_ROWS = 10;

const GROUPS = [
  ['endpoints', 'endpoints'],
  ['retained', 'retained names'],
  ['asked', 'names asked for in the last day'],
] as const satisfies readonly (readonly [keyof AsIfCutReport, string])[];

export function cutPanel(report: AsIfCutReport): Panel {
  const counts = GROUPS.map(([group, text]) => {
    const { tried, failing, more } = report[group];
    return { text, tried, failing, fails: failing.length + more };
  });
  const fails = counts.reduce((sum, group) => sum + group.fails, 0);
  const rows = counts.flatMap(({ text, failing }) =>
    failing.map(({ name, type, step }) => [name, type, text, step]),
  );
  const isBad = counts.slice(0, 2).some((group) => group.fails > 0);
  return {
    title: TITLE,
    badge:
      fails === 0
        ? toned('good', 'nothing would fail')
        : toned(isBad ? 'bad' : 'doubtful', `${fails} would fail`),
    about: 'what is known here alone; outpost-dns check --as-if-cut says the fixes',
    facts: [
      ...counts.map(
        ({ text, tried, fails }) =>
          [text, tried === 0 ? 'none' : `${tried - fails} of ${tried} answered`] as const,
      ),
      ...(report.failByRule === 0
        ? []
        : [['fail at once by a rule', `${report.failByRule} names, services of AWS most likely`] as const]),
    ],
    ...(rows.length === 0
      ? {}
      : { head: ['name', 'type', 'group', 'fails at'], rows: rows.slice(0, MOST_ROWS) }),
    ...(fails > MOST_ROWS ? { rest: `and ${fails - MOST_ROWS} more` } : {}),
  };
}

/** How old the rehearsal on the page may be: it takes some seconds of small steps where the cache is full. */
const EVERY_MS = 60_000;
/** How long the first page waits for it: a rehearsal of a small cache is part of the first page that a person sees. */
const WAIT_MS = 300;

/** A rehearsal runs only for a page that is open. Where it takes longer than a person waits, the panel says so until it ends. */
export function cutPanelOf(
  rehearse: () => Promise<AsIfCutReport>,
  { clock, timers }: { readonly clock: Pick<Clock, 'monotonicMs'>; readonly timers: Timers },
): () => Promise<readonly Panel[]> {
  let panels: readonly Panel[] | undefined;
  let startedMs = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | undefined;
  return async () => {
    const nowMs = clock.monotonicMs();
    if (nowMs - startedMs >= EVERY_MS) {
      startedMs = nowMs;
      running = inBackground('admin', async () => {
        panels = [cutPanel(await rehearse())];
      });
    }
    if (panels === undefined && running !== undefined) await endOf(running, timers);
    return (
      panels ?? [{ title: TITLE, about: 'the server is finding out: some seconds where its cache is full' }]
    );
  };
}

/** Resolves at the end of `running`, which never rejects, or after `WAIT_MS`. */
async function endOf(running: Promise<void>, timers: Timers): Promise<void> {
  const ended = new AbortController();
  await Promise.race([running, sleep(timers, WAIT_MS, ended.signal)]);
  ended.abort();
}
