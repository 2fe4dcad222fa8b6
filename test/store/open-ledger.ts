/** A ledger in virtual time, and what it holds. */
import { type FileSystem, systemFiles } from '../../src/store/file-system.ts';
import { Ledger, type LedgerOptions } from '../../src/store/ledger.ts';
import { readLedger } from '../../src/store/ledger-reader.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

export function openLedger(directory: string, more: Partial<LedgerOptions> & { files?: FileSystem } = {}) {
  const { files = systemFiles, ...options } = more;
  const time = new VirtualTime();
  const log = new CollectingLog();
  const ledger = new Ledger({ directory, ...options }, { clock: time, timers: time, log, files });
  return { ledger, time, log };
}

/** What the ledger holds: sequence, and the number that the event carries, and what was lost in front of it. */
export async function numbers(directory: string): Promise<string[]> {
  const { entries, faults } = await readLedger(directory);
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  return entries.map(({ sequence, event, lost }) => {
    const reason = event?.kind === 'stop' ? event.reason.replace('number ', '') : event?.kind;
    return `${sequence}: ${reason}${lost > 0 ? `, lost ${lost}` : ''}`;
  });
}
