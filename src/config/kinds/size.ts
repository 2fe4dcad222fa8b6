/** Sizes as `64MiB`, from text to octets. */
import { type Reading, textKind } from '../key.ts';

const UNITS_OCTETS: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** A size between two others, in octets. */
export function size(least: string, most: string) {
  return textKind((text) => readSize(text, least, most), {
    allowed: `a size from ${least} to ${most}, in KiB, MiB or GiB`,
    pattern: '^[0-9]+(KiB|MiB|GiB)$',
    unit: 'MiB',
  });
}

export function readSize(text: string, least: string, most: string): Reading<number> {
  const octets = octetsOf(text);
  if (octets === undefined) return unreadable(text);
  if (octets < (octetsOf(least) ?? 0)) return { message: `smaller than ${least}` };
  if (octets > (octetsOf(most) ?? 0)) return { message: `larger than ${most}` };
  return { value: octets };
}

function octetsOf(text: string): number | undefined {
  const match = /^([0-9]{1,9})(KiB|MiB|GiB)$/.exec(text);
  const unit = UNITS_OCTETS[match?.[2] ?? ''];
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}

function unreadable(text: string): Reading<never> {
  if (/^[0-9]+$/.test(text))
    return { message: 'a number without a unit', mend: `add a unit, such as ${text}MiB` };
  const near = /^([0-9]+)\s*([kmg])i?b?$/i.exec(text);
  if (near === null) return { message: 'not a size: it takes a whole number and one unit' };
  const meant = `${near[1]}${near[2]?.toUpperCase()}iB`;
  return { message: 'not a size: units are KiB, MiB and GiB, powers of 1024', mend: `write ${meant}` };
}
