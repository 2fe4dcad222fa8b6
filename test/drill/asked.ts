import { parseQuery, Query, VERDICT } from '../../src/protocol/wire/query.ts';
import { message } from '../helpers/zone-text.ts';

/** A query as the listener would hand it over: a view into a larger buffer. */
export function asked(name: string, type = 'A'): Query {
  const octets = message({ flags: 0x0100, question: [name, type] });
  const query = new Query();
  if (parseQuery(query, octets, 0, octets.length) !== VERDICT.OK)
    throw new Error(`not a query: ${name} ${type}`);
  return query;
}
