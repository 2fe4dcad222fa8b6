/** Starts the runtime without a program. Its time is the part of every start that belongs to the runtime. */
import { type Contender, versionOf } from '../contender.ts';

export const emptyNode: Contender = {
  name: 'node -e 0',
  debianPackage: 'none: it comes with npm ci',
  rows: ['start'],
  answers: false,
  version: () => versionOf(process.execPath, '--version'),
  prepare: async () => [process.execPath, '-e', '0'],
};
