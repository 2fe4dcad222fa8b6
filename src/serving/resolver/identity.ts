/** What this server tells of itself in class CH, where the operator chose to: `version.bind` and `id.server` (RFC 4892). */
import { composeLocalAnswer, type LocalAnswer } from '../../protocol/wire/local-answer.ts';
import { NameMap } from '../../protocol/wire/name-map.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { CLASS } from '../../protocol/words/classes.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import { TYPE } from '../../protocol/words/types.ts';

export interface IdentityOptions {
  readonly version?: string;
  readonly id?: string;
}

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
  octets[5] = CLASS.CH; // behind the owner's pointer and TYPE: it was composed as IN
  return { ...answer, octets };
}
