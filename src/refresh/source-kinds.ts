/** What the sources are to each other: who speaks of the name, who of what exists, who of the cluster. */
import type { InterfaceSource, NameSource, SourceName } from '../store/endpoint-record.ts';

export function isNameSource(name: SourceName): name is NameSource {
  return name === 'dns' || name === 'route53';
}

export function isInterfaceSource(name: SourceName): name is InterfaceSource {
  return name === 'interfaces' || name === 'kubernetes';
}

export function isAddressSource(name: SourceName): name is NameSource | InterfaceSource {
  return isNameSource(name) || isInterfaceSource(name);
}
