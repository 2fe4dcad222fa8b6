/** Lines of a hosts file (hosts(5)): for a machine that has to reach the cluster without any DNS. */
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import { type ExportFormat, type ExportSite, endpointNames, headLine, recordTitle } from './format.ts';

export const HOSTS: ExportFormat = {
  about: 'a block of /etc/hosts, for a machine without DNS',
  text: hostsText,
};

/** A marked block, so that the next export can take its place. */
export function hostsText(site: Pick<ExportSite, 'file' | 'nowMs'>): string {
  const lines = [
    '# outpost-dns begin',
    `# ${headLine(site)}`,
    '# such lines win over DNS and are never refreshed: remove them after the outage',
    ...site.file.content.flatMap((record) => hostLines(record, site.nowMs)),
    '# outpost-dns end',
  ];
  return `${lines.join('\n')}\n`;
}

/** A comment, and a line for each name and address; a comment alone where the record cannot stand in a hosts file. */
export function hostLines(record: EndpointRecord, nowMs: number): string[] {
  const { endpoint, addresses } = record;
  const head = `# ${recordTitle(record, nowMs)}`;
  if (endpoint === undefined) return [`${head}: its endpoint name is not known`];
  if (addresses.length === 0) return [`${head}: no address is known`];
  const names = endpointNames(record);
  const unfit = names.find((name) => !/^[a-z0-9._-]+$/.test(name));
  if (unfit !== undefined) return [`${head}: "${unfit}" cannot stand in a hosts file`];
  return [head, ...names.flatMap((name) => addresses.map(({ address }) => `${address} ${name}`))];
}
