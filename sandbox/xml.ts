/** Composing XML: each function returns finished markup, and only `leaf` takes text that is not. */

export const XML_START = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** An element with text; nothing at all when there is no value. */
export function leaf(name: string, value: string | number | boolean | undefined): string {
  if (value === undefined) return '';
  return value === '' ? `<${name}/>` : `<${name}>${escaped(String(value))}</${name}>`;
}

/** An element with elements. */
export function node(name: string, ...children: readonly string[]): string {
  const content = children.join('');
  return content === '' ? `<${name}/>` : `<${name}>${content}</${name}>`;
}

/** A whole document, its root in a namespace. */
export function xmlDocument(name: string, namespace: string, ...children: readonly string[]): string {
  return `${XML_START}<${name} xmlns="${escaped(namespace)}">${children.join('')}</${name}>`;
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;');
}
