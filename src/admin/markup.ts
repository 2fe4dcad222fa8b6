/** Writes HTML and SVG: a value in markup is escaped unless it is markup itself. */

/** Markup. Values in it cannot become markup: names and error texts come from the network. */
export class Html {
  readonly text: string;

  /** `text` is markup already: made by `html`, or a constant. */
  constructor(text: string) {
    this.text = text;
  }
}

export type Value = string | number | Html | readonly Html[];

/** Markup with values in it: text is escaped, markup and lists of it are taken as they are. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(parts.reduce((text, part, at) => text + textOf(values[at - 1] ?? '') + part));
}

function textOf(value: Value): string {
  if (value instanceof Html) return value.text;
  if (typeof value === 'string' || typeof value === 'number') return escaped(String(value));
  return value.map(({ text }) => text).join('');
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

// controls and direction marks too: a name must not rearrange the line that it stands in
function escaped(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, ' ').replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '');
}
