/** The formats of `export` for DNS servers that forward the endpoints to the servers of the site. Each writes a part of a configuration. */

import type { SocketAddress } from '../../config/kinds/address.ts';
import {
  type ExportFormat,
  type ExportSite,
  forwardedZones,
  headLine,
  hostPortText,
  privateZones,
  serverText,
} from './format.ts';
import { hostLines } from './record-files.ts';

// A part of unbound.conf (unbound.conf(5)): forwards the endpoints to the servers, and lets them have private addresses.

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

// A part of named.conf (BIND 9): forwards the endpoints to the servers. The lines for `options` stand in comments.

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

// A part of dnsmasq.conf (dnsmasq(8)): forwards the endpoints to the servers, and lets them have private addresses.

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

// Two parts of a Corefile (CoreDNS): a stub domain that asks the servers, and the addresses themselves for its plugin
// `hosts`.

export const COREDNS: ExportFormat = {
  about: 'CoreDNS: a stub domain, beside the block of ".:53" in the Corefile',
  servers: 'of the site',
  text: stubDomainText,
};

export const COREDNS_HOSTS: ExportFormat = {
  about: 'CoreDNS: the addresses as a plugin "hosts", in the block of ".:53"; they are never refreshed',
  text: hostsPluginText,
};

function stubDomainText(site: ExportSite): string {
  const { file, servers } = site;
  const lines = [
    `# ${headLine(site)}`,
    `${forwardedZones(file.content)
      .map((zone) => `${zone}:53`)
      .join(' ')} {`,
    '    errors',
    // an answer with a TTL of seconds must not live longer in a pod
    '    cache 5',
    `    forward . ${servers.map(hostPortText).join(' ')} {`,
    // the first server that answers, so that pods get its answer and not that of a server with older records
    '        policy sequential',
    '        health_check 1s',
    '    }',
    '}',
  ];
  return `${lines.join('\n')}\n`;
}

function hostsPluginText(site: ExportSite): string {
  const lines = [
    `# ${headLine(site)}`,
    'hosts {',
    ...site.file.content.flatMap((record) => hostLines(record, site.nowMs).map((line) => `    ${line}`)),
    '    ttl 30',
    '    fallthrough',
    '}',
  ];
  return `${lines.join('\n')}\n`;
}

// A PowerShell script for the DNS server of Windows: conditional forwarders to the servers. It can run again.

export const WINDOWS: ExportFormat = {
  about: 'Windows DNS: conditional forwarders, as a PowerShell script',
  servers: 'of the site',
  needsPort53: true,
  text: windowsText,
};

function windowsText(site: ExportSite): string {
  const lines = [
    `# ${headLine(site)}`,
    '# run it on each DNS server, as a member of DnsAdmins',
    "$ErrorActionPreference = 'Stop'",
    `$servers = @(${site.servers.map(({ address }) => `'${address}'`).join(', ')})`,
    `foreach ($zone in @(${forwardedZones(site.file.content).map(quoted).join(', ')})) {`,
    '    if (Get-DnsServerZone -Name $zone -ErrorAction SilentlyContinue) {',
    '        Set-DnsServerConditionalForwarderZone -Name $zone -MasterServers $servers',
    '    } else {',
    '        Add-DnsServerConditionalForwarderZone -Name $zone -MasterServers $servers -ForwarderTimeout 2',
    '    }',
    '}',
    '# answers from before the change',
    'Clear-DnsServerCache -Force',
  ];
  return `${lines.join('\r\n')}\r\n`;
}

/** In a single-quoted string of PowerShell only the quote itself is special. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
