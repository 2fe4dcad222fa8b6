/**
 * Endpoints: what this server answers with authority, and never from anywhere else.
 *
 *     records -> new EndpointTable -> ServingTable.publish -> find(query) -> LocalAnswer -> octets
 *
 * The room turns endpoint records into composed answers once, when they change, and finds the one that a query
 * asks for. It refuses to know where the records come from, how old they are or whether AWS can be reached.
 * RFC 1034 section 4.3.2 (NODATA and NXDOMAIN), RFC 2308 (SOA in negative answers), RFC 8482 (ANY).
 */
import { EndpointTable } from './endpoint-table.ts';

/** The one place where a query's journey and a record's journey meet: one assignment of an immutable table. */
export class ServingTable {
  #current = EndpointTable.empty;

  get current(): EndpointTable {
    return this.#current;
  }

  publish(next: EndpointTable): void {
    this.#current = next;
  }
}
