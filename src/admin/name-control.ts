/**
 * The commands about a name on the control socket, and their bodies, for server and client: `explain`, which changes nothing, and
 * `flush`, which drops kept answers.
 */

import * as v from 'valibot';
import { flag, list, number, object, strictObject, text, word } from '../runtime/forms.ts';
import { ControlRefusal, notADomainName } from './control-refusal.ts';
import { type ControlRoute, controlRoute, printable } from './control-route.ts';

export const EXPLAIN_PATH = '/explain';

const explainBody = strictObject({
  /** A domain name as text; `.` is the root. */
  name: text,
  /** A mnemonic such as `A`, or `TYPE` and a number. */
  type: text,
});

const age = v.optional(number);

const answerBody = object({
  /** The step of the resolver's list that answers. */
  step: text,
  /** Why this step stands in the list. */
  why: text,
  /** The origin, as the metric `outpost_dns_answers_total` counts it. */
  origin: text,
  /** Absent where only upstreams know the answer. */
  rcode: v.optional(text),
  /** The records of the answer, as lines of text. */
  records: list(text),
  /** The upstreams that are asked; empty where none is. */
  upstreams: list(text),
  /** The kept answer from which the step answers. */
  kept: v.optional(
    object({
      ageSeconds: number,
      /** Seconds until it has expired; negative after that. */
      freshForSeconds: number,
      /** Seconds until it is given no more, even in a cut; absent for a retained name, whose answer has no end. */
      givenForSeconds: age,
    }),
  ),
});

const addressBody = object({
  address: text,
  served: word('first', 'last', 'no'),
  why: list(text),
  sources: list(
    object({
      source: text,
      isInLastAnswer: v.optional(flag),
      firstSeenAgeSeconds: age,
      lastSeenAgeSeconds: age,
    }),
  ),
  proof: v.optional(
    object({
      state: text,
      reason: v.optional(text),
      ageSeconds: number,
      provenAgeSeconds: age,
    }),
  ),
  isDead: flag,
});

export const explainReport = object({
  name: text,
  type: text,
  now: answerBody,
  inCut: answerBody,
  /** Present where the name is an endpoint's. */
  endpoint: v.optional(
    object({
      cluster: text,
      region: v.optional(text),
      basis: text,
      sources: list(
        object({
          source: text,
          latest: text,
          ageSeconds: age,
          addresses: v.optional(list(text)),
          failure: v.optional(text),
        }),
      ),
      /** Whether name and interfaces agree; absent where only one kind of source answers, or none. */
      agreement: text,
      addresses: list(addressBody),
      warnings: list(text),
    }),
  ),
});
export type ExplainReport = v.InferOutput<typeof explainReport>;

/** The part of the server that the command uses. */
export interface ExplainControl {
  /** The name in normal form; `undefined` where the text is no domain name. */
  normalName(text: string): string | undefined;
  /** The number of a record type; `undefined` where the text is none. */
  typeOf(text: string): number | undefined;
  explain(name: string, qtype: number): ExplainReport;
}

export function explainRoutes(control: ExplainControl): readonly ControlRoute[] {
  return [
    controlRoute('GET', EXPLAIN_PATH, explainBody, ({ name: text, type }) => {
      const name = control.normalName(text);
      if (name === undefined) return notADomainName(text);
      const qtype = control.typeOf(type);
      if (qtype === undefined || qtype === 0)
        return new ControlRefusal(
          400,
          `"${type}" is not a record type`,
          'write a mnemonic such as A, AAAA or TXT',
        );
      return control.explain(name, qtype);
    }),
  ];
}

export const FLUSH_PATH = '/flush';

const flushBody = strictObject({
  /** A domain name as text; `.` is the root. */
  name: text,
  /** Every name under it, too. */
  below: flag,
  /** Drops all answers although no upstream could give others now. */
  evenInCut: v.optional(flag),
  /** The user who gives the command. */
  by: printable,
});

export const flushReport = object({
  name: text,
  below: flag,
  /** Answers that were dropped from memory, stale answers included. */
  answers: number,
  /** Retained questions about these names: their answers stay until an upstream has given another answer. */
  retained: list(text),
  /** Endpoints among these names: they are not answered from the cache. */
  endpoints: list(text),
  /** Whether the snapshot on the disk is without the answers, too: false where a restart would bring them back. */
  isSaved: flag,
  saveFailure: v.optional(text),
});
export type FlushReport = v.InferOutput<typeof flushReport>;
type FlushCommand = v.InferOutput<typeof flushBody>;

/** The part of the server that the command uses. */
export interface FlushControl {
  /** The name in normal form; `undefined` where the text is no domain name. */
  normalName(text: string): string | undefined;
  /** Why no upstream could replace a dropped answer now; `undefined` where upstreams can be asked. */
  cutText(): string | undefined;
  flush(command: FlushCommand): Promise<FlushReport>;
}

export function flushRoutes(control: FlushControl): readonly ControlRoute[] {
  return [
    controlRoute('POST', FLUSH_PATH, flushBody, (body) => {
      const name = control.normalName(body.name);
      if (name === undefined) return notADomainName(body.name, ', or . with --below for everything');
      const isGuarded = body.below && name === '.' && body.evenInCut !== true;
      const cut = isGuarded ? control.cutText() : undefined;
      if (cut !== undefined)
        return new ControlRefusal(409, `${cut}: nothing could replace the dropped answers`, WAIT);
      return control.flush({ ...body, name });
    }),
  ];
}

/**
 * A habit of many operators in an outage is to empty caches first. Here the kept answers are all that the site has. A name of its
 * own is different: its answer does harm, or its upstream is on the site.
 */
const WAIT =
  'name the domain whose answers do harm, wait until "outpost-dns status" shows the link connected, or add --even-in-cut';
