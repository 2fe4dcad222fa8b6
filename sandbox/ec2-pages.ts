import { createHash } from 'node:crypto';
import type { ApiContext, ApiRequest, Refusal } from './api.ts';
import { refusal } from './api.ts';

export interface Page<T> {
  readonly kind: 'page';
  readonly items: readonly T[];
  readonly nextToken: string | undefined;
}

/** What a NextToken remembers: EC2's are opaque, and good for the request that they were made for alone. */
interface Bookmark {
  readonly digest: string;
  readonly order: number;
  readonly offset: number;
}

const MIN_RESULTS = 5;
const MAX_RESULTS = 1000;

/** The page of `items` that the request is for. The order holds through one listing and differs between listings. */
export function pageOf<T>(
  items: readonly T[],
  request: ApiRequest,
  context: Pick<ApiContext, 'pageSize' | 'callNumber'>,
): Page<T> | Refusal {
  const asked = maxResults(request.parameters);
  if (typeof asked === 'object') return asked;
  const token = request.parameters.get('NextToken');
  const digest = requestDigest(request);
  const bookmark = token === null ? { digest, order: context.callNumber, offset: 0 } : readBookmark(token);
  if (bookmark === undefined || bookmark.digest !== digest) {
    return refusal(400, 'InvalidNextToken', 'The specified NextToken is not valid.');
  }
  if (token === null && context.pageSize === 0) {
    return { kind: 'page', items: [], nextToken: writeBookmark(bookmark) };
  }
  const size = Math.min(asked ?? MAX_RESULTS, context.pageSize || MAX_RESULTS);
  const end = bookmark.offset + size;
  return {
    kind: 'page',
    items: inOrder(items, bookmark.order).slice(bookmark.offset, end),
    nextToken: end < items.length ? writeBookmark({ ...bookmark, offset: end }) : undefined,
  };
}

function maxResults(parameters: URLSearchParams): number | undefined | Refusal {
  const text = parameters.get('MaxResults');
  if (text === null) return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= MIN_RESULTS && count <= MAX_RESULTS) return count;
  return refusal(
    400,
    'InvalidParameterValue',
    `Value ( ${text} ) for parameter maxResults is invalid. Expecting a value between ${MIN_RESULTS} and ${MAX_RESULTS}.`,
  );
}

/** Turned round and turned back to front by the number, so that no caller can lean on one order. */
function inOrder<T>(items: readonly T[], order: number): readonly T[] {
  const turn = items.length === 0 ? 0 : order % items.length;
  const turned = [...items.slice(turn), ...items.slice(0, turn)];
  return order % 2 === 0 ? turned : turned.reverse();
}

function requestDigest({ region, operation, parameters }: ApiRequest): string {
  const kept = [...parameters].filter(([name]) => name !== 'NextToken').map((pair) => pair.join('='));
  return createHash('sha256')
    .update([region, operation, ...kept.sort()].join('&'))
    .digest('base64url')
    .slice(0, 16);
}

function writeBookmark({ digest, order, offset }: Bookmark): string {
  return Buffer.from([digest, order, offset].join(' ')).toString('base64url');
}

function readBookmark(token: string): Bookmark | undefined {
  const [digest, order, offset] = Buffer.from(token, 'base64url').toString().split(' ');
  const [orderNumber, offsetNumber] = [Number(order), Number(offset)];
  if (digest === undefined || !Number.isInteger(orderNumber) || !Number.isInteger(offsetNumber))
    return undefined;
  return { digest, order: orderNumber, offset: offsetNumber };
}
