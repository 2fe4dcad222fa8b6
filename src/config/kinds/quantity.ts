/** Converts durations such as `30s` to milliseconds or whole seconds and back, and sizes such as `64MiB` to octets. */
import { type Reading, textKind } from '../key.ts';

interface Scale {
  readonly units: Readonly<Record<string, number>>;
  readonly noun: string;
  readonly less: string;
  readonly more: string;
  /** The unit to propose for a bare number. */
  readonly usual: string;
}

const DURATION: Scale = {
  units: { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 },
  noun: 'duration',
  less: 'shorter',
  more: 'longer',
  usual: 's',
};
const SIZE: Scale = {
  units: { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 },
  noun: 'size',
  less: 'smaller',
  more: 'larger',
  usual: 'MiB',
};
const DURATION_PATTERN = '[0-9]+(ms|s|m|h|d)';

/** A duration between two others, in milliseconds. */
export function duration(least: string, most: string) {
  return textKind((text) => readDuration(text, least, most), {
    allowed: `a duration from ${least} to ${most}, in ms, s, m, h or d`,
    pattern: `^${DURATION_PATTERN}$`,
    unit: DURATION.usual,
    suffix: 'Ms',
  });
}

/** A duration of whole seconds, in seconds: a TTL has no parts of a second. */
export function ttl(least: string, most: string) {
  const read = (text: string): Reading<number> => {
    const reading = readDuration(text, least, most);
    if (!('value' in reading)) return reading;
    const seconds = reading.value / 1000;
    return Number.isInteger(seconds) ? { value: seconds } : { message: 'not a whole number of seconds' };
  };
  return textKind(read, {
    allowed: `a duration of whole seconds from ${least} to ${most}, in s, m, h or d`,
    pattern: `^${DURATION_PATTERN}$`,
    unit: DURATION.usual,
    suffix: 'Seconds',
  });
}

/** A duration in milliseconds, or `unlimited` as Infinity. */
export function durationOrUnlimited(least: string, most: string) {
  const read = (text: string): Reading<number> =>
    text === 'unlimited' ? { value: Number.POSITIVE_INFINITY } : readDuration(text, least, most);
  return textKind(read, {
    allowed: `unlimited, or a duration from ${least} to ${most}, in s, m, h or d`,
    pattern: `^(unlimited|${DURATION_PATTERN})$`,
    unit: DURATION.usual,
    suffix: 'Ms',
  });
}

/** A size between two others, in octets. */
export function size(least: string, most: string) {
  return textKind((text) => readSize(text, least, most), {
    allowed: `a size from ${least} to ${most}, in KiB, MiB or GiB`,
    pattern: '^[0-9]+(KiB|MiB|GiB)$',
    unit: SIZE.usual,
    suffix: 'Octets',
  });
}

export function readDuration(text: string, least: string, most: string): Reading<number> {
  return readQuantity(DURATION, text, least, most);
}

export function readSize(text: string, least: string, most: string): Reading<number> {
  const near = /^([0-9]+)\s*([kmg])i?b?$/i.exec(text);
  if (near === null || amountOf(SIZE, text) !== undefined) return readQuantity(SIZE, text, least, most);
  const meant = `${near[1]}${near[2]?.toUpperCase()}iB`;
  return { message: 'not a size: units are KiB, MiB and GiB, powers of 1024', fix: `write ${meant}` };
}

function readQuantity(scale: Scale, text: string, least: string, most: string): Reading<number> {
  const value = amountOf(scale, text);
  if (value === undefined && /^[0-9]+$/.test(text))
    return { message: 'a number without a unit', fix: `add a unit, such as ${text}${scale.usual}` };
  if (value === undefined) return { message: `not a ${scale.noun}: it takes a whole number and one unit` };
  if (value < (amountOf(scale, least) ?? 0)) return { message: `${scale.less} than ${least}` };
  if (value > (amountOf(scale, most) ?? 0)) return { message: `${scale.more} than ${most}` };
  return { value };
}

function amountOf({ units }: Scale, text: string): number | undefined {
  const [, number, unit = ''] = /^([0-9]{1,12})([A-Za-z]+)$/.exec(text) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  return factor === undefined ? undefined : Number(number) * factor;
}

/** The shortest way to write a duration, for messages. */
export function durationText(ms: number): string {
  for (const [unit, factor] of Object.entries(DURATION.units).reverse())
    if (ms > 0 && ms % factor === 0) return `${ms / factor}${unit}`;
  return `${ms}ms`;
}
