/** A part of unbound.conf (unbound.conf(5)): forwards the endpoints to the servers, and lets them have private addresses. */
import {
  type ExportFormat,
  type ExportSite,
  forwardedZones,
  headLine,
  privateZones,
  serverText,
} from './format.ts';

export const UNBOUND: ExportFormat = {
  about: 'Unbound: /etc/unbound/unbound.conf.d/outpost-dns.conf',
  servers: 'of the site',
  text: unboundText,
};

function unboundText(site: ExportSite): string {
  const { file, servers } = site;
  const zones = forwardedZones(file.content);
  const lines = [
    `# ${headLine(site)}`,
    'server:',
    ...privateZones(file.content).map((zone) => `    private-domain: "${zone}"`),
    '    # nobody can fetch the proof of the parent zone during a cut',
    ...zones.map((zone) => `    domain-insecure: "${zone}"`),
    ...zones.flatMap((zone) => [
      'forward-zone:',
      `    name: "${zone}"`,
      ...servers.map((server) => `    forward-addr: ${serverText(server, '@')}`),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}
