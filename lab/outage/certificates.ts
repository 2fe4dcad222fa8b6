/** The cluster's own authority, the API server's certificate and a client's, made for each run. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from '../commands.ts';

export interface Credentials {
  readonly folder: string;
  readonly ca: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
  readonly kubeconfig: string;
}

export async function makeCredentials(folder: string, endpoint: string): Promise<Credentials> {
  await mkdir(folder, { recursive: true });
  const openssl = (...args: string[]) => must(['openssl', ...args], { cwd: folder });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  await openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=lab authority');
  const issue = async (name: string, subject: string, ...more: string[]) =>
    openssl(
      ...['req', '-x509', ...key, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-subj', subject],
      ...['-keyout', `${name}.key`, '-out', `${name}.crt`, '-addext', 'basicConstraints=critical,CA:FALSE'],
      ...more,
    );
  await issue('server', '/CN=kube-apiserver', '-addext', `subjectAltName=DNS:${endpoint}`);
  await issue('client', '/O=system:masters/CN=lab', '-addext', 'extendedKeyUsage=clientAuth');
  const path = (name: string) => join(folder, name);
  const kubeconfig = path('kubeconfig');
  await writeFile(
    kubeconfig,
    `apiVersion: v1
kind: Config
current-context: lab
contexts: [{ name: lab, context: { cluster: lab, user: lab } }]
clusters: [{ name: lab, cluster: { server: 'https://${endpoint}', certificate-authority: ${path('ca.crt')} } }]
users: [{ name: lab, user: { client-certificate: ${path('client.crt')}, client-key: ${path('client.key')} } }]
`,
  );
  return {
    folder,
    ca: path('ca.crt'),
    clientCertificate: path('client.crt'),
    clientKey: path('client.key'),
    kubeconfig,
  };
}
