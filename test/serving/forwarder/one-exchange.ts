/** One exchange over a transport that is tested by itself, without the forwarder around it. */
import {
  composeUpstreamQuery,
  Exchange,
  type ExchangeEnd,
  questionEndOf,
  questionOf,
  type Transport,
} from '../../../src/serving/forwarder/exchange.ts';
import { clientQuery } from './hand-made-upstream.ts';

export class Mismatches {
  count = 0;
}

export class OneExchange extends Exchange {
  readonly end: (end: ExchangeEnd) => void;

  constructor(
    message: Uint8Array,
    questionEnd: number,
    exactCase: boolean,
    onEnd: (end: ExchangeEnd) => void = () => undefined,
  ) {
    super();
    this.message = message;
    this.questionEnd = questionEnd;
    this.exactCase = exactCase;
    this.end = onEnd;
  }
}

export function exchangeFor(name: string, onEnd: (end: ExchangeEnd) => void): Exchange {
  const question = questionOf(clientQuery(name));
  const form = { withEdns: true, caseFrom: undefined, padded: false, authenticated: false };
  return new OneExchange(composeUpstreamQuery(question, form), questionEndOf(question), false, onEnd);
}

export function run(exchanges: Transport, name: string): Promise<ExchangeEnd> {
  return new Promise((resolve) => exchanges.start(exchangeFor(name, resolve)));
}
