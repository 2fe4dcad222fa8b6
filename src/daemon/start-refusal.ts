/** Why a server could not start, where its text tells the operator what to do; anything else is a defect. */
import { ListenerError } from '../serving/listener/listener-error.ts';
import { LocalZonesError } from '../serving/local-zones/zone-rules.ts';

export function isStartRefusal(error: unknown): error is Error {
  return error instanceof ListenerError || error instanceof LocalZonesError;
}
