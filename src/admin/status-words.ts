/** What the report says, in the words that the terminal and the page share. */

/** Ages as a person reads them: one number, one unit, no more precision than is of use: `3 s`, `4 min`, `2 h`, `5 d`; each unit until two of the next are full. */
export function ageText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  if (whole < 172_800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86_400)} d`;
}

/** What the addresses were decided from. */
export const BASIS_TEXT: Readonly<Record<string, string>> = {
  name: 'what the name resolves to',
  overlap: 'what name and interfaces have in common',
  interfaces: "the cluster's network interfaces",
  kept: 'kept from before: no source is usable now',
  pin: "the operator's pin",
  none: 'nothing: no address was ever known',
};
