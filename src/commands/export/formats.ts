/** The formats of `outpost-dns export`, by the name that --format takes. A new format stands in the file of its kind beside this one, with a line here. */

import type { ExportFormat } from './format.ts';
import {
  BOTTLEROCKET,
  KUBECONFIG,
  NETWORK_MANAGER,
  NODEADM,
  RESOLV_CONF,
  SYSTEMD_RESOLVED,
} from './hosts-and-nodes.ts';
import { HOSTS, JSON_RECORDS, ZONE } from './record-files.ts';
import { BIND, COREDNS, COREDNS_HOSTS, DNSMASQ, UNBOUND, WINDOWS } from './resolvers.ts';

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
