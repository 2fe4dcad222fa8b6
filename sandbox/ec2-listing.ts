import { createHash } from 'node:crypto';
import { type ApiContext, type ApiRequest, type Refusal, refusal } from './api.ts';

export interface Filter {
  readonly name: string;
  readonly values: readonly string[];
}

/** The values by which an item can be found under a filter's name; `undefined`: EC2 has no such filter. */
export type FilterFields<T> = (item: T, filterName: string) => readonly string[] | undefined;

const MAX_VALUES = 200; // of all filters of one call together

/** Reads `Filter.N.Name` and `Filter.N.Value.M`, in whatever order they come. */
export function readFilters(parameters: URLSearchParams): readonly Filter[] | Refusal {
  const filters = new Map<string, { name: string; values: string[] }>();
  for (const [key, value] of parameters) {
    const [, index, part] = /^Filter\.(\d+)\.(Name|Value\.\d+)$/.exec(key) ?? [];
    if (index === undefined || part === undefined) continue;
    const filter = filters.get(index) ?? { name: '', values: [] };
    if (part === 'Name') filter.name = value;
    else filter.values.push(value);
    filters.set(index, filter);
  }
  const found = [...filters.values()];
  const empty = found.find(({ values }) => values.length === 0);
  if (empty !== undefined) {
    return refusal(400, 'InvalidParameterValue', `The filter '${empty.name}' has no values`);
  }
  if (found.reduce((count, { values }) => count + values.length, 0) > MAX_VALUES) {
    return refusal(
      400,
      'FilterLimitExceeded',
      `The maximum number of filter values specified on a single call is ${MAX_VALUES}`,
    );
  }
  return found;
}

/** The items that every filter lets through. */
export function applyFilters<T>(
  items: readonly T[],
  filters: readonly Filter[],
  known: (filterName: string) => boolean,
  fields: FilterFields<T>,
): readonly T[] | Refusal {
  const unknown = filters.find(({ name }) => !known(name));
  if (unknown !== undefined) {
    return refusal(400, 'InvalidParameterValue', `The filter '${unknown.name}' is invalid`);
  }
  return items.filter((item) =>
    filters.every(({ name, values }) =>
      (fields(item, name) ?? []).some((field) => values.some((value) => matchesPattern(field, value))),
    ),
  );
}

/**
 * EC2's filter patterns: `*` stands for any characters or none, `?` for one or none, a backslash makes
 * the next character a plain one. Case counts.
 */
export function matchesPattern(text: string, pattern: string): boolean {
  let expression = '';
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at] ?? '';
    if (character === '\\' && at + 1 < pattern.length) expression += literal(pattern[++at] ?? '');
    else if (character === '*') expression += '.*';
    else if (character === '?') expression += '.?';
    else expression += literal(character);
  }
  return new RegExp(`^${expression}$`, 's').test(text);
}

function literal(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&');
}

export interface Page<T> {
  readonly kind: 'page';
  readonly items: readonly T[];
  readonly nextToken: string | undefined;
}

/** The content of a NextToken. EC2's tokens are opaque, and valid only for the request that they were made for. */
interface Bookmark {
  readonly digest: string;
  readonly order: number;
  readonly offset: number;
}

const MIN_RESULTS = 5;
const MAX_RESULTS = 1000;

/** The page of `items` that the request asks for. The order stays through one listing and differs between listings. */
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

/** Rotated and reversed by the number, so that no caller can rely on one order. */
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
