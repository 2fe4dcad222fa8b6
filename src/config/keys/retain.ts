/** Declares the key for names that the operator retains: each name has a type, or else means the addresses of the name. */

import { TYPE, typeFromText, typeName } from '../../protocol/words/codes.ts';
import { isAtOrUnder } from '../../protocol/words/name.ts';
import { SPECIAL_NAMES } from '../../protocol/words/special-names.ts';
import { type Findings, type Items, joinedBy, type Place } from '../declaration.ts';
import { pathText } from '../fault.ts';
import {
  defaulted,
  flag,
  into,
  list,
  map,
  type OptionsOf,
  type Reading,
  required,
  textKind,
  textOrMap,
} from '../key.ts';
import { readDomainName } from '../kinds/text.ts';

/** A name to retain: one question for each type. */
interface RetainedName {
  /** In canonical form. */
  readonly name: string;
  /** Never empty. */
  readonly qtypes: readonly number[];
}

export interface RetainedQuestion {
  readonly name: string;
  readonly qtype: number;
  /** A denial or an empty answer never takes a good answer away. */
  readonly ignoreDenials?: true;
}

const ADDRESSES: readonly number[] = [TYPE.A, TYPE.AAAA];

const retainedName = () =>
  textKind(readRetainedName, {
    allowed:
      'a domain name (its A and AAAA are meant), or a name and a type, such as registry.example or "_ntp._udp.example SRV"',
  });

const entry = textOrMap(
  retainedName(),
  map({
    name: required(
      retainedName(),
      'the name, and a type where its addresses are not meant',
      'registry.example',
    ),
    ignoreDenials: defaulted(
      flag(),
      false,
      'whether a denial of the name, or an answer without such records, is ignored once there was a good answer',
    ),
  }),
);
type Entry = OptionsOf<typeof entry>;

export const retain = defaulted(
  into(joinedBy(list(entry, 0, 1000), [noQuestionTwice]), questionsOf),
  [],
  'names that are asked for on a schedule while an upstream answers, kept on disk, and answered without limit while none does, such as the local registry, the OIDC issuer, NTP; A or AAAA alone means both',
  { room: 'refresh/retained' },
);

/** Each question once. Clients ask for both types of address, and treat a failure of either as a failure of the name. */
function questionsOf(entries: readonly Entry[]): readonly RetainedQuestion[] {
  const withoutDenials = new Set(entries.filter(ignoresDenials).map((entry) => nameOf(entry).name));
  const questions = entries.map(nameOf).flatMap(({ name, qtypes }) => {
    const both = qtypes.some((qtype) => ADDRESSES.includes(qtype)) ? ADDRESSES : [];
    return [...both, ...qtypes].map((qtype): RetainedQuestion => {
      return withoutDenials.has(name) ? { name, qtype, ignoreDenials: true } : { name, qtype };
    });
  });
  return [...new Map(questions.map((question) => [questionText(question), question])).values()];
}

function ignoresDenials(entry: Entry): boolean {
  return 'ignoreDenials' in entry && entry.ignoreDenials;
}

function nameOf(entry: Entry): RetainedName {
  return 'qtypes' in entry ? entry : entry.name;
}

function questionText({ name, qtype }: RetainedQuestion): string {
  return `${name} ${typeName(qtype)}`;
}

function readRetainedName(text: string): Reading<RetainedName> {
  const [nameText = '', typeText, ...rest] = text.trim().split(/\s+/);
  if (rest.length > 0) return { message: 'more than a name and a type', fix: 'write each type on its own' };
  const name = readDomainName(nameText);
  if (!('value' in name)) return name;
  if (typeText === undefined) return { value: { name: name.value, qtypes: ADDRESSES } };
  const qtype = typeFromText(typeText);
  if (qtype === undefined) {
    return { message: `"${typeText}" is not a type`, fix: 'write one such as A, SRV or TYPE65' };
  }
  if (!isOfData(qtype)) {
    return {
      message: `nothing has records of type ${typeName(qtype)}`,
      fix: 'name each type that is wanted',
    };
  }
  return { value: { name: name.value, qtypes: [qtype] } };
}

/** RFC 6895 section 3.1: 0 and 128 to 255 are no types of data, and OPT belongs to the message. */
function isOfData(type: number): boolean {
  return type !== 0 && type !== TYPE.OPT && (type < 128 || type > 255);
}

function* noQuestionTwice(entries: Items<Entry>, { path }: Place): Findings {
  const first = new Map<string, number>();
  for (const [index, entry] of (entries ?? []).entries()) {
    if (entry === undefined) continue;
    const { name, qtypes } = nameOf(entry);
    const texts = qtypes.map((qtype) => questionText({ name, qtype }));
    const twice = texts.find((text) => first.has(text));
    for (const text of texts) if (!first.has(text)) first.set(text, index);
    if (twice === undefined) continue;
    const message = `${twice} is already retained by ${pathText([...path, first.get(twice) ?? 0])}`;
    yield { path: [...path, index], message, fix: 'remove one of the two' };
  }
}

interface Surroundings {
  readonly retain?: Items<Entry>;
  readonly clusters?: Items<{ readonly endpoint?: string | undefined }>;
  readonly zones?: Items<ZoneDraft>;
}

interface ZoneDraft {
  readonly name?: string | undefined;
  readonly answer?: unknown;
  readonly records?: unknown;
}

/** The kept answer of an endpoint, or of a name that is answered here, would never be used. */
export function* retainedElsewhere(draft: Surroundings, { path, isFaulty }: Place): Findings {
  for (const [index, entry] of (draft.retain ?? []).entries()) {
    if (entry === undefined) continue;
    const { name } = nameOf(entry);
    const at = [...path, 'retain', index];
    for (const { endpoint } of (draft.clusters ?? []).filter((cluster) => cluster !== undefined)) {
      if (endpoint === undefined || !isAtOrUnder(name, endpoint)) continue;
      const relation = endpoint === name ? 'is' : 'is below';
      yield {
        path: at,
        message: `${relation} the endpoint ${endpoint}, which is kept anyway`,
        fix: 'remove it',
      };
    }
    const found = answeredHere(name, draft.zones ?? [], isFaulty('zones'));
    if (found !== undefined) yield { path: at, ...found };
  }
}

function answeredHere(name: string, zones: NonNullable<Items<ZoneDraft>>, areZonesFaulty: boolean) {
  const zone = closest(
    zones.map((zone, index) => ({ ...zone, index })),
    name,
  );
  const special = closest(SPECIAL_NAMES, name);
  // of two rules for the same name the operator's rule wins, as in serving/local-zones
  if (special !== undefined && special.name.length > (zone?.name?.length ?? 0)) {
    if (areZonesFaulty) return undefined; // a zone that forwards the name may be among them
    return {
      message: `under ${special.name}, which is answered here (${special.because}), so no upstream is asked for it`,
      fix: `add a zone with forwardTo for ${special.name}, or for the part of it that your server has; or remove it`,
    };
  }
  if (zone === undefined || (zone.answer === undefined && zone.records === undefined)) return undefined;
  return {
    message: `answered by zones[${zone.index}], ${zone.name}, so no upstream is asked for it`,
    fix: 'remove it, or forward the zone',
  };
}

function closest<Rule extends { readonly name?: string | undefined }>(
  rules: readonly Rule[],
  name: string,
): Rule | undefined {
  const above = rules.filter((rule) => rule.name !== undefined && isAtOrUnder(name, rule.name));
  return above.sort((a, b) => (b.name?.length ?? 0) - (a.name?.length ?? 0))[0];
}
