/** Reads the text of a kubeconfig: its current context, and what it says of server and user. It opens no file. */
import { dirname, resolve } from 'node:path';
import * as v from 'valibot';
import { type Document, LineCounter, parseDocument } from 'yaml';
import type { SourceError } from '../../records/observation.ts';
import { attemptRead, flag, list, object, text } from '../../runtime/forms.ts';
import { noCredentials } from '../aws/failure.ts';

/** A text in the kubeconfig itself, or in another file. */
export type Material =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string };

/** What the identity of this server is made of. */
export interface Kubeconfig {
  readonly port: number;
  /** PEM. */
  readonly certificateAuthority: Material | undefined;
  /** PEM; with its key, or not at all. */
  readonly certificate: { readonly certificate: Material; readonly key: Material } | undefined;
  readonly token: Material | undefined;
}

/** A text, or nothing: a key without a value is null. */
const entry = v.nullish(text);

const KUBECONFIG = object({
  'current-context': entry,
  contexts: v.nullish(list(object({ name: text, context: object({ cluster: text, user: text }) }))),
  clusters: v.nullish(
    list(
      object({
        name: text,
        cluster: object({
          server: entry,
          'certificate-authority': entry,
          'certificate-authority-data': entry,
          'insecure-skip-tls-verify': v.nullish(flag),
        }),
      }),
    ),
  ),
  users: v.nullish(
    list(
      object({
        name: text,
        user: object({
          'client-certificate': entry,
          'client-certificate-data': entry,
          'client-key': entry,
          'client-key-data': entry,
          token: entry,
          tokenFile: entry,
          username: entry,
          exec: v.nullish(object({ command: entry, args: v.nullish(list(text)) })),
          'auth-provider': v.nullish(object({ name: entry })),
        }),
      }),
    ),
  ),
});

type Shape = v.InferOutput<typeof KUBECONFIG>;
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
  const lineCounter = new LineCounter();
  const options = { version: '1.2', schema: 'core', prettyErrors: false, logLevel: 'error' } as const;
  const document = parseDocument(content, { ...options, lineCounter });
  const [error] = document.errors;
  // the message of the parser would quote the file, and its secrets
  if (error !== undefined) throw unusable(`line ${lineCounter.linePos(error.pos[0]).line} is not YAML`);
  const data = valuesIn(document, unusable);
  if (data === null) throw unusable('it is empty');
  const read = attemptRead(KUBECONFIG, data);
  if (read.kind === 'ok') return read.content;
  if (read.place === '') throw unusable('it is not a map of keys, as a kubeconfig is');
  throw unusable(`"${read.place}" is not what a kubeconfig has there`);
}

/** What an alias stands for is asked only here, and its message would quote the file, too. */
function valuesIn(document: Document.Parsed, unusable: Unusable): unknown {
  try {
    return document.toJS();
  } catch {
    throw unusable('an alias in it cannot be resolved');
  }
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
    return `is known by running "${command}", which asks AWS or another service, and a cut may take that away: ${use}`;
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
  return port === '' ? 443 : Number(port);
}

export function serverOf({ server }: Cluster, unusable: (why: string) => Error): URL {
  const url = URL.parse(server ?? '');
  if (url?.protocol !== 'https:') throw unusable(`server "${server ?? ''}" is not an https address`);
  return url;
}
