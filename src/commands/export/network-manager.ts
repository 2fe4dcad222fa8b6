/** A drop-in of NetworkManager.conf(5): its global DNS, which wins over the servers of every connection. */
import { type ExportFormat, type ExportSite, headLine } from './format.ts';

export const NETWORK_MANAGER: ExportFormat = {
  about: 'NetworkManager: /etc/NetworkManager/conf.d/90-outpost-dns.conf',
  servers: 'of this host',
  needsPort53: true,
  text: networkManagerText,
};

function networkManagerText(site: ExportSite): string {
  const lines = [
    `# ${headLine(site)}`,
    '[global-dns]',
    'options=timeout:1,attempts:2',
    '[global-dns-domain-*]',
    `servers=${site.servers.map(({ address }) => address).join(',')}`,
  ];
  return `${lines.join('\n')}\n`;
}
