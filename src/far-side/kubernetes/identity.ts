/**
 * How this server is known to the API server, read from its files at each look: certificates and tokens are rotated
 * under a running process. Nothing that is wrong with a file is told with what stands in it.
 */
import { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { redacted } from '../aws/failure.ts';
import { type LocalFiles, whyUnread } from '../local-files.ts';
import { SourceError } from '../source-error.ts';
import { type Kubeconfig, type Material, readKubeconfig } from './kubeconfig.ts';

/** Paths of files. */
export type KubernetesAccess =
  | { readonly kind: 'kubeconfig'; readonly kubeconfig: string }
  | {
      readonly kind: 'certificate';
      readonly certificate: string;
      readonly key: string;
      /** Left out: the authority that DescribeCluster told. */
      readonly ca?: string;
    };

export interface KubernetesIdentity {
  readonly port: number;
  readonly secureContext: SecureContext;
  /** The value of the header, where there is a token. */
  readonly authorization: string | undefined;
  /** Of the client certificate, wall ms; undefined without one. */
  readonly certificateEndsMs: number | undefined;
}

const HTTPS_PORT = 443;

/** `authority` is the cluster's own certificate authority, base64 of PEM, where known. Throws SourceError `no-credentials`. */
export async function readIdentity(
  access: KubernetesAccess,
  authority: string | undefined,
  files: LocalFiles,
): Promise<KubernetesIdentity> {
  const read = (material: Material) => textOf(material, files);
  const described = await describe(access, files);
  const remembered: Material | undefined =
    authority === undefined
      ? undefined
      : { kind: 'text', text: Buffer.from(authority, 'base64').toString('utf8') };
  const ca = described.certificateAuthority ?? remembered;
  // the machine's own authorities never sign for a cluster, and trusting them would let others tell the addresses
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

async function describe(access: KubernetesAccess, files: LocalFiles): Promise<Kubeconfig> {
  if (access.kind === 'kubeconfig') {
    const path = access.kubeconfig;
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

async function textOf(material: Material, files: LocalFiles): Promise<string> {
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
    new X509Certificate(pem.ca); // throws on what is none, where the context would trust nobody without a word
    return createSecureContext(pem);
  } catch (error) {
    // between two files of a rotation certificate and key do not match: the next look finds them whole
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

function noCredentials(detail: string): SourceError {
  return new SourceError({ reason: 'no-credentials', reachedFarSide: false, detail: redacted(detail) });
}
