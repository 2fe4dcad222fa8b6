/**
 * What the identity of this server is made of, as files or as texts, and how a part that is missing is reported. A file of its
 * own: the reader of a kubeconfig loads YAML and schemas, which most threads never need.
 */
import { redacted } from '../aws/failure.ts';
import { SourceError } from '../source-error.ts';

/** Of an address without a port. */
export const HTTPS_PORT = 443;

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

export function noCredentials(detail: string): SourceError {
  return new SourceError({ reason: 'no-credentials', reachedFarSide: false, detail: redacted(detail) });
}
