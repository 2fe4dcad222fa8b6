/**
 * The formats of `export` for other DNS servers. Those that forward the endpoints to the servers of the site get a part of their
 * configuration; a server that is to have the records itself gets a master file.
 */

import type { SocketAddress } from '../../config/kinds/address.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import type { EndpointsFile } from '../../store/endpoints-format.ts';
import {
  type ExportFormat,
  type ExportSite,
  endpointNames,
  forwardedZones,
  headLine,
  hostLines,
  hostPortText,
  privateZones,
  recordTitle,
  serverText,
  textOf,
} from './format.ts';

// A part of unbound.conf (unbound.conf(5)): forwards the endpoints to the servers, and lets them have private addresses.

export const UNBOUND: ExportFormat = {
  about: 'Unbound: /etc/unbound/unbound.conf.d/outpost-dns.conf',
  servers: 'of the site',
  text({ file, servers }) {
    const zones = forwardedZones(file.content);
    return textOf([
      `# ${headLine(file)}`,
      'server:',
      ...privateZones(file.content).map((zone) => `    private-domain: "${zone}"`),
      '    # nobody can fetch the proof of the parent zone during a cut',
      ...zones.map((zone) => `    domain-insecure: "${zone}"`),
      ...zones.flatMap((zone) => [
        'forward-zone:',
        `    name: "${zone}"`,
        ...servers.map((server) => `    forward-addr: ${serverText(server, '@')}`),
      ]),
    ]);
  },
};

// A part of named.conf (BIND 9): forwards the endpoints to the servers. The lines for `options` stand in comments.

export const BIND: ExportFormat = {
  about: 'BIND: zones of named.conf, and two lines for its options',
  servers: 'of the site',
  text({ file, servers }) {
    const zones = forwardedZones(file.content);
    return textOf([
      `// ${headLine(file)}`,
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
    ]);
  },
};

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
  text({ file, servers }) {
    return textOf([
      `# ${headLine(file)}`,
      ...forwardedZones(file.content).flatMap((zone) =>
        servers.map((server) => `server=/${zone}/${serverText(server, '#')}`),
      ),
      `rebind-domain-ok=/${privateZones(file.content).join('/')}/`,
    ]);
  },
};

// Two parts of a Corefile (CoreDNS): a stub domain that asks the servers, and the addresses themselves for its plugin
// `hosts`.

export const COREDNS: ExportFormat = {
  about: 'CoreDNS: a stub domain, beside the block of ".:53" in the Corefile',
  servers: 'of the site',
  text({ file, servers }) {
    return textOf([
      `# ${headLine(file)}`,
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
    ]);
  },
};

export const COREDNS_HOSTS: ExportFormat = {
  about: 'CoreDNS: the addresses as a plugin "hosts", in the block of ".:53"; they are never refreshed',
  text: ({ file, nowMs }) =>
    textOf([
      `# ${headLine(file)}`,
      'hosts {',
      ...file.content.flatMap((record) => hostLines(record, nowMs).map((line) => `    ${line}`)),
      '    ttl 30',
      '    fallthrough',
      '}',
    ]),
};

// A PowerShell script for the DNS server of Windows: conditional forwarders to the servers. It can run again.

export const WINDOWS: ExportFormat = {
  about: 'Windows DNS: conditional forwarders, as a PowerShell script',
  servers: 'of the site',
  needsPort53: true,
  text({ file, servers }) {
    const lines = [
      `# ${headLine(file)}`,
      '# run it on each DNS server, as a member of DnsAdmins',
      "$ErrorActionPreference = 'Stop'",
      `$servers = @(${servers.map(({ address }) => `'${address}'`).join(', ')})`,
      `foreach ($zone in @(${forwardedZones(file.content).map(quoted).join(', ')})) {`,
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
  },
};

/** In a single-quoted string of PowerShell only the quote itself is special. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

// Master-file text (RFC 1035 section 5): for each endpoint name a zone of its own, for another server to load.

export const ZONE: ExportFormat = { about: 'a master file with a zone for each endpoint', text: zoneText };

// the TTL of an exported record is the source's TTL between these, as in the server's own answers
const LEAST_TTL_SECONDS = 5;
const MOST_TTL_SECONDS = 60;

export function zoneText({ file, nowMs }: Pick<ExportSite, 'file' | 'nowMs'>): string {
  const head = [
    `; ${headLine(file)}`,
    '; each $ORIGIN line begins a zone of its own: with several, cut here and load one file a zone',
  ];
  return textOf([...head, ...file.content.flatMap((record) => zoneLines(record, file, nowMs))]);
}

function zoneLines(record: EndpointRecord, file: EndpointsFile, nowMs: number): string[] {
  const { endpoint, addresses } = record;
  const title = `; ${recordTitle(record, nowMs)}`;
  if (endpoint === undefined) return ['', `${title}: its endpoint name is not known`];
  if (addresses.length === 0) return ['', `${title}: no address is known`];
  const ttl = Math.min(MOST_TTL_SECONDS, Math.max(LEAST_TTL_SECONDS, record.ttlSeconds));
  const serial = Math.floor((record.changedAtMs ?? file.writtenAtMs) / 1000) >>> 0;
  return endpointNames(record).flatMap((name) => [
    '',
    title,
    `$ORIGIN ${name}.`,
    `$TTL ${ttl}`,
    // a zone must have both (RFC 1035 section 5.2); localhost, so that no NOTIFY and no query leaves the host
    `@ IN SOA localhost. root.localhost. ${serial} 3600 600 604800 ${ttl}`,
    '@ IN NS localhost.',
    ...addresses.map(({ address }) => `@ IN A ${address}`),
  ]);
}
