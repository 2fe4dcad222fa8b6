/** Two parts of a Corefile (CoreDNS): a stub domain that asks the servers, and the addresses themselves for its plugin `hosts`. */
import { type ExportFormat, type ExportSite, forwardedZones, headLine, hostPortText } from './format.ts';
import { hostLines } from './hosts.ts';

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
