/** What the operator retains: a name, with a type behind it where the addresses are not what is wanted. */

import * as z from 'zod';
import { TYPE, typeFromText, typeName } from '../../protocol/words/types.ts';
import { defaulted, flag, type Reading, required, textKind, textOrMap } from '../key.ts';
import { readDomainName } from './domain-name.ts';

export interface RetainedName {
  /** In canonical form. */
  readonly name: string;
  /** Never empty. */
  readonly qtypes: readonly number[];
  /** A denial or an empty answer never takes a good answer away. */
  readonly ignoreDenials?: true;
}

const ADDRESSES = [TYPE.A, TYPE.AAAA];

export function retainedName() {
  return textKind(readRetainedName, {
    allowed:
      'a domain name (its A and AAAA are meant), or a name and a type, such as registry.example or "_ntp._udp.example SRV"',
  });
}

/** A name alone, or with what holds for it. */
export function retainedEntry() {
  return textOrMap(
    retainedName(),
    z.strictObject({
      name: required(
        retainedName(),
        'the name, and a type where its addresses are not meant',
        'registry.example',
      ),
      ignoreDenials: defaulted(
        flag(),
        false,
        'whether an upstream that denies the name, or says that it has no such records, is never believed once there was a good answer',
      ),
    }),
  );
}

export type RetainedEntry = z.output<ReturnType<typeof retainedEntry>>;

export function retainedNameOf(entry: RetainedEntry): RetainedName {
  if ('qtypes' in entry) return entry;
  return entry.ignoreDenials ? { ...entry.name, ignoreDenials: true } : entry.name;
}

export function readRetainedName(text: string): Reading<RetainedName> {
  const [nameText = '', typeText, ...rest] = text.trim().split(/\s+/);
  if (rest.length > 0) return { message: 'more than a name and a type', mend: 'write each type on its own' };
  const name = readDomainName(nameText);
  if (!('value' in name)) return name;
  if (typeText === undefined) return { value: { name: name.value, qtypes: ADDRESSES } };
  const qtype = typeFromText(typeText);
  if (qtype === undefined) {
    return { message: `"${typeText}" is not a type`, mend: 'write one such as A, SRV or TYPE65' };
  }
  if (!isOfData(qtype)) {
    return {
      message: `nothing has records of type ${typeName(qtype)}`,
      mend: 'name each type that is wanted',
    };
  }
  return { value: { name: name.value, qtypes: [qtype] } };
}

/** RFC 6895 section 3.1: 0 and 128 to 255 are no types of data, and OPT belongs to the message. */
function isOfData(type: number): boolean {
  return type !== 0 && type !== TYPE.OPT && (type < 128 || type > 255);
}
