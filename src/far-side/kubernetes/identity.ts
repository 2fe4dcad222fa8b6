/**
 * The identity of this server towards the API server, read from its files at each poll: certificates and tokens are rotated
 * while the process runs. No message quotes the content of a file.
 */
import { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { type LocalFiles, whyUnread } from '../local-files.ts';
import { HTTPS_PORT, type Kubeconfig, type Material, noCredentials } from './material.ts';

/** Paths of files. */
export type KubernetesAccess =
  | { readonly kind: 'kubeconfig'; readonly kubeconfig: string }
  | {
      readonly kind: 'certificate';
      readonly certificate: string;
      readonly key: string;
      /** Left out: the authority from DescribeCluster. */
      readonly ca?: string;
    };

export interface KubernetesIdentity {
  readonly port: number;
  readonly secureContext: SecureContext;
  /** The value of the header, where there is a token. */
  readonly authorization: string | undefined;
  /** The end of the client certificate, wall ms; undefined without a client certificate. */
  readonly certificateEndsMs: number | undefined;
}

/** `authority` is the cluster's own certificate authority, base64 of PEM, where known. Throws SourceError `no-credentials`. */
export async function readIdentity(
  access: KubernetesAccess,
  authority: string | undefined,
  files: Pick<LocalFiles, 'text'>,
): Promise<KubernetesIdentity> {
  const read = (material: Material) => textOf(material, files);
  const described = await describe(access, files);
  const remembered: Material | undefined =
    authority === undefined
      ? undefined
      : { kind: 'text', text: Buffer.from(authority, 'base64').toString('utf8') };
  const ca = described.certificateAuthority ?? remembered;
  // public authorities never sign for a cluster: trusting them would let others name the addresses
  if (ca === undefined) {
    throw noCredentials(
      'the certificate authority of the cluster is not known: name its file, or allow eks:DescribeCluster',
    );
  }
  const { certificate, token } = described;
  const pem = {
    ca: await read(ca),
    ...(certificate === undefined
      ? {}
      : { cert: await read(certificate.certificate), key: await read(certificate.key) }),
  };
  return {
    port: described.port,
    secureContext: contextOf(pem),
    authorization: token === undefined ? undefined : bearer(await read(token)),
    certificateEndsMs: pem.cert === undefined ? undefined : endOf(pem.cert),
  };
}

/** The text in PEM of the authority in the operator's own files; empty where they name none. Throws SourceError. */
export async function authorityOf(
  access: KubernetesAccess,
  files: Pick<LocalFiles, 'text'>,
): Promise<string> {
  const { certificateAuthority } = await describe(access, files);
  return certificateAuthority === undefined ? '' : textOf(certificateAuthority, files);
}

/** When the client certificate ends, wall ms; undefined without a client certificate. Throws where a file cannot be read. */
export async function certificateEnd(
  access: KubernetesAccess,
  files: Pick<LocalFiles, 'text'>,
): Promise<number | undefined> {
  const { certificate } = await describe(access, files);
  return certificate === undefined ? undefined : endOf(await textOf(certificate.certificate, files));
}

async function describe(access: KubernetesAccess, files: Pick<LocalFiles, 'text'>): Promise<Kubeconfig> {
  if (access.kind === 'kubeconfig') {
    const path = access.kubeconfig;
    // the parser of YAML and the schema take 3 MiB: a thread without a kubeconfig does not load them
    const { readKubeconfig } = await import('./kubeconfig-text.ts');
    return readKubeconfig(await textOf({ kind: 'file', path }, files), path);
  }
  const { certificate, key, ca } = access;
  return {
    port: HTTPS_PORT,
    certificateAuthority: ca === undefined ? undefined : { kind: 'file', path: ca },
    certificate: { certificate: { kind: 'file', path: certificate }, key: { kind: 'file', path: key } },
    token: undefined,
  };
}

async function textOf(material: Material, files: Pick<LocalFiles, 'text'>): Promise<string> {
  if (material.kind === 'text') return material.text;
  const { path } = material;
  return files.text(path).catch((error: unknown) => {
    throw noCredentials(`reading "${path}" failed: ${whyUnread(error)}`);
  });
}

interface Pem {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

function contextOf(pem: Pem): SecureContext {
  try {
    new X509Certificate(pem.ca); // throws on a bad certificate, with which the context would trust no server
    return createSecureContext(pem);
  } catch (error) {
    // in the middle of a rotation certificate and key do not match: the next poll finds the new ones
    throw noCredentials(`certificate, key or certificate authority cannot be used: ${whyUnread(error)}`);
  }
}

function endOf(certificate: string): number {
  return new X509Certificate(certificate).validToDate.getTime();
}

/** RFC 6750 section 2.1; a header of anything else would be refused by node with the token in the text. */
function bearer(token: string): string {
  const trimmed = token.trim();
  if (!/^[\x21-\x7e]+$/.test(trimmed)) throw noCredentials('the token is empty, or not one word');
  return `Bearer ${trimmed}`;
}
