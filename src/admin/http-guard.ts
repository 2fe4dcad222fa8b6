/** Who may read the pages: networks of clients, and for a browser the name by which it asks. */
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/**
 * Whether the request may come from a web page of somebody else, whose name was made to point here (DNS rebinding): a
 * browser asks, and neither by address nor by a name that is known to be this server's. Scrapers and curl are not asked.
 */
export function isForeignHost(headers: IncomingHttpHeaders, isHost: (name: string) => boolean): boolean {
  if (!isBrowser(headers)) return false;
  const name = hostName(headers.host ?? '');
  return isIP(name) === 0 && name !== 'localhost' && !isHost(name);
}

/** Headers that every browser sends with every request, and programs for machines do not. */
const BROWSER_HEADERS = ['accept-language', 'origin', 'referer', 'sec-fetch-mode', 'sec-fetch-site'];

function isBrowser(headers: IncomingHttpHeaders): boolean {
  const agent = headers['user-agent'] ?? '';
  return agent.startsWith('Mozilla/') || BROWSER_HEADERS.some((name) => headers[name] !== undefined);
}

/** `[::1]:9153` is `::1`, `Localhost.:9153` is `localhost`. */
function hostName(host: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(host)?.[1];
  return bracketed ?? host.replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase();
}
