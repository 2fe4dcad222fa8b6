/** A part of dnsmasq.conf (dnsmasq(8)): forwards the endpoints to the servers, and lets them have private addresses. */
import {
  type ExportFormat,
  type ExportSite,
  forwardedZones,
  headLine,
  privateZones,
  serverText,
} from './format.ts';

export const DNSMASQ: ExportFormat = {
  about: 'dnsmasq: /etc/dnsmasq.d/outpost-dns.conf',
  servers: 'of the site',
  text: dnsmasqText,
};

function dnsmasqText(site: ExportSite): string {
  const { file, servers } = site;
  const lines = [
    `# ${headLine(site)}`,
    ...forwardedZones(file.content).flatMap((zone) =>
      servers.map((server) => `server=/${zone}/${serverText(server, '#')}`),
    ),
    `rebind-domain-ok=/${privateZones(file.content).join('/')}/`,
  ];
  return `${lines.join('\n')}\n`;
}
