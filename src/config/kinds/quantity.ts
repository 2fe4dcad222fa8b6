/** Durations as `30s`, to milliseconds or whole seconds and back; sizes as `64MiB`, to octets. */
import { type Reading, textKind } from '../key.ts';

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const PATTERN = '[0-9]+(ms|s|m|h|d)';

/** A duration between two others, in milliseconds. */
export function duration(least: string, most: string) {
  return textKind((text) => readDuration(text, least, most), {
    allowed: `a duration from ${least} to ${most}, in ms, s, m, h or d`,
    pattern: `^${PATTERN}$`,
    unit: 's',
    suffix: 'Ms',
  });
}

/** A duration of whole seconds, in seconds: what a TTL can say. */
export function ttl(least: string, most: string) {
  return textKind((text) => readTtl(text, least, most), {
    allowed: `a duration of whole seconds from ${least} to ${most}, in s, m, h or d`,
    pattern: `^${PATTERN}$`,
    unit: 's',
    suffix: 'Seconds',
  });
}

/** A duration in milliseconds, or `unlimited` as Infinity. */
export function durationOrUnlimited(least: string, most: string) {
  return textKind(
    (text) => (text === 'unlimited' ? { value: Number.POSITIVE_INFINITY } : readDuration(text, least, most)),
    {
      allowed: `unlimited, or a duration from ${least} to ${most}, in s, m, h or d`,
      pattern: `^(unlimited|${PATTERN})$`,
      unit: 's',
      suffix: 'Ms',
    },
  );
}

export function readDuration(text: string, least: string, most: string): Reading<number> {
  const ms = millisecondsOf(text);
  if (ms === undefined) return notADuration(text);
  if (ms < (millisecondsOf(least) ?? 0)) return { message: `shorter than ${least}` };
  if (ms > (millisecondsOf(most) ?? 0)) return { message: `longer than ${most}` };
  return { value: ms };
}

function readTtl(text: string, least: string, most: string): Reading<number> {
  const reading = readDuration(text, least, most);
  if (!('value' in reading)) return reading;
  if (reading.value % 1000 !== 0) return { message: 'not a whole number of seconds' };
  return { value: reading.value / 1000 };
}

function millisecondsOf(text: string): number | undefined {
  const match = /^([0-9]{1,12})(ms|s|m|h|d)$/.exec(text);
  const unitMs = UNITS_MS[match?.[2] ?? ''];
  return match === null || unitMs === undefined ? undefined : Number(match[1]) * unitMs;
}

function notADuration(text: string): Reading<never> {
  if (/^[0-9]+$/.test(text))
    return { message: 'a number without a unit', fix: `add a unit, such as ${text}s` };
  return { message: 'not a duration: it takes a whole number and one unit' };
}

/** The shortest way to write a duration, for messages. */
export function durationText(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const unitMs = UNITS_MS[unit] ?? 1;
    if (ms > 0 && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${ms}ms`;
}

const UNITS_OCTETS: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** A size between two others, in octets. */
export function size(least: string, most: string) {
  return textKind((text) => readSize(text, least, most), {
    allowed: `a size from ${least} to ${most}, in KiB, MiB or GiB`,
    pattern: '^[0-9]+(KiB|MiB|GiB)$',
    unit: 'MiB',
    suffix: 'Octets',
  });
}

export function readSize(text: string, least: string, most: string): Reading<number> {
  const octets = octetsOf(text);
  if (octets === undefined) return notASize(text);
  if (octets < (octetsOf(least) ?? 0)) return { message: `smaller than ${least}` };
  if (octets > (octetsOf(most) ?? 0)) return { message: `larger than ${most}` };
  return { value: octets };
}

function octetsOf(text: string): number | undefined {
  const match = /^([0-9]{1,9})(KiB|MiB|GiB)$/.exec(text);
  const unit = UNITS_OCTETS[match?.[2] ?? ''];
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}

function notASize(text: string): Reading<never> {
  if (/^[0-9]+$/.test(text))
    return { message: 'a number without a unit', fix: `add a unit, such as ${text}MiB` };
  const near = /^([0-9]+)\s*([kmg])i?b?$/i.exec(text);
  if (near === null) return { message: 'not a size: it takes a whole number and one unit' };
  const meant = `${near[1]}${near[2]?.toUpperCase()}iB`;
  return { message: 'not a size: units are KiB, MiB and GiB, powers of 1024', fix: `write ${meant}` };
}
