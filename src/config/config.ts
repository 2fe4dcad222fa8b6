/**
 * The configuration as a whole: its sections, the rules between them, and its type, which follows from what is declared. A new key
 * is declared in the file of its section under `keys/`; the rooms find its value under the option named there.
 *
 * `loadConfig` makes a YAML file and environment variables into one frozen object of plain data, or into all their faults at once:
 * read the file, lay the environment over it, validate values and rules, turn settings into options. The room knows what an
 * operator may write and how to fix a fault of it. It starts nothing, opens no socket and asks no network: file, environment
 * and own addresses are arguments. An error is fatal at start; at a reload the running configuration stays in force.
 */

import { traitsOf } from '../records/sources.ts';
import { isMap, valueAt } from './declaration.ts';
import { applyOverrides, type Override, readVariables } from './environment.ts';
import { ConfigError, type Fault, type Finding, type Path, pathText, quoted, shortened } from './fault.ts';
import { distinctList, into, map, type OptionsOf, optionsOf, required, restartValues } from './key.ts';
import { clusters, refresh } from './keys/clusters.ts';
import { retain, retainedElsewhere } from './keys/retain.ts';
import {
  admin,
  adminApart,
  cache,
  clients,
  drill,
  forward,
  identity,
  limits,
  listen,
  log,
  state,
  upstreamsElsewhere,
} from './keys/server.ts';
import { zoneOptions, zones, zonesApartFromEndpoints } from './keys/zones.ts';
import { canonicalAddress } from './kinds/address.ts';
import { upstream } from './kinds/upstream.ts';
import { type OutboundConfig, readOutbound } from './outbound.ts';
import {
  boundedText,
  type Environment,
  frozen,
  type ReadFile,
  readSourceText,
  type SourceText,
} from './source-text.ts';
import { validate } from './validate.ts';
import { readYaml, type TreeFault, type YamlTree } from './yaml-file.ts';

export const schema = into(
  map(
    {
      clusters,
      upstreams: required(
        distinctList(upstream(), 1, 16),
        'servers that all other questions are forwarded to',
        ['10.0.0.2'],
        'serving/forwarder',
      ),
      listen,
      clients,
      zones,
      retain,
      refresh,
      forward,
      cache,
      limits,
      identity,
      admin,
      drill,
      state,
      log,
    },
    zonesApartFromEndpoints,
    retainedElsewhere,
    adminApart,
    upstreamsElsewhere,
  ),
  ({ zones, upstreams, ...others }) => ({ ...others, upstreams, zones: zoneOptions(zones, upstreams) }),
);

/** Checked and frozen, with units in the names of its options. */
export type LoadedConfig = OptionsOf<typeof schema> & {
  /** Settings that come only from the environment. */
  readonly outbound: OutboundConfig;
  /** By key, as JSON: what counts from the start of the process on, whatever a reload brings. */
  readonly untilRestart: Readonly<Record<string, string>>;
};
/** A server keeps the zones, of which there may be thousands, as octets (`JsonList`). */
export type Config = Omit<LoadedConfig, 'zones'> & { readonly zones: Iterable<ZoneConfig> };
export type ClusterConfig = Config['clusters'][number];
export type ZoneConfig = LoadedConfig['zones'][number];

export interface LoadRequest {
  /** Path of the file. Without a path and without `text`, only the environment counts. */
  readonly file?: string | undefined;
  /** Whether a person named the file: the file must then exist. */
  readonly explicit: boolean;
  /** The file's text where it is at hand already; `file` then only names it in faults. */
  readonly text?: string | undefined;
  readonly environment: Environment;
  /** Addresses of this machine's interfaces, to recognise an upstream that is this server. */
  readonly ownAddresses: readonly string[];
  readonly readFile: ReadFile;
}

