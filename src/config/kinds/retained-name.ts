/** What the operator retains: a name, with a type behind it where the addresses are not what is wanted. */
import { TYPE, typeFromText, typeName } from '../../protocol/words/types.ts';
import { type Reading, textKind } from '../key.ts';
import { readDomainName } from './domain-name.ts';

export interface RetainedName {
  /** In canonical form. */
  readonly name: string;
  /** Never empty. */
  readonly qtypes: readonly number[];
}

const ADDRESSES = [TYPE.A, TYPE.AAAA];

export function retainedName() {
  return textKind(readRetainedName, {
    allowed:
      'a domain name (its A and AAAA are meant), or a name and a type, such as registry.example or "_ntp._udp.example SRV"',
  });
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
