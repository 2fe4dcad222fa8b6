/**
 * Writes an event as one line for a person at a terminal: the message, then `name=value` for each field that says something.
 * Values come from the network: none can begin a line of its own, or rearrange the line that it stands in.
 */

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
