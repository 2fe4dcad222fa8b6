/** The exit codes of every command: 0 well, 1 a finding or a failed action, 2 wrong usage or configuration. */
export const EXIT = { well: 0, finding: 1, usage: 2 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
