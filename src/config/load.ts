/**
 * The configuration: a YAML file and environment variables to one frozen object of plain data, or all their faults at once.
 *
 * Read, lay the environment over it, validate each key, check the keys against each other, normalise. The room knows what
 * an operator may write and how to say what is wrong with it; it refuses to know who uses a value, and nothing here starts,
 * listens or asks a network. File, environment and own addresses are arguments. An error is fatal at start; at a reload it
 * leaves the running configuration in place. Names and records follow RFC 1035; the rest is no matter of an RFC.
 */

import type { SourceName } from '../records/sources.ts';
import { check, type Draft } from './checks/checks.ts';
import type { Config } from './config.ts';
import { draftOf } from './draft.ts';
import { applyOverrides, type Environment, type Override, readVariables } from './environment.ts';
import { ConfigError, type Fault, type Finding, type Path, pathText, quoted } from './fault.ts';
import { isMap, valueAt } from './key.ts';
import { canonicalAddress } from './kinds/address.ts';
import { normalise } from './normalise.ts';
import { type OutboundReading, readOutbound } from './outbound.ts';
import { schema } from './schema.ts';
import { boundedText, type ReadFile, readSourceText, type SourceText } from './source-text.ts';
import { validate } from './validate.ts';
import { readYaml, type TreeFault, type YamlTree } from './yaml-tree.ts';

export interface LoadRequest {
  /** Path of the file; without one, and without `text`, the environment alone counts. */
  readonly file?: string | undefined;
  /** Whether somebody named the file: then it must exist. */
  readonly explicit: boolean;
  /** The file's text where it is at hand already; `file` then only names it in faults. */
  readonly text?: string | undefined;
  readonly environment: Environment;
  /** Addresses of this machine's interfaces, to recognise an upstream that is this server. */
  readonly ownAddresses: readonly string[];
  readonly readFile: ReadFile;
}

/** @throws {ConfigError} with every fault that could be found, and nothing else. */
export async function loadConfig(request: LoadRequest): Promise<Config> {
  const variables = readVariables(request.environment);
  const source = await sourceOf(request, variables.overrides.length > 0);
  const file = nameOf(request, source);
  if (!('text' in source)) {
    const { message, mend } = source;
    throw new ConfigError('unreadable', [{ file, path: '', message, mend }, ...variables.faults]);
  }
  const tree = source.text === undefined ? undefined : readTree(source.text);
  const treeFaults = (tree?.faults ?? []).map((one) => treeFault(file, one));
  if (tree?.isWhole === false) throw new ConfigError('malformed', [...treeFaults, ...variables.faults]);
  const applied = applyOverrides(tree?.data, variables.overrides);
  const outbound = readOutbound(request.environment);
  const { config, findings } = validated(applied.data, request.ownAddresses, outbound);
  const places = { file, tree, overrides: variables.overrides, data: applied.data };
  const faults = [
    ...treeFaults,
    ...findings.map((one) => located(one, places)),
    ...variables.faults,
    ...applied.faults,
    ...(config === undefined || asksAws(config) ? outbound.faults : []),
  ];
  if (config === undefined || faults.length > 0) throw new ConfigError('invalid', faults.sort(byPlace));
  return config;
}

/** What faults without a variable are said to be in. */
function nameOf(request: LoadRequest, source: Source): string {
  const isFileless = 'text' in source ? source.text === undefined : request.file === undefined;
  return isFileless ? 'environment' : (request.file ?? 'configuration');
}

type Source = SourceText | { readonly text: undefined };

/** No text at all is well where the environment may do without a file. */
async function sourceOf(request: LoadRequest, isOverridden: boolean): Promise<Source> {
  if (request.text !== undefined) return boundedText(request.text);
  if (request.file === undefined) {
    if (isOverridden) return { text: undefined };
    return {
      absent: true,
      message: 'no file and no variables',
      mend: 'name a file with --config, or set OUTPOST_DNS_ variables',
    };
  }
  const source = await readSourceText(request.file, request.readFile);
  const mayBeAbsent = isOverridden && !request.explicit;
  return 'absent' in source && source.absent && mayBeAbsent ? { text: undefined } : source;
}

