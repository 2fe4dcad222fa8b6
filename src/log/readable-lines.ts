/** The lines of the log for a person at a terminal: time, level, event and fields in one line. */
import { prettyFactory } from 'pino-pretty';

/** Turns a JSON line of pino into a readable line. */
export const readableLine: (line: string) => string = prettyFactory({
  // FORCE_COLOR: the sandbox passes the lines on to a terminal
  colorize: process.stdout.hasColors?.() ?? (process.env['FORCE_COLOR'] ?? '0') !== '0',
  translateTime: 'SYS:HH:MM:ss',
  hideObject: true,
  messageFormat: (record) => readableEvent(record),
});

/** Fields that the line shows in another place. */
const SHOWN_ELSEWHERE = new Set(['level', 'time', 'msg', 'pid', 'hostname']);

export function readableEvent(record: Readonly<Record<string, unknown>>): string {
  const fields = Object.entries(record).flatMap(([name, value]) => {
    const text = SHOWN_ELSEWHERE.has(name) ? '' : valueText(value);
    return text === '' ? [] : [`${name}=${text}`];
  });
  return [String(record['msg'] ?? ''), ...fields].join('  ').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ');
}

/** Empty where the value says nothing. */
function valueText(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return /^[\w.:/@%+-]*$/.test(value) ? value : JSON.stringify(value);
  if (Array.isArray(value))
    return value
      .map(valueText)
      .filter((text) => text !== '')
      .join(',');
  if (typeof value === 'number') return String(Number(value.toFixed(1)));
  if (typeof value !== 'object') return String(value);
  if ('stack' in value && 'message' in value) {
    const type = 'type' in value ? `${value.type}: ` : '';
    return JSON.stringify(`${type}${value.message}${placeOf(String(value.stack))}`);
  }
  const inner = Object.entries(value).flatMap(([name, part]) => {
    const text = valueText(part);
    return text === '' ? [] : [`${name}=${text}`];
  });
  return inner.length === 0 ? '' : `{${inner.join(' ')}}`;
}

/** Where the error came from: the whole stack is in the JSON format. */
function placeOf(stack: string): string {
  const place = /\n\s*(at [^\n]+)/.exec(stack)?.[1];
  return place === undefined ? '' : ` ${place}`;
}
