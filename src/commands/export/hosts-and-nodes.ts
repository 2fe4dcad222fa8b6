/** The formats of `export` for hosts that ask the servers or have no DNS, and for nodes and users of a cluster. */

import MimeNode from 'nodemailer/lib/mime-node';
import { stringify } from 'yaml';
import { type ExportFormat, type ExportSite, headLine, hostLines, hostPortText, textOf } from './format.ts';

// A resolv.conf (resolv.conf(5)) that asks the servers, without a search domain: each wrong guess would cost a query in a cut.

export const RESOLV_CONF: ExportFormat = {
  about: '/etc/resolv.conf of a node or another host',
  servers: 'of this host',
  needsPort53: true,
  text: ({ file, servers }) => textOf([`# ${headLine(file)}`, ...resolvConfLines(servers)]),
};

/** glibc reads no more (resolv.conf(5), MAXNS). */
const MAX_SERVERS = 3;

function resolvConfLines(servers: ExportSite['servers']): readonly string[] {
  return [
    ...servers.slice(0, MAX_SERVERS).map(({ address }) => `nameserver ${address}`),
    'options timeout:1 attempts:2',
  ];
}

// A drop-in of resolved.conf(5): systemd-resolved asks the servers for every name, in place of those that DHCP names.

export const SYSTEMD_RESOLVED: ExportFormat = {
  about: 'systemd-resolved: /etc/systemd/resolved.conf.d/outpost-dns.conf',
  servers: 'of this host',
  text: ({ file, servers }) =>
    textOf([
      `# ${headLine(file)}`,
      '[Resolve]',
      `DNS=${servers.map(hostPortText).join(' ')}`,
      '# no public resolver beside them',
      'FallbackDNS=',
      '# every name, before the servers of any interface',
      'Domains=~.',
      '# nobody can fetch the proof of a parent zone during a cut',
      'DNSSEC=no',
    ]),
};

// A drop-in of NetworkManager.conf(5): its global DNS, which wins over the servers of every connection.

export const NETWORK_MANAGER: ExportFormat = {
  about: 'NetworkManager: /etc/NetworkManager/conf.d/90-outpost-dns.conf',
  servers: 'of this host',
  needsPort53: true,
  text: ({ file, servers }) =>
    textOf([
      `# ${headLine(file)}`,
      '[global-dns]',
      'options=timeout:1,attempts:2',
      '[global-dns-domain-*]',
      `servers=${servers.map(({ address }) => address).join(',')}`,
    ]),
};

// User data of EC2 for a node that nodeadm sets up (Amazon Linux 2023). A script writes a resolv.conf with the servers, and
// a NodeConfig gives that file to kubelet. Without the search domain of the VPC no pod asks for
// `<name>.<region>.compute.internal`, as AWS's guide on network disconnects advises.

export const NODEADM: ExportFormat = {
  about: 'user data with a NodeConfig for nodeadm, as MIME multi-part',
  servers: 'of the site',
  needsPort53: true,
  ofOneCluster: true,
  async text(site) {
    // nodeadm reads a part as it stands, and a shell takes no carriage return: 7bit, and lines that end in a line feed
    const root = new MimeNode('multipart/mixed', { boundaryPrefix: 'outpost-dns', newline: 'linux' });
    root.setHeader('Date', new Date(site.nowMs));
    const parts = [
      ['text/x-shellscript; charset=us-ascii', script(site)],
      ['application/node.eks.aws', nodeConfig(site)],
    ] as const;
    for (const [type, text] of parts) {
      root.createChild(type).setHeader('Content-Transfer-Encoding', '7bit').setContent(text);
    }
    return (await root.build()).toString('latin1');
  },
};

/** The path in AWS's guide. */
const RESOLV_CONF_PATH = '/etc/kubernetes/resolv.conf';

function script({ file, servers }: ExportSite): string {
  return textOf([
    '#!/bin/bash',
    `# ${headLine(file)}`,
    'set -eu',
    'mkdir -p /etc/kubernetes',
    `cat >${RESOLV_CONF_PATH} <<'END'`,
    ...resolvConfLines(servers),
    'END',
  ]);
}

