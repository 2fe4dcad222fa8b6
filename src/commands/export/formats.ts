/** The formats of `outpost-dns export`, by the name that --format takes. A new format is a file beside this one and a line here. */
import { BIND } from './bind.ts';
import { BOTTLEROCKET } from './bottlerocket.ts';
import { COREDNS, COREDNS_HOSTS } from './coredns.ts';
import { DNSMASQ } from './dnsmasq.ts';
import type { ExportFormat } from './format.ts';
import { HOSTS } from './hosts.ts';
import { JSON_RECORDS } from './json.ts';
import { KUBECONFIG } from './kubeconfig.ts';
import { NETWORK_MANAGER } from './network-manager.ts';
import { NODEADM } from './nodeadm.ts';
import { RESOLV_CONF } from './resolv-conf.ts';
import { SYSTEMD_RESOLVED } from './systemd-resolved.ts';
import { UNBOUND } from './unbound.ts';
import { WINDOWS } from './windows.ts';
import { ZONE } from './zone.ts';

export const FORMATS: Readonly<Record<string, ExportFormat>> = {
  hosts: HOSTS,
  json: JSON_RECORDS,
  zone: ZONE,
  'resolv.conf': RESOLV_CONF,
  'systemd-resolved': SYSTEMD_RESOLVED,
  networkmanager: NETWORK_MANAGER,
  unbound: UNBOUND,
  bind: BIND,
  dnsmasq: DNSMASQ,
  coredns: COREDNS,
  'coredns-hosts': COREDNS_HOSTS,
  windows: WINDOWS,
  kubeconfig: KUBECONFIG,
  nodeadm: NODEADM,
  bottlerocket: BOTTLEROCKET,
};
