/** Values that several state files hold, as zod reads them: times and names. */
import * as z from 'zod';
import { normalizeName } from '../protocol/words/name.ts';

/** Items of one list; the size of the file is the bound that matters. */
export const MAX_ITEMS = 100_000;

/** To wall ms. */
export const time = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/, 'not a time such as 2026-01-31T09:30:00Z')
  .transform((text) => Date.parse(text))
  .refine(Number.isFinite, 'not a time of this calendar');

/** A domain name, to normal form; the root is none here. */
export const name = z.string().transform((text, context) => {
  try {
    if (text !== '' && text !== '.') return normalizeName(text);
  } catch {
    // falls through: whatever is wrong with it, it is no name
  }
  context.addIssue({ code: 'custom', message: 'not a domain name' });
  return z.NEVER;
});
