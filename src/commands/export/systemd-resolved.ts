/** A drop-in of resolved.conf(5): systemd-resolved asks the servers for every name, in place of those that DHCP names. */
import { type ExportFormat, type ExportSite, headLine, hostPortText } from './format.ts';

export const SYSTEMD_RESOLVED: ExportFormat = {
  about: 'systemd-resolved: /etc/systemd/resolved.conf.d/outpost-dns.conf',
  servers: 'of this host',
  text: resolvedText,
};

function resolvedText(site: ExportSite): string {
  const lines = [
    `# ${headLine(site)}`,
    '[Resolve]',
    `DNS=${site.servers.map(hostPortText).join(' ')}`,
    '# no public resolver beside them',
    'FallbackDNS=',
    '# every name, before the servers of any interface',
    'Domains=~.',
    '# nobody can fetch the proof of a parent zone during a cut',
    'DNSSEC=no',
  ];
  return `${lines.join('\n')}\n`;
}
