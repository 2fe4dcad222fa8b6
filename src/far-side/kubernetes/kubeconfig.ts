/**
 * Reads a kubeconfig for `outpost-dns check`: which server it names, how its user is known, and whether the API server accepts
 * the user. One request is sent, `GET /api`, which changes nothing and which every user may send who is known to the server.
 */
import { isIP } from 'node:net';
import { type LocalFiles, whyUnread } from '../local-files.ts';
import { SourceError } from '../source-error.ts';
import { getFromApi, type KubernetesIdentity, readIdentity } from './identity.ts';
import { currentContext, serverOf } from './kubeconfig-text.ts';

export interface KubeconfigRequest {
  readonly path: string;
  /** The authority of each cluster that this server knows, base64 of PEM, by the name of its endpoint. */
  readonly authorities: Readonly<Record<string, string>>;
  /** The addresses of each endpoint that this server knows. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
}

export type KubeconfigFacts =
  | { readonly kind: 'unusable'; readonly detail: string }
  | {
      readonly kind: 'read';
      /** The name or address of the API server. */
      readonly host: string;
      readonly isAddress: boolean;
      /** The name of the cluster in the kubeconfig; `aws eks update-kubeconfig` writes the ARN of the cluster. */
      readonly cluster: string;
      readonly user: string;
      /** The command that makes a token, with its arguments. */
      readonly exec?: readonly string[];
      readonly certificateEndsMs?: number;
      /** What the API server said; absent where it was not asked. */
      readonly answer?:
        | { readonly kind: 'accepted' }
        /** The server answered, and does not accept this user. */
        | { readonly kind: 'refused'; readonly detail: string }
        | { readonly kind: 'failed'; readonly detail: string };
    };

/** Never rejects. */
export async function inspectKubeconfig(
  request: KubeconfigRequest,
  files: LocalFiles,
  signal: AbortSignal,
): Promise<KubeconfigFacts> {
  const { path } = request;
  try {
    const text = await files.text(path).catch((error: unknown) => {
      throw new Error(`reading "${path}" failed: ${whyUnread(error)}`);
    });
    const { cluster, clusterName, user, userName } = currentContext(text, path);
    const { hostname } = serverOf(cluster, (why) => new Error(why));
    const host = hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
    const isAddress = isIP(host) !== 0;
    const common = { kind: 'read', host, isAddress, cluster: clusterName, user: userName } as const;
    const { exec } = user;
    if (exec) return { ...common, exec: [exec.command ?? '', ...(exec.args ?? [])] };
    const identity = await readIdentity(
      { kind: 'kubeconfig', kubeconfig: path },
      request.authorities[host],
      files,
    );
    const ends = identity.certificateEndsMs;
    return {
      ...common,
      ...(ends === undefined ? {} : { certificateEndsMs: ends }),
      ...(isAddress ? {} : await answerOf(host, request.addresses[host] ?? [], identity, signal)),
    };
  } catch (error) {
    return { kind: 'unusable', detail: error instanceof Error ? error.message : String(error) };
  }
}

/** The first answer of the addresses; a failure where none answers. */
async function answerOf(
  serverName: string,
  addresses: readonly string[],
  identity: KubernetesIdentity,
  signal: AbortSignal,
) {
  const failures: string[] = [];
  // a name that this server does not know is resolved by the resolver of this host
  for (const address of addresses.length > 0 ? addresses : [serverName]) {
    try {
      const { status } = await getFromApi({ address, serverName, identity }, '/api', signal);
      if (status === 200) return { answer: { kind: 'accepted' } } as const;
      const detail = `the api server at ${address} answered ${status}`;
      return { answer: { kind: status === 401 || status === 403 ? 'refused' : 'failed', detail } } as const;
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      const isRefusal = error.code === 'denied' || error.code === 'expired-credentials';
      if (isRefusal) return { answer: { kind: 'refused', detail: error.message } } as const;
      failures.push(error.message);
    }
  }
  return { answer: { kind: 'failed', detail: failures.join('; ') } } as const;
}
