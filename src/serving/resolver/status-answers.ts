/** The TXT answers at `_status.<endpoint>`: each is composed at most once a second, however many ask. */
import type { LocalAnswer } from '../../protocol/wire/local-answer.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import type { Clock } from '../../runtime/clock.ts';
import { composeStatusAnswer } from '../endpoints/endpoint-answers.ts';

export interface StatusAnswersOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** The strings of the answer for this endpoint. */
  readonly statusText: (record: EndpointRecord) => readonly string[];
}

interface Made {
  readonly atMs: number;
  readonly answer: LocalAnswer;
}

const SHARED_MS = 1_000; // a fifth of the answer's TTL
const MOST_KEPT = 256; // there are 100 clusters at most; names of before a reload go with the next clearing

export class StatusAnswers {
  readonly #options: StatusAnswersOptions;
  readonly #made = new Map<string, Made>();

  constructor(options: StatusAnswersOptions) {
    this.#options = options;
  }

  /** The answer for the endpoint name `name`, whose record this is. */
  answer(name: string, record: EndpointRecord): LocalAnswer {
    const nowMs = this.#options.clock.monotonicMs();
    const known = this.#made.get(name);
    if (known !== undefined && nowMs - known.atMs < SHARED_MS) return known.answer;
    const answer = composeStatusAnswer(name, this.#options.statusText(record));
    if (this.#made.size >= MOST_KEPT) this.#made.clear();
    this.#made.set(name, { atMs: nowMs, answer });
    return answer;
  }
}
