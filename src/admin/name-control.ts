/**
 * The commands about a name on the control socket, and their bodies, for server and client: `explain`, which changes nothing, and
 * `flush`, which drops kept answers.
 */

import * as z from 'zod';
import { ControlRefusal, notADomainName } from './control-refusal.ts';
import { type ControlRoute, controlRoute } from './control-route.ts';

export const EXPLAIN_PATH = '/explain';

const explainBody = z.strictObject({
  /** A domain name as text; `.` is the root. */
  name: z.string(),
  /** A mnemonic such as `A`, or `TYPE` and a number. */
  type: z.string(),
});

const age = z.number().optional();

const answerBody = z.object({
  /** The step of the resolver's list that answers. */
  step: z.string(),
  /** Why this step stands in the list. */
  why: z.string(),
  /** The origin, as the metric `outpost_dns_answers_total` counts it. */
  origin: z.string(),
  /** Absent where only upstreams know the answer. */
  rcode: z.string().optional(),
  /** The records of the answer, as lines of text. */
  records: z.array(z.string()).readonly(),
  /** The upstreams that are asked; empty where none is. */
  upstreams: z.array(z.string()).readonly(),
  /** The kept answer from which the step answers. */
  kept: z
    .object({
      ageSeconds: z.number(),
      /** Seconds until it has expired; negative after that. */
      freshForSeconds: z.number(),
      /** Seconds until it is given no more, even in a cut; absent for a retained name, whose answer has no end. */
      givenForSeconds: age,
    })
    .optional(),
});

const addressBody = z.object({
  address: z.string(),
  served: z.enum(['first', 'last', 'no']),
  why: z.array(z.string()).readonly(),
  sources: z
    .array(
      z.object({
        source: z.string(),
        isInLastAnswer: z.boolean().optional(),
        firstSeenAgeSeconds: age,
        lastSeenAgeSeconds: age,
      }),
    )
    .readonly(),
  proof: z
    .object({
      state: z.string(),
      reason: z.string().optional(),
      ageSeconds: z.number(),
      provenAgeSeconds: age,
    })
    .optional(),
  isDead: z.boolean(),
});

export const explainReport = z.object({
  name: z.string(),
  type: z.string(),
  now: answerBody,
  inCut: answerBody,
  /** Present where the name is an endpoint's. */
  endpoint: z
    .object({
      cluster: z.string(),
      region: z.string().optional(),
      basis: z.string(),
      sources: z
        .array(
          z.object({
            source: z.string(),
            latest: z.string(),
            ageSeconds: age,
            addresses: z.array(z.string()).readonly().optional(),
            failure: z.string().optional(),
          }),
        )
        .readonly(),
      /** Whether name and interfaces agree; absent where only one kind of source answers, or none. */
      agreement: z.string(),
      addresses: z.array(addressBody).readonly(),
      warnings: z.array(z.string()).readonly(),
    })
    .optional(),
});
export type ExplainReport = z.output<typeof explainReport>;

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

const flushBody = z.strictObject({
  /** A domain name as text; `.` is the root. */
  name: z.string(),
  /** Every name under it, too. */
  below: z.boolean(),
  /** Drops all answers although no upstream could give others now. */
  evenInCut: z.boolean().optional(),
  /** The user who gives the command. */
  by: z.string().regex(/^[^\p{Cc}]{1,255}$/u, 'not a text of 1 to 255 printable characters'),
});

export const flushReport = z.object({
  name: z.string(),
  below: z.boolean(),
  /** Answers that were dropped from memory, stale answers included. */
  answers: z.number(),
  /** Retained questions about these names: their answers stay until an upstream has given another answer. */
  retained: z.array(z.string()).readonly(),
  /** Endpoints among these names: they are not answered from the cache. */
  endpoints: z.array(z.string()).readonly(),
  /** Whether the snapshot on the disk is without the answers, too: false where a restart would bring them back. */
  isSaved: z.boolean(),
  saveFailure: z.string().optional(),
});
export type FlushReport = z.output<typeof flushReport>;
type FlushCommand = z.output<typeof flushBody>;

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
