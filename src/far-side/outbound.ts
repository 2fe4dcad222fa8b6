/**
 * The path to AWS: which URLs are asked through a proxy. Pure, because both threads need it: the thread that speaks HTTPS, and
 * the main thread, which resolves the name to dial. The API server of Kubernetes and the instance metadata service are always
 * asked directly.
 */
import { BlockList, isIP } from 'node:net';

export interface Outbound {
  /** The URL of the proxy for `https:` URLs; it may hold user and password. */
  readonly httpsProxy?: string | undefined;
  /** The same for `http:` URLs. */
  readonly httpProxy?: string | undefined;
  /** Names, suffixes, addresses and networks that are asked without a proxy, or `*`; lower case. */
  readonly noProxy: readonly string[];
  /** A file of certificate authorities that count in place of the public ones. */
  readonly caBundle?: string | undefined;
  /** The AWS profile of the environment, for clusters that name none. */
  readonly profile?: string | undefined;
  /** Paths of AWS's configuration files, where the environment names others than those under the home directory. */
  readonly configFile?: string | undefined;
  readonly credentialsFile?: string | undefined;
  /** A file of certificate authorities that Node adds by itself (`NODE_EXTRA_CA_CERTS`). */
  readonly extraCertificates?: string | undefined;
}

export const DIRECT: Outbound = { noProxy: [] };

/** The URL of the proxy for `url`; undefined where it is asked directly. */
export function proxyFor(url: URL, outbound: Outbound): string | undefined {
  const proxy = url.protocol === 'http:' ? outbound.httpProxy : outbound.httpsProxy;
  if (proxy === undefined) return undefined;
  const host = hostOf(url);
  const port = url.port === '' ? (url.protocol === 'http:' ? '80' : '443') : url.port;
  return outbound.noProxy.some((entry) => isMatch(entry, host, port)) ? undefined : proxy;
}

/** Without brackets and without a trailing dot. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

/**
 * The entries that curl, Go and Node agree on. A name stands for itself and for all names under it, with or without a
 * leading dot or `*.`. Addresses may be networks or ranges. A port after a colon must be that of the URL.
 */
function isMatch(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const [, pattern = entry, wanted] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [];
  if (wanted !== undefined && wanted !== port) return false;
  const name = pattern.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0) return isAddressMatch(name, host);
  const suffix = name.replace(/^\*?\./, '').replace(/\.$/, '');
  return suffix !== '' && (host === suffix || host.endsWith(`.${suffix}`));
}

function isAddressMatch(pattern: string, host: string): boolean {
  const networks = new BlockList();
  const [first = '', prefix] = pattern.split('/', 2);
  const [from = '', to] = pattern.split('-', 2);
  try {
    if (prefix !== undefined) networks.addSubnet(first, Number(prefix), familyOf(first));
    else if (to !== undefined) networks.addRange(from, to, familyOf(from));
    else networks.addAddress(pattern, familyOf(pattern));
  } catch {
    return false; // neither an address nor a network
  }
  return networks.check(host, familyOf(host));
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

/** A proxy as it may be shown: without user and password. */
export function shownProxy(proxy: string): string {
  const url = URL.parse(proxy);
  return url === null ? 'the proxy' : `${url.protocol}//${url.host}`;
}
