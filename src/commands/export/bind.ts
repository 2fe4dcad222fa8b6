/** A part of named.conf (BIND 9): forwards the endpoints to the servers. The lines for `options` stand in comments. */
import type { SocketAddress } from '../../config/kinds/address.ts';
import { type ExportFormat, type ExportSite, forwardedZones, headLine, privateZones } from './format.ts';

export const BIND: ExportFormat = {
  about: 'BIND: zones of named.conf, and two lines for its options',
  servers: 'of the site',
  text: bindText,
};

function bindText(site: ExportSite): string {
  const { file, servers } = site;
  const zones = forwardedZones(file.content);
  const lines = [
    `// ${headLine(site)}`,
    '// BIND has a single "options": add the next lines to it by hand',
    '//   with "dnssec-validation auto", because nobody can fetch the proof of the parent zone during a cut:',
    `//     validate-except { ${listText(zones)} };`,
    '//   where "deny-answer-addresses { ... }" stands, at its end:',
    `//     except-from { ${listText(privateZones(file.content))} }`,
    ...zones.flatMap((zone) => [
      `zone "${zone}" {`,
      '    type forward;',
      '    forward only;',
      `    forwarders { ${servers.map(forwarderText).join(' ')} };`,
      '};',
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

function listText(zones: readonly string[]): string {
  return zones.map((zone) => `"${zone}";`).join(' ');
}

function forwarderText({ address, port }: SocketAddress): string {
  return port === 53 ? `${address};` : `${address} port ${port};`;
}
