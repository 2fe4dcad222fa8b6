/** RR TYPEs by mnemonic (IANA DNS parameters registry); only those that the code or an operator names. */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  LOC: 29,
  SRV: 33,
  NAPTR: 35,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  SSHFP: 44,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  NSEC3: 50,
  TLSA: 52,
  SVCB: 64,
  HTTPS: 65,
  SPF: 99,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
  URI: 256,
  CAA: 257,
} as const;

const names = new Map<number, string>(Object.entries(TYPE).map(([name, value]) => [value, name]));
const values = new Map<string, number>(Object.entries(TYPE));

/** The mnemonic, or `TYPE<n>` where there is none (RFC 3597 section 5). */
export function typeName(type: number): string {
  return names.get(type) ?? `TYPE${type}`;
}

/** The TYPE a mnemonic or `TYPE<n>` stands for, in any case; `undefined` for anything else. */
export function typeFromText(text: string): number | undefined {
  const upper = text.toUpperCase();
  const known = values.get(upper);
  if (known !== undefined) return known;
  const digits = /^TYPE(\d{1,5})$/.exec(upper)?.[1];
  return digits !== undefined && Number(digits) <= 0xffff ? Number(digits) : undefined;
}
