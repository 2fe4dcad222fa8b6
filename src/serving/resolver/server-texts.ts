/** Answers about the server itself: its version and name in class CH, and how fresh an endpoint is, as TXT. */
import { composeLocalAnswer } from '../../protocol/wire/local-answer.ts';
import { NameMap } from '../../protocol/wire/name-map.ts';
import type { Query } from '../../protocol/wire/query.ts';
import type { LocalAnswer } from '../../protocol/wire/reply.ts';
import { CLASS, RCODE, TYPE } from '../../protocol/words/codes.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import type { Clock } from '../../runtime/clock.ts';
import { composeStatusAnswer } from '../endpoints/endpoint-table.ts';

export interface IdentityOptions {
  readonly version?: string | undefined;
  readonly id?: string | undefined;
}

/** Answers in class CH about this server, if the operator wants these answers: `version.bind` and `id.server` (RFC 4892). */
export class Identity {
  readonly #answers = new NameMap<LocalAnswer>();

  constructor({ version, id }: IdentityOptions) {
    if (version !== undefined) this.#answers.set('version.bind', textAnswer('version.bind', version));
    if (id !== undefined) this.#answers.set('id.server', textAnswer('id.server', id));
  }

  /** The answer to a query of class CH, if there is one. */
  find(query: Query): LocalAnswer | undefined {
    return query.qtype === TYPE.TXT || query.qtype === TYPE.ANY ? this.#answers.exact(query) : undefined;
  }
}

function textAnswer(name: string, text: string): LocalAnswer {
  const answer = composeLocalAnswer({
    rcode: RCODE.NOERROR,
    name,
    answers: [{ owner: name, ttlSeconds: 0, type: 'TXT', strings: [text] }],
    authorities: [],
  });
  const octets = new Uint8Array(answer.octets);
  octets[5] = CLASS.CH; // after the owner's pointer and TYPE; the answer was composed in class IN
  return { ...answer, octets };
}

interface StatusDeps {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** The strings at `_status.<endpoint>`. */
  readonly statusText: (record: EndpointRecord) => readonly string[];
}

const STATUS_SHARED_MS = 1_000; // a fifth of the answer's TTL
const MAX_STATUS_ANSWERS = 256; // there are 100 clusters at most; names from before a reload go with the next clearing

/** Composes the TXT answers at `_status.<endpoint>`: each answer at most once a second, for any number of queries. */
export class StatusAnswers {
  readonly #deps: StatusDeps;
  readonly #composed = new Map<string, { readonly atMs: number; readonly answer: LocalAnswer }>();

  constructor(deps: StatusDeps) {
    this.#deps = deps;
  }

  /** The answer for the endpoint name `name`, which has this record. */
  answer(name: string, record: EndpointRecord): LocalAnswer {
    const nowMs = this.#deps.clock.monotonicMs();
    const known = this.#composed.get(name);
    if (known !== undefined && nowMs - known.atMs < STATUS_SHARED_MS) return known.answer;
    const answer = composeStatusAnswer(name, this.#deps.statusText(record));
    if (this.#composed.size >= MAX_STATUS_ANSWERS) this.#composed.clear();
    this.#composed.set(name, { atMs: nowMs, answer });
    return answer;
  }
}
