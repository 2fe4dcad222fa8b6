/** A PowerShell script for the DNS server of Windows: conditional forwarders to the servers. It can run again. */
import { type ExportFormat, type ExportSite, forwardedZones, headLine } from './format.ts';

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
