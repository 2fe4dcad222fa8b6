/** User data of EC2 for a Bottlerocket node (TOML): the cluster, and the servers in place of those that DHCP names. */
import { type ExportFormat, type ExportSite, headLine } from './format.ts';

export const BOTTLEROCKET: ExportFormat = {
  about: 'user data for Bottlerocket, as TOML',
  servers: 'of the site',
  needsPort53: true,
  ofOneCluster: true,
  text: bottlerocketText,
};

function bottlerocketText(site: ExportSite): string {
  const { cluster: record, servers } = site;
  const { cluster, endpoint, details } = record;
  const authority = details?.certificateAuthority;
  const lines = [
    `# ${headLine(site)}`,
    '[settings.kubernetes]',
    `cluster-name = ${textOf(cluster)}`,
    `api-server = ${textOf(`https://${endpoint}`)}`,
    ...(authority === undefined
      ? ['# cluster-certificate: not known, because DescribeCluster has never answered']
      : [`cluster-certificate = ${textOf(authority)}`]),
    '',
    '[settings.dns]',
    `name-servers = [${servers.map(({ address }) => textOf(address)).join(', ')}]`,
    '# without the search domain of the VPC, which costs queries in a cut',
    'search-list = []',
  ];
  return `${lines.join('\n')}\n`;
}

/** Names, addresses and base64 are ASCII, whose JSON is a basic string of TOML 1.0. */
function textOf(text: string): string {
  return JSON.stringify(text);
}
