/**
 * The identity of this server towards the API server, read from its files at each poll: certificates and tokens are rotated
 * while the process runs. No message quotes the content of a file.
 */
import { X509Certificate } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import { parse } from 'yaml';
import * as z from 'zod';
import { redacted } from '../aws/failure.ts';
import { type LocalFiles, whyUnread } from '../local-files.ts';
import { SourceError } from '../source-error.ts';

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

const HTTPS_PORT = 443;

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

function noCredentials(detail: string): SourceError {
  return new SourceError({ reason: 'no-credentials', reachedFarSide: false, detail: redacted(detail) });
}

/** A text in the kubeconfig itself, or in another file. */
export type Material =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string };

export interface Kubeconfig {
  readonly port: number;
  /** PEM. */
  readonly certificateAuthority: Material | undefined;
  /** PEM; with its key, or not at all. */
  readonly certificate: { readonly certificate: Material; readonly key: Material } | undefined;
  readonly token: Material | undefined;
}

const text = z.string().nullish();

const KUBECONFIG = z.object({
  'current-context': text,
  contexts: z
    .array(z.object({ name: z.string(), context: z.object({ cluster: z.string(), user: z.string() }) }))
    .nullish(),
  clusters: z
    .array(
      z.object({
        name: z.string(),
        cluster: z.object({
          server: text,
          'certificate-authority': text,
          'certificate-authority-data': text,
          'insecure-skip-tls-verify': z.boolean().nullish(),
        }),
      }),
    )
    .nullish(),
  users: z
    .array(
      z.object({
        name: z.string(),
        user: z.object({
          'client-certificate': text,
          'client-certificate-data': text,
          'client-key': text,
          'client-key-data': text,
          token: text,
          tokenFile: text,
          username: text,
          exec: z.object({ command: text, args: z.array(z.string()).nullish() }).nullish(),
          'auth-provider': z.object({ name: text }).nullish(),
        }),
      }),
    )
    .nullish(),
});

type Shape = z.output<typeof KUBECONFIG>;
type Cluster = NonNullable<Shape['clusters']>[number]['cluster'];
type User = NonNullable<Shape['users']>[number]['user'];

/** Cluster and user of the current context. Throws SourceError `no-credentials` where the file has none. */
export function currentContext(content: string, path: string) {
  const unusable = (why: string) => noCredentials(`reading kubeconfig "${path}" failed: ${why}`);
  const shape = shapeOf(content, unusable);
  const name = shape['current-context'];
  if (!name) throw unusable('it has no current-context');
  const context = shape.contexts?.find((one) => one.name === name)?.context;
  if (context === undefined) throw unusable(`context "${name}" is not in it`);
  const cluster = shape.clusters?.find((one) => one.name === context.cluster)?.cluster;
  if (cluster === undefined) throw unusable(`cluster "${context.cluster}" is not in it`);
  const user = shape.users?.find((one) => one.name === context.user)?.user;
  if (user === undefined) throw unusable(`user "${context.user}" is not in it`);
  return { cluster, clusterName: context.cluster, user, userName: context.user, unusable };
}

/** Reads the text of the file at `path`. Throws SourceError `no-credentials` where it does not serve. */
export function readKubeconfig(content: string, path: string): Kubeconfig {
  const { cluster, user, userName, unusable } = currentContext(content, path);
  if (cluster['insecure-skip-tls-verify']) {
    throw unusable('insecure-skip-tls-verify is not supported: any server could then name the addresses');
  }
  const identity = identityOf(user, path, unusable);
  if (identity.certificate === undefined && identity.token === undefined) {
    throw unusable(`user "${userName}" ${whyUnknown(user)}`);
  }
  const authority = material(cluster['certificate-authority-data'], cluster['certificate-authority'], path);
  return { port: portOf(cluster, unusable), certificateAuthority: authority, ...identity };
}

type Unusable = (why: string) => SourceError;

function shapeOf(content: string, unusable: Unusable): Shape {
  let data: unknown;
  try {
    data = parse(content, { version: '1.2', schema: 'core', prettyErrors: false, logLevel: 'error' });
  } catch {
    throw unusable('it is not YAML'); // the message of the parser would quote the file, and its secrets
  }
  const shape = KUBECONFIG.safeParse(data);
  if (shape.success) return shape.data;
  const [issue] = shape.error.issues;
  throw unusable(`"${issue?.path.join('.')}" is not what a kubeconfig has there`);
}

/** As with kubectl, data in the kubeconfig wins over a file; of tokens the file wins. */
function identityOf(user: User, path: string, unusable: Unusable): Pick<Kubeconfig, 'certificate' | 'token'> {
  const certificate = material(user['client-certificate-data'], user['client-certificate'], path);
  const key = material(user['client-key-data'], user['client-key'], path);
  if ((certificate === undefined) !== (key === undefined)) {
    throw unusable(`client-${certificate === undefined ? 'certificate' : 'key'} is missing`);
  }
  const token: Material | undefined = user.tokenFile
    ? { kind: 'file', path: resolve(dirname(path), user.tokenFile) }
    : user.token
      ? { kind: 'text', text: user.token }
      : undefined;
  return {
    certificate: certificate === undefined || key === undefined ? undefined : { certificate, key },
    token,
  };
}

function whyUnknown(user: User): string {
  const use = 'use a client certificate or a token';
  if (user.exec) {
    const command = [user.exec.command, ...(user.exec.args ?? [])].join(' ');
    return `is known by running "${command}": aws eks get-token and its like need STS, which a cut takes away: ${use}`;
  }
  if (user['auth-provider']) return `is known by auth-provider "${user['auth-provider'].name}": ${use}`;
  if (user.username) return `is known by a password, which API servers no longer take: ${use}`;
  return `has neither a client certificate nor a token`;
}

/** Relative paths start from the kubeconfig, as with kubectl. */
function material(
  base64: string | null | undefined,
  file: string | null | undefined,
  path: string,
): Material | undefined {
  if (base64) return { kind: 'text', text: Buffer.from(base64, 'base64').toString('utf8') };
  return file ? { kind: 'file', path: resolve(dirname(path), file) } : undefined;
}

function portOf(cluster: Cluster, unusable: Unusable): number {
  const { port } = serverOf(cluster, unusable);
  return port === '' ? HTTPS_PORT : Number(port);
}

export function serverOf({ server }: Cluster, unusable: (why: string) => Error): URL {
  const url = URL.parse(server ?? '');
  if (url?.protocol !== 'https:') throw unusable(`server "${server ?? ''}" is not an https address`);
  return url;
}
