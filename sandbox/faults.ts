export type Service = 'ec2' | 'route53' | 'eks' | 'sts' | 'cloudwatch';

/**
 * Faults of one HTTP request.
 * `hang`: it is accepted and never answered. `half`: a well-formed HTTP 200 whose body ends in the middle.
 * `html`: HTTP 200 with a page for people, as a captive portal or an intercepting proxy sends it.
 * `empty`: a success that lists nothing. `endless`: the body never ends, and comes as fast as it is read.
 */
export type HttpFaultKind =
  | {
      readonly kind:
        | 'throttle'
        | 'deny'
        | 'expire'
        | 'hang'
        | 'reset'
        | 'half'
        | 'html'
        | 'empty'
        | 'endless';
    }
  /** Any refusal, in the service's own form. */
  | { readonly kind: 'error'; readonly code: string; readonly message: string; readonly status: number }
  /** The head comes at once, the body one octet per interval. */
  | { readonly kind: 'drip'; readonly intervalMs: number }
  /** EC2 listings in pages of `size`; 0 makes the first page an empty one that has a successor. */
  | { readonly kind: 'pages'; readonly size: number };

/**
 * Faults of one DNS query.
 * `truncate`: TC and no answer over UDP, whatever the size; TCP answers in full. `filter`: a DNS-rebinding filter,
 * answers that hold private addresses come back empty. `authenticated`: the answer claims to be validated (AD).
 */
export type DnsFaultKind =
  | { readonly kind: 'drop' | 'servfail' | 'refused' | 'truncate' | 'filter' | 'authenticated' }
  | { readonly kind: 'delay'; readonly delayMs: number };

/** A fault strikes after `skip` matching requests, for the next `times` requests (absent: until cleared). */
interface Occasion {
  readonly skip?: number | undefined;
  readonly times?: number | undefined;
}

/** `*` stands for every service of the Region, but not for `dns`. */
export type HttpFault = HttpFaultKind &
  Occasion & { readonly service: Service | '*'; readonly operation?: string | undefined };
/** `name`: only queries for this domain name; absent: all. */
export type DnsFault = DnsFaultKind &
  Occasion & { readonly service: 'dns'; readonly name?: string | undefined };
export type Fault = HttpFault | DnsFault;

interface Active<F> {
  readonly fault: F;
  toSkip: number;
  left: number;
}

/** The active faults. The fault that was added first strikes first. */
export class Faults {
  #http: Active<HttpFault>[] = [];
  #dns: Active<DnsFault>[] = [];

  add(fault: Fault): void {
    const occasion = { toSkip: fault.skip ?? 0, left: fault.times ?? Number.POSITIVE_INFINITY };
    const isOn = ({ left }: { readonly left: number }): boolean => left > 0;
    if (fault.service === 'dns') this.#dns = [...this.#dns.filter(isOn), { fault, ...occasion }];
    else this.#http = [...this.#http.filter(isOn), { fault, ...occasion }];
  }

  /** Ends the faults of one service, or all of them. */
  clear(service?: Fault['service']): void {
    this.#http = this.#http.filter(({ fault }) => service !== undefined && fault.service !== service);
    this.#dns = this.#dns.filter(() => service !== undefined && service !== 'dns');
  }

  list(): readonly Fault[] {
    return [...this.#http, ...this.#dns].filter(({ left }) => left > 0).map(({ fault }) => fault);
  }

  /** The fault that strikes this request, which it uses up by one. */
  strikesRequest(service: Service | undefined, operation: string): HttpFault | undefined {
    return strike(
      this.#http,
      (fault) =>
        (fault.service === '*' || fault.service === service) &&
        (fault.operation === undefined || fault.operation === operation),
    );
  }

  /** The fault that strikes this query, which it uses up by one; `name` in lower case. */
  strikesQuery(name: string): DnsFault | undefined {
    return strike(this.#dns, (fault) => fault.name === undefined || fault.name.toLowerCase() === name);
  }
}

function strike<F>(faults: readonly Active<F>[], applies: (fault: F) => boolean): F | undefined {
  for (const active of faults) {
    if (active.left <= 0 || !applies(active.fault)) continue;
    if (active.toSkip > 0) {
      active.toSkip--;
      continue;
    }
    active.left--;
    return active.fault;
  }
  return undefined;
}

export type LinkState = 'up' | 'down' | 'refused';

/** The link between the site and the Region, which can be cut. */
export class LinkSwitch {
  #state: LinkState = 'up';
  readonly #listeners = new Set<(state: LinkState) => void>();

  get state(): LinkState {
    return this.#state;
  }

  set(state: LinkState): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }

  onChange(listener: (state: LinkState) => void): void {
    this.#listeners.add(listener);
  }
}
