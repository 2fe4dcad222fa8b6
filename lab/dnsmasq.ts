/** dnsmasq as the checks of the lab run it alone: in the foreground, without the host's configuration, with its log on stderr. */
export const BARE_DNSMASQ = [
  'dnsmasq',
  '--keep-in-foreground',
  '--conf-file=/dev/null',
  '--no-resolv',
  '--user=root',
  '--pid-file',
  '--log-facility=-',
] as const;