function readTree(text: string): YamlTree {
  const tree = readYaml(text);
  if (!tree.isWhole || isMap(tree.data)) return tree;
  const isEmpty = tree.data === null;
  const fault: TreeFault = {
    ...(isEmpty ? {} : { line: 1, column: 1 }),
    path: [],
    message: isEmpty ? 'the file holds no keys' : 'the file is not a map of keys',
    mend: 'write at least clusters and upstreams into it',
  };
  return { ...tree, isWhole: false, faults: [...tree.faults, fault] };
}

const SOURCES_OF_AWS: readonly SourceName[] = ['interfaces', 'cluster', 'route53'];

/** Where nothing is asked of AWS, a variable that is meant for other programs must not keep this one from starting. */
function asksAws({ clusters }: Config): boolean {
  return clusters.some(({ sources }) => sources.some((source) => SOURCES_OF_AWS.includes(source)));
}

function validated(
  data: unknown,
  ownAddresses: readonly string[],
  { outbound }: OutboundReading,
): { config?: Config; findings: readonly Finding[] } {
  const { settings, findings, meant } = validate(data);
  const draft: Draft = settings ?? draftOf(schema, data) ?? {};
  const crossed = check({
    draft,
    isFaulty: faultyPaths([...findings.map((one) => one.path), ...meant]),
    isWritten: (path) => valueAt(data, path) !== undefined,
    ownAddresses: new Set(ownAddresses.flatMap((text) => canonicalAddress(text) ?? [])),
  });
  const all = [...findings, ...crossed];
  return settings === undefined || all.length > 0
    ? { findings: all }
    : { config: normalise(settings, outbound), findings: all };
}

function faultyPaths(paths: readonly Path[]): (path: Path) => boolean {
  const exact = new Set(paths.map(pathText));
  const above = new Set(paths.flatMap((path) => path.map((_, index) => pathText(path.slice(0, index)))));
  return (path) => {
    if (above.has(pathText(path))) return true;
    return path.some((_, index) => exact.has(pathText(path.slice(0, index + 1))));
  };
}

interface Places {
  readonly file: string;
  readonly tree: YamlTree | undefined;
  readonly overrides: readonly Override[];
  readonly data: unknown;
}

function treeFault(file: string, { path, ...rest }: TreeFault): Fault {
  return { file, path: pathText(path), ...rest };
}

function located(finding: Finding, places: Places): Fault {
  const { path, message, mend } = finding;
  const value = finding.isKey ? undefined : quoted(valueAt(places.data, path));
  return {
    ...placeOf(path, places, finding.isKey),
    path: pathText(path),
    ...(value === undefined ? {} : { value }),
    message,
    mend,
  };
}

/** A variable where one has set the value; otherwise the key's line, or the line of what the key is missing from. */
function placeOf(
  path: Path,
  places: Places,
  isKey = false,
): Pick<Fault, 'file' | 'line' | 'column' | 'variable'> {
  const { file, tree, overrides } = places;
  const setter = overrides.find((one) => isPrefix(one.path, path));
  if (setter !== undefined) return { file: 'environment', variable: setter.variable };
  const position = isKey ? tree?.keyPosition(path) : tree?.valuePosition(path);
  if (position !== undefined) return { file, ...position };
  const below = path.length === 0 ? undefined : overrides.find((one) => isPrefix(path, one.path));
  if (below !== undefined) return { file: 'environment', variable: below.variable };
  return path.length === 0 ? { file } : placeOf(path.slice(0, -1), places);
}

function isPrefix(prefix: Path, path: Path): boolean {
  return prefix.length <= path.length && prefix.every((step, index) => step === path[index]);
}

function byPlace(one: Fault, other: Fault): number {
  if ((one.variable === undefined) !== (other.variable === undefined))
    return one.variable === undefined ? -1 : 1;
  return (one.line ?? 0) - (other.line ?? 0) || (one.column ?? 0) - (other.column ?? 0);
}
