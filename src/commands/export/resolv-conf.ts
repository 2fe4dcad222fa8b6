/** A resolv.conf (resolv.conf(5)) that asks the servers, without a search domain: each wrong guess would cost a query in a cut. */
import { type ExportFormat, type ExportSite, headLine } from './format.ts';

export const RESOLV_CONF: ExportFormat = {
  about: '/etc/resolv.conf of a node or another host',
  servers: 'of this host',
  needsPort53: true,
  text: (site) => `# ${headLine(site)}\n${resolvConfLines(site).join('\n')}\n`,
};

/** glibc reads no more (resolv.conf(5), MAXNS). */
const MAX_SERVERS = 3;

export function resolvConfLines({ servers }: Pick<ExportSite, 'servers'>): readonly string[] {
  return [
    ...servers.slice(0, MAX_SERVERS).map(({ address }) => `nameserver ${address}`),
    'options timeout:1 attempts:2',
  ];
}
