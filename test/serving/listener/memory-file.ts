/** The outliving file of a process that is killed: its octets stay for the next one. */
import type { OutlivingFile } from '../../../src/runtime/service-manager.ts';
import { TakenQueries } from '../../../src/serving/listener/taken-queries.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';

export class MemoryFile {
  octets = new Uint8Array(0);
  readonly log = new CollectingLog();
  nowMs = 0;
  /** What a write throws. */
  error: Error | undefined;

  /** As the next process opens it. */
  reopened(): TakenQueries {
    const left = this.octets;
    this.octets = new Uint8Array(0);
    const write: OutlivingFile['write'] = (octets, length, position) => {
      if (this.error !== undefined) throw this.error;
      const grown = new Uint8Array(Math.max(this.octets.length, position + length));
      grown.set(this.octets);
      grown.set(octets.subarray(0, length), position);
      this.octets = grown;
    };
    return new TakenQueries({ left, write }, { wallMs: () => this.nowMs }, this.log);
  }
}
