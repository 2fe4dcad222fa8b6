/** A pattern for `t.rejects`: the error's whole name, where a text would also match a part of one. */
export function named(name: string): { readonly name: RegExp } {
  return { name: new RegExp(`^${name.replaceAll('.', '\\.')}$`) };
}
