/**
 * The way out to AWS, from the usual variables of the environment: a proxy for HTTPS, a proxy for HTTP, the hosts without a
 * proxy. A file may name the authorities that AWS's certificates are checked against. As with curl and Node, a lower-case
 * variable counts before its upper-case form. A value may hold a password: no fault quotes one.
 */
import { type Fault, shortened } from './fault.ts';
import { type Environment, withoutUndefined } from './source-text.ts';

/** The way out to AWS. */
export interface OutboundConfig {
  /** The URL of the proxy for `https:` URLs; it may hold user and password. */
  readonly httpsProxy?: string;
  /** The proxy for `http:` URLs; an endpoint of the operator may have such a URL. */
  readonly httpProxy?: string;
  /** Hosts that are asked without a proxy: names, suffixes, addresses, networks, `*`; lower case. */
  readonly noProxy: readonly string[];
  /** The file of certificate authorities that count in place of the public authorities. */
  readonly caBundle?: string;
  readonly profile?: string;
  readonly configFile?: string;
  readonly credentialsFile?: string;
  /** The file of certificate authorities that Node adds by itself. */
  readonly extraCertificates?: string;
}

export interface OutboundReading {
  readonly outbound: OutboundConfig;
  readonly faults: readonly Fault[];
}

export function readOutbound(environment: Environment): OutboundReading {
  const faults: Fault[] = [];
  const proxy = (name: string): string | undefined => {
    const found = lookUp(environment, name);
    if (found === undefined) return undefined;
    const read = readProxy(found.text);
    if ('url' in read) return read.url;
    faults.push({
      file: 'environment',
      variable: found.variable,
      path: '',
      value: JSON.stringify(shortened(withoutPassword(found.text))),
      ...read,
    });
    return undefined;
  };
  const outbound = withoutUndefined({
    httpsProxy: proxy('HTTPS_PROXY'),
    httpProxy: proxy('HTTP_PROXY'),
    noProxy: (lookUp(environment, 'NO_PROXY')?.text ?? '')
      .split(/[\s,]+/)
      .filter((entry) => entry !== '')
      .map((entry) => entry.toLowerCase()),
    caBundle: environment['AWS_CA_BUNDLE'] || undefined,
    profile: environment['AWS_PROFILE'] || undefined,
    configFile: environment['AWS_CONFIG_FILE'] || undefined,
    credentialsFile: environment['AWS_SHARED_CREDENTIALS_FILE'] || undefined,
    extraCertificates: environment['NODE_EXTRA_CA_CERTS'] || undefined,
  });
  return { outbound, faults };
}

/** An empty variable counts as not set. */
function lookUp(
  environment: Environment,
  name: string,
): { readonly variable: string; readonly text: string } | undefined {
  for (const variable of [name.toLowerCase(), name]) {
    const text = environment[variable]?.trim();
    if (text !== undefined && text !== '') return { variable, text };
  }
  return undefined;
}

type ProxyReading = { readonly url: string } | Pick<Fault, 'message' | 'fix'>;

const EXAMPLE = 'http://proxy.example:3128';

function readProxy(text: string): ProxyReading {
  // curl and Go accept a bare host and port too
  const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.parse(full);
  if (url === null || url.hostname === '') {
    return { message: 'not the URL of a proxy', fix: `write it as ${EXAMPLE}` };
  }
  if (!/^https?:$/.test(url.protocol)) {
    return {
      message: `a proxy of the kind ${url.protocol.slice(0, -1)}, which is not supported`,
      fix: `name a proxy that takes CONNECT, such as ${EXAMPLE}`,
    };
  }
  if (!isPercentEncoded(url.username) || !isPercentEncoded(url.password)) {
    return {
      message: 'user or password with a "%" that begins no escape',
      fix: 'write the octet "%" as %25',
    };
  }
  if (!/^\/?$/.test(url.pathname) || url.search !== '' || url.hash !== '') {
    return { message: 'a path after the port, which a proxy does not have', fix: `write it as ${EXAMPLE}` };
  }
  return { url: url.href };
}

function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** Also of a text that is no URL. */
function withoutPassword(text: string): string {
  return text.replace(
    /^([a-z][a-z0-9+.-]*:\/\/)?(.*)@/i,
    (_all, scheme: string | undefined, user: string) => {
      const [name = ''] = user.split(':', 1);
      return `${scheme ?? ''}${name}:...@`;
    },
  );
}
