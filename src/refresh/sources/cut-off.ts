/** A source that looks nowhere while a rehearsal treats the far side of the link as unreachable. */

import { failed } from '../../far-side/source-error.ts';
import type { Source } from '../../records/observation.ts';

/** `source` as it is, except that it fails as in a cut, at once, while `isCutOff` says so. What lives on the site is not to be given here. */
export function withCutOff(source: Source, isCutOff: () => boolean): Source {
  return {
    name: source.name,
    observe(context, signal) {
      if (!isCutOff()) return source.observe(context, signal);
      const detail = `observe by "${source.name}": not tried: a drill runs`;
      return Promise.resolve(failed(source.name, { reason: 'network', reachedFarSide: false, detail }));
    },
  };
}