/** Without the service network the cluster is left out: nodeadm takes it from another NodeConfig, and joins the two. */
function nodeConfig({ cluster: { cluster, endpoint, details }, serviceNetwork }: ExportSite): string {
  const isWhole = serviceNetwork !== undefined && details?.certificateAuthority !== undefined;
  const content = {
    apiVersion: 'node.eks.aws/v1alpha1',
    kind: 'NodeConfig',
    spec: {
      ...(isWhole && {
        cluster: {
          name: cluster,
          apiServerEndpoint: `https://${endpoint}`,
          certificateAuthority: details.certificateAuthority,
          cidr: serviceNetwork,
          // the older generation of local clusters has an ID, and nodeadm wants to know of the Outpost
          ...(details.id !== undefined && { enableOutpost: true, id: details.id }),
        },
      }),
      kubelet: { config: { resolvConf: RESOLV_CONF_PATH } },
    },
  };
  return `---\n${stringify(content, { lineWidth: 0 })}`;
}

// User data of EC2 for a Bottlerocket node (TOML): the cluster, and the servers in place of those that DHCP names.

export const BOTTLEROCKET: ExportFormat = {
  about: 'user data for Bottlerocket, as TOML',
  servers: 'of the site',
  needsPort53: true,
  ofOneCluster: true,
  text({ file, servers, cluster: { cluster, endpoint, details } }) {
    const authority = details?.certificateAuthority;
    return textOf([
      `# ${headLine(file)}`,
      '[settings.kubernetes]',
      `cluster-name = ${tomlText(cluster)}`,
      `api-server = ${tomlText(`https://${endpoint}`)}`,
      ...(authority === undefined
        ? ['# cluster-certificate: not known, because DescribeCluster has never answered']
        : [`cluster-certificate = ${tomlText(authority)}`]),
      '',
      '[settings.dns]',
      `name-servers = [${servers.map(({ address }) => tomlText(address)).join(', ')}]`,
      '# without the search domain of the VPC, which costs queries in a cut',
      'search-list = []',
    ]);
  },
};

/** Names, addresses and base64 are ASCII, whose JSON is a basic string of TOML 1.0. */
function tomlText(text: string): string {
  return JSON.stringify(text);
}

// A kubeconfig with the endpoint's name and a client certificate: IAM (`aws eks get-token`) needs AWS, a certificate
// does not.

export const KUBECONFIG: ExportFormat = {
  about: 'a kubeconfig with a client certificate, which works without AWS',
  ofOneCluster: true,
  text({ file, identity: { certificate, key, ca }, cluster: { cluster, endpoint, details } }) {
    if (certificate === undefined || key === undefined) {
      return {
        error:
          certificate === undefined
            ? 'no client certificate is named'
            : 'the key of the certificate is not named',
        fix: "add --certificate FILE and --key FILE; AWS's guide on disconnects says how to get a certificate from the cluster",
      };
    }
    const authority =
      ca !== undefined
        ? { 'certificate-authority': ca }
        : details?.certificateAuthority !== undefined && {
            'certificate-authority-data': details.certificateAuthority,
          };
    if (authority === false) {
      return {
        error: `the certificate authority of cluster "${cluster}" is not known: DescribeCluster has never answered`,
        fix: 'add --ca FILE',
      };
    }
    const user = `${cluster}-certificate`;
    const content = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: cluster, cluster: { server: `https://${endpoint}`, ...authority } }],
      users: [{ name: user, user: { 'client-certificate': certificate, 'client-key': key } }],
      contexts: [{ name: cluster, context: { cluster, user } }],
      'current-context': cluster,
    };
    return `# ${headLine(file)}\n${stringify(content, { lineWidth: 0 })}`;
  },
};

// Lines of a hosts file (hosts(5)): for a machine that has to reach the cluster without any DNS.

export const HOSTS: ExportFormat = {
  about: 'a block of /etc/hosts, for a machine without DNS',
  text: hostsText,
};

/** A marked block, so that the next export can take its place. */
export function hostsText({ file, nowMs }: Pick<ExportSite, 'file' | 'nowMs'>): string {
  return textOf([
    '# outpost-dns begin',
    `# ${headLine(file)}`,
    '# such lines win over DNS and are never refreshed: remove them after the outage',
    ...file.content.flatMap((record) => hostLines(record, nowMs)),
    '# outpost-dns end',
  ]);
}
