/** A kubeconfig with the endpoint's name and a client certificate: IAM (`aws eks get-token`) needs AWS, a certificate does not. */
import { stringify } from 'yaml';
import { type ExportFormat, type ExportRefusal, type ExportSite, headLine } from './format.ts';

export const KUBECONFIG: ExportFormat = {
  about: 'a kubeconfig with a client certificate, which works without AWS',
  ofOneCluster: true,
  text: kubeconfigText,
};

function kubeconfigText(site: ExportSite): string | ExportRefusal {
  const { cluster: record, identity } = site;
  const { cluster, endpoint, details } = record;
  const { certificate, key, ca } = identity;
  if (certificate === undefined || key === undefined) {
    return {
      error: 'no client certificate is named',
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
  return `# ${headLine(site)}\n${stringify(content, { lineWidth: 0 })}`;
}
