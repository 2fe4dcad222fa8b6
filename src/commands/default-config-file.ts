/** A file of its own, so that `--help` and every start tell of it without loading what reads it. */
export const DEFAULT_CONFIG_FILE = '/etc/outpost-dns/outpost-dns.yaml';
