/** Who wants to know what an outage does to those who ask. */
import type { Query } from '../../protocol/wire/query.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';

/** Called on the query path, in an outage or not: nothing of a query may be kept. */
export interface OutageNotes {
  /** It got SERVFAIL, or the answer that a rule of the operator's has for the time without its upstreams. */
  noteFailed(query: Query): void;
  /** It got an answer that had expired. */
  noteStale(query: Query): void;
  /** It got the addresses that `record` holds. */
  noteEndpoint(record: EndpointRecord): void;
}