/** @throws {ConfigError} with every fault that could be found, and nothing else. */
export async function loadConfig(request: LoadRequest): Promise<LoadedConfig> {
  const variables = readVariables(schema, request.environment);
  const source = await sourceOf(request, variables.overrides.length > 0);
  const file = nameOf(request, source);
  if (!('text' in source)) {
    const { message, fix } = source;
    throw new ConfigError('unreadable', [{ file, path: '', message, fix }, ...variables.faults]);
  }
  const tree = source.text === undefined ? undefined : readTree(source.text);
  const treeFaults = (tree?.faults ?? []).map((one) => treeFault(file, one));
  if (tree?.isWhole === false) throw new ConfigError('malformed', [...treeFaults, ...variables.faults]);
  const applied = applyOverrides(tree?.data, variables.overrides);
  const ownAddresses = new Set(request.ownAddresses.flatMap((text) => canonicalAddress(text) ?? []));
  const { settings, findings } = validate(schema, applied.data, ownAddresses);
  const { outbound, faults: outboundFaults } = readOutbound(request.environment);
  const config =
    settings &&
    frozen<LoadedConfig>({
      ...optionsOf(schema, settings),
      outbound,
      untilRestart: restartValues(schema, settings),
    });
  const places = { file, tree, overrides: variables.overrides, data: applied.data };
  const faults = [
    ...treeFaults,
    ...findings.map((finding) => located(finding, places)),
    ...variables.faults,
    ...applied.faults,
    ...(config === undefined || asksAws(config) ? outboundFaults : []),
  ];
  if (config === undefined || faults.length > 0) throw new ConfigError('invalid', faults.sort(byPlace));
  return config;
}

/** The place of faults that have no variable. */
function nameOf(request: LoadRequest, source: Source): string {
  const isFileless = 'text' in source ? source.text === undefined : request.file === undefined;
  return isFileless ? 'environment' : (request.file ?? 'configuration');
}

type Source = SourceText | { readonly text: undefined };

/** The environment can hold all settings. Then there is no file and no text, which is no fault. */
async function sourceOf(request: LoadRequest, isOverridden: boolean): Promise<Source> {
  if (request.text !== undefined) return boundedText(request.text);
  if (request.file === undefined) {
    if (isOverridden) return { text: undefined };
    return {
      absent: true,
      message: 'no file and no variables',
      fix: 'name a file with --config, or set OUTPOST_DNS_ variables',
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
    fix: 'write at least clusters and upstreams into it',
  };
  return { ...tree, isWhole: false, faults: [...tree.faults, fault] };
}

/** A site that asks nothing of AWS starts even if a proxy variable, which is meant for other programs, is faulty. */
function asksAws({ clusters }: Config): boolean {
  return clusters.some(({ sources }) => sources.some((source) => traitsOf(source).service !== undefined));
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
  const { path, message, fix } = finding;
  const found = finding.isKey ? undefined : valueAt(places.data, path);
  const place = { ...placeOf(path, places, finding.isKey), path: pathText(path) };
  const written =
    typeof found === 'number' && place.variable === undefined ? places.tree?.writtenNumber(path) : undefined;
  if (written === undefined)
    return { ...place, value: quoted(found), message, fix: (place.variable && plainFix(found, path)) ?? fix };
  return {
    ...place,
    value: shortened(written),
    message,
    fix: fix.replace(`"${found}"`, JSON.stringify(shortened(written))),
  };
}

/** The fix of numbers, addresses or networks in a variable, with spaces between them, in quotes, or as JSON. */
function plainFix(found: unknown, path: Path): string | undefined {
  if (typeof found !== 'string' || !/^[\s\d.:/a-f"[\]-]*[\s"][\s\d.:/a-f"[\]-]*$/.test(found))
    return undefined;
  const [first, ...others] = found
    .replace(/^\[|\]$|"/g, '')
    .split(/\s+/)
    .filter((item) => item !== '');
  if (first === undefined) return undefined;
  if (others.length === 0) return `write ${first}`;
  const isItem = typeof path.at(-1) === 'number';
  return isItem ? `write commas between the items: ${[first, ...others].join(',')}` : undefined;
}

/** Returns the variable that has set the value; otherwise the line of the key, or of the map that lacks the key. */
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
