/** The steps that answer from this server's own data: endpoint names, zones of the operator's, special-use names, class CH. */
import { OPEN_ALIAS } from '../../protocol/wire/alias-chain.ts';
import { writeEmptyReply, writeHeaderOnlyReply } from '../../protocol/wire/error-reply.ts';
import { composeLocalAnswer, type LocalAnswer, writeLocalReply } from '../../protocol/wire/local-answer.ts';
import { NameMap } from '../../protocol/wire/name-map.ts';
import { type Query, VERDICT } from '../../protocol/wire/query.ts';
import { CLASS } from '../../protocol/words/classes.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import type { Clock } from '../../runtime/clock.ts';
import { composeStatusAnswer } from '../endpoints/endpoint-answers.ts';
import { NO_REPLY, PASS, type Turn } from '../turn.ts';
import type { ResolverDeps } from './resolver.ts';

export class OwnAnswers {
  readonly #deps: ResolverDeps;
  readonly #status: StatusAnswers;
  readonly #rotation = new Rotation();

  constructor(deps: ResolverDeps) {
    this.#deps = deps;
    this.#status = new StatusAnswers(deps);
  }

  malformed(turn: Turn): number {
    const { verdict, query, space, spaceStart } = turn;
    switch (verdict) {
      case VERDICT.OK:
        return PASS;
      case VERDICT.DROP:
        return NO_REPLY;
      case VERDICT.BADVERS:
        return writeEmptyReply(query, RCODE.BADVERS, undefined, space, spaceStart);
      default: {
        const rcode = verdict === VERDICT.NOTIMP ? RCODE.NOTIMP : RCODE.FORMERR;
        return writeHeaderOnlyReply(query.octets, query.start, rcode, space, spaceStart);
      }
    }
  }

  otherClass(turn: Turn): number {
    const { query } = turn;
    if (query.qclass === CLASS.IN) return PASS;
    const answer = query.qclass === CLASS.CH ? this.#deps.rules.identity.find(query) : undefined;
    if (answer === undefined) return writeEmpty(turn, RCODE.REFUSED, undefined);
    return this.write(turn, answer);
  }

  metaType(turn: Turn): number {
    const { qtype } = turn.query;
    // RFC 6895 section 3.1: 128 to 255 are QTYPEs and meta-TYPEs, zone transfers among them (RFC 5936 section 2.2.1),
    // and OPT is one too; ANY alone asks about a name
    const isMeta = (qtype >= 128 && qtype < TYPE.ANY) || qtype === TYPE.OPT;
    return isMeta ? writeEmpty(turn, RCODE.REFUSED, EXTENDED_ERROR.PROHIBITED) : PASS;
  }

  endpoint(turn: Turn): number {
    const { endpoints, outage } = this.#deps;
    const found = endpoints.current.find(turn.query);
    if (found === undefined) return PASS;
    switch (found.kind) {
      case 'answer':
        if (found.isParents) return PASS;
        if (found.record !== undefined) outage.noteEndpoint(found.record);
        return this.write(turn, found.answer);
      case 'status':
        return this.write(turn, this.#status.answer(found.name, found.record));
      case 'above':
        return this.#isDeniedByRule(turn.query) ? this.write(turn, found.answer) : PASS;
      case 'not-ready':
        outage.noteFailed(turn.query);
        return writeEmpty(turn, RCODE.SERVFAIL, EXTENDED_ERROR.NOT_READY);
    }
  }

  localZone(turn: Turn): number {
    const { query } = turn;
    const { localZones } = this.#deps.rules;
    const found = localZones.find(query);
    if (found === undefined) return PASS;
    switch (found.kind) {
      case 'forward':
        turn.route = found.route;
        return PASS;
      case 'answer':
        // networks of VPCs are inside special-use zones, and in a cut their names are computed
        if (localZones.findRule(query) === undefined && this.#isComputed(turn)) return PASS;
        return this.write(turn, found.answer);
      case 'rcode':
        return writeEmpty(turn, found.rcode, found.extendedError);
    }
  }

  notRecursive(turn: Turn): number {
    return turn.query.recursionDesired ? PASS : writeEmpty(turn, RCODE.REFUSED, undefined);
  }

  /** Writes an answer of our own; the next reply with the same answer begins with another address. */
  write(turn: Turn, answer: LocalAnswer): number {
    if (answer.isOpen) turn.aliases = OPEN_ALIAS;
    const first = this.firstOf(answer);
    return writeLocalReply(turn.query, answer, first, turn.limit, turn.space, turn.spaceStart);
  }

  /** The record that comes first in the next reply with this answer. */
  firstOf({ rotation }: LocalAnswer): number {
    return rotation === undefined ? 0 : this.#rotation.next(rotation.records);
  }

  /** Our answer to a question for DS that the parent zone's servers should answer, for when they cannot. */
  noDs(query: Query): LocalAnswer | undefined {
    if (query.qtype !== TYPE.DS || query.qclass !== CLASS.IN) return undefined;
    const found = this.#deps.endpoints.current.find(query);
    return found?.kind === 'answer' && found.isParents
      ? found.answer
      : this.#deps.rules.localZones.noDs(query);
  }

  /** Notes that a client gets a failure; a failed question for DS of a zone of ours is answered by `noDs`. */
  noteFailed(query: Query): void {
    if (this.noDs(query) === undefined) this.#deps.outage.noteFailed(query);
  }

  #isComputed({ query, route }: Turn): boolean {
    const { rules, upstreams } = this.#deps;
    return rules.disconnected.find(query).kind !== 'stale' && upstreams.isCut(query, route);
  }

  #isDeniedByRule(query: Query): boolean {
    const found = this.#deps.rules.localZones.find(query);
    return found?.kind === 'answer' && found.answer.rcode === RCODE.NXDOMAIN;
  }
}

export function writeEmpty(turn: Turn, rcode: number, extendedError: number | undefined): number {
  return writeEmptyReply(turn.query, rcode, extendedError, turn.space, turn.spaceStart);
}

export interface IdentityOptions {
  readonly version?: string | undefined;
  readonly id?: string | undefined;
}

/** What this server says of itself in class CH, if the operator wants it: `version.bind` and `id.server` (RFC 4892). */
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

/**
 * Steps of this size visit all addresses of an endpoint equally often, and so does every second or third step. A plain
 * count would not: a client that asks for two names in turn would get the same order of each for ever.
 */
const GOLDEN_RATIO = 0.618_033_988_749_894_9;

/** The order of an answer with several addresses: each comes first equally often, to every client. */
class Rotation {
  /** From 0 up to 1. */
  #phase = 0;

  /** From 0 to less than `records`. */
  next(records: number): number {
    this.#phase = (this.#phase + GOLDEN_RATIO) % 1;
    return Math.floor(this.#phase * records);
  }
}

interface StatusDeps {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** The strings at `_status.<endpoint>`. */
  readonly statusText: (record: EndpointRecord) => readonly string[];
}

const STATUS_SHARED_MS = 1_000; // a fifth of the answer's TTL
const MAX_STATUS_ANSWERS = 256; // there are 100 clusters at most; names from before a reload go with the next clearing

/** The TXT answers at `_status.<endpoint>`: each is composed at most once a second, whatever the number of queries. */
class StatusAnswers {
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
