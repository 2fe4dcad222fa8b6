/**
 * User data of EC2 for a node that nodeadm sets up (Amazon Linux 2023): a script that writes a resolv.conf with the servers, and a
 * NodeConfig that gives it to kubelet. Without the search domain of the VPC no pod asks for `<name>.<region>.compute.internal`, as
 * AWS's guide on network disconnects advises.
 */
import MimeNode from 'nodemailer/lib/mime-node';
import { stringify } from 'yaml';
import { type ExportFormat, type ExportSite, headLine } from './format.ts';
import { resolvConfLines } from './resolv-conf.ts';

export const NODEADM: ExportFormat = {
  about: 'user data with a NodeConfig for nodeadm, as MIME multi-part',
  servers: 'of the site',
  needsPort53: true,
  ofOneCluster: true,
  text: nodeadmText,
};

/** The path in AWS's guide. */
const RESOLV_CONF_PATH = '/etc/kubernetes/resolv.conf';

async function nodeadmText(site: ExportSite): Promise<string> {
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
}

function script(site: ExportSite): string {
  const lines = [
    '#!/bin/bash',
    `# ${headLine(site)}`,
    'set -eu',
    'mkdir -p /etc/kubernetes',
    `cat >${RESOLV_CONF_PATH} <<'END'`,
    ...resolvConfLines(site),
    'END',
  ];
  return `${lines.join('\n')}\n`;
}

/** Without the service network the cluster is left out: nodeadm takes it from another NodeConfig, and joins the two. */
function nodeConfig({ cluster: record, serviceNetwork }: ExportSite): string {
  const { cluster, endpoint, details } = record;
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
