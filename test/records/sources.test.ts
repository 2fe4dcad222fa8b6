import t from 'tap';
import {
  isAddressSource,
  isInterfaceSource,
  isNameSource,
  perSource,
  SOURCE_NAMES,
  traitsOf,
} from '../../src/records/sources.ts';

t.test('each source speaks of one thing', async (t) => {
  const kinds = SOURCE_NAMES.map((name) => [name, traitsOf(name).speaksOf]);
  t.strictSame(kinds, [
    ['dns', 'names'],
    ['interfaces', 'interfaces'],
    ['cluster', 'cluster'],
    ['route53', 'names'],
    ['kubernetes', 'interfaces'],
  ]);
  t.strictSame(SOURCE_NAMES.filter(isNameSource), ['dns', 'route53']);
  t.strictSame(SOURCE_NAMES.filter(isInterfaceSource), ['interfaces', 'kubernetes']);
  t.strictSame(SOURCE_NAMES.filter(isAddressSource), ['dns', 'interfaces', 'route53', 'kubernetes']);
});

t.test('a source that asks AWS crosses the link and signs', async (t) => {
  for (const name of SOURCE_NAMES) {
    const { service, needsCredentials, crossesLink } = traitsOf(name);
    t.equal(needsCredentials, service !== undefined, name);
    if (service !== undefined) t.equal(crossesLink, true, name);
  }
});

t.test('one value for each source', async (t) => {
  t.strictSame(Object.keys(perSource(() => 0)), SOURCE_NAMES);
});
