/** Several extended errors in one number. */
import t from 'tap';
import {
  type ExtendedErrors,
  extendedErrorAt,
  extendedErrorCount,
  firstExtendedErrors,
  isStaleError,
  withExtendedError,
} from '../../../src/protocol/words/codes.ts';

const listed = (errors: ExtendedErrors | undefined): number[] =>
  Array.from({ length: extendedErrorCount(errors) }, (_, nth) => extendedErrorAt(errors ?? 0, nth));
const errorsOf = (codes: readonly number[]): ExtendedErrors | undefined =>
  codes.reduce<ExtendedErrors | undefined>(withExtendedError, undefined);

t.test(
  'codes stay in their order, each once, three at most; OTHER beside another says nothing',
  async (t) => {
    for (const [codes, kept] of [
      [[], []],
      [[0], [0]],
      [
        [0, 22],
        [0, 22],
      ],
      [[22, 0], [22]],
      [
        [22, 22, 3, 22],
        [22, 3],
      ],
      [
        [65_535, 65_534, 65_533, 1],
        [65_535, 65_534, 65_533],
      ],
    ] as const) {
      const errors = errorsOf(codes);
      t.strictSame(listed(errors), kept);
      for (let count = 0; count <= 3; count++)
        t.strictSame(listed(firstExtendedErrors(errors, count)), kept.slice(0, count));
    }
  },
);

t.test('an answer is stale whichever of its errors says so', async (t) => {
  for (const codes of [[3], [22, 3], [23, 22, 19]]) t.ok(isStaleError(errorsOf(codes)));
  for (const codes of [[], [0], [22, 23]]) t.notOk(isStaleError(errorsOf(codes)));
});
