import {
  GetHostedZoneCommand,
  ListHostedZonesByNameCommand,
  ListResourceRecordSetsCommand,
  type RRType,
} from '@aws-sdk/client-route-53';
import t from 'tap';
import { fromRoute53Name, sortKey, toRoute53Name } from '../../sandbox/route53-api.ts';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { named } from './named.ts';
import { route53Client } from './sdk-clients.ts';

const PUBLIC = '/hostedzone/Z0PUBLICSITEEXAMPLE';
const PRIVATE = '/hostedzone/Z0PRIVATESITEEXAMPL';

t.test('ListResourceRecordSets starts at a name and a type, whether or not they exist', async (t) => {
  await using sandbox = await startSandbox();
  using client = route53Client(sandbox);
  const names = async (StartRecordName: string, StartRecordType?: RRType): Promise<string[]> => {
    const { ResourceRecordSets = [] } = await client.send(
      new ListResourceRecordSetsCommand({
        HostedZoneId: PUBLIC,
        StartRecordName,
        StartRecordType,
      }),
    );
    return ResourceRecordSets.map(({ Name, Type }) => `${Name} ${Type}`);
  };
  const all = await names('site.example');
  t.same(all, [
    'site.example. NS',
    'site.example. SOA',
    'alias.site.example. A',
    'api.site.example. A',
    '\\052.apps.site.example. A',
    'multi.site.example. A',
    'multi.site.example. A',
    'weighted.site.example. A',
    'weighted.site.example. A',
    'weighted.site.example. A',
  ]);
  t.same(await names('api.site.example'), all.slice(3), 'what comes after the name comes along');
  t.same(await names('API.Site.Example.', 'A'), all.slice(3), 'case and final dot do not matter');
  t.same(await names('api.site.example', 'AAAA'), all.slice(4), 'A comes before AAAA');
  t.same(await names('b.site.example'), all.slice(5), 'a name that does not exist starts there, too');
  t.same(await names('*.apps.site.example'), all.slice(4), 'a bare star');
  t.same(await names('\\052.apps.site.example'), all.slice(4), 'an octal star');
  t.same(await names('zzz.site.example'), [], 'past the end');
});

t.test('weighted, multivalue and alias sets have the fields of Route 53', async (t) => {
  await using sandbox = await startSandbox();
  using client = route53Client(sandbox);
  const { ResourceRecordSets = [] } = await client.send(
    new ListResourceRecordSetsCommand({ HostedZoneId: PUBLIC }),
  );
  const named = (name: string) => ResourceRecordSets.filter(({ Name }) => Name === name);
  t.match(named('weighted.site.example.'), [
    { SetIdentifier: 'blue', Weight: 3, TTL: 60, ResourceRecords: [{ Value: '10.0.1.10' }] },
    { SetIdentifier: 'green', Weight: 1 },
    { SetIdentifier: 'off', Weight: 0 },
  ]);
  t.match(named('multi.site.example.'), [
    { SetIdentifier: 'one', MultiValueAnswer: true },
    { SetIdentifier: 'two', MultiValueAnswer: true },
  ]);
  const [alias] = named('alias.site.example.');
  t.match(alias, { AliasTarget: { DNSName: 'api.site.example.', EvaluateTargetHealth: false } });
  t.notOk(alias?.ResourceRecords, 'an alias has no records of its own');
  t.notOk(alias?.TTL);
});

t.test('a listing is continued at the name, type and identifier that a page ends with', async (t) => {
  await using sandbox = await startSandbox();
  using client = route53Client(sandbox);
  const seen: string[] = [];
  let next: { StartRecordName?: string; StartRecordType?: RRType; StartRecordIdentifier?: string } = {};
  for (let pages = 0; pages < 20; pages++) {
    const page = await client.send(
      new ListResourceRecordSetsCommand({ HostedZoneId: PUBLIC, MaxItems: 1, ...next }),
    );
    const [set] = page.ResourceRecordSets ?? [];
    t.equal(page.MaxItems, 1);
    seen.push(`${set?.Name} ${set?.Type} ${set?.SetIdentifier ?? ''}`);
    if (!page.IsTruncated) break;
    next = {
      StartRecordName: page.NextRecordName ?? '',
      StartRecordType: page.NextRecordType,
      ...(page.NextRecordIdentifier === undefined
        ? {}
        : { StartRecordIdentifier: page.NextRecordIdentifier }),
    };
  }
  t.equal(seen.length, 10);
  t.equal(new Set(seen).size, 10, 'each once');
});

t.test('a page holds 300 sets at most, even where more are asked for', async (t) => {
  await using sandbox = await startSandbox();
  using client = route53Client(sandbox);
  const sets = Array.from({ length: 350 }, (_, index) => ({
    name: `n${index}.site.example`,
    type: 'A',
    ttlSeconds: 60,
    values: ['10.0.0.1'],
  }));
  sandbox.state.hostedZones = sandbox.state.hostedZones.map((zone) => ({ ...zone, recordSets: sets }));
  const page = await client.send(new ListResourceRecordSetsCommand({ HostedZoneId: PUBLIC, MaxItems: 1000 }));
  t.equal(page.ResourceRecordSets?.length, 300);
  t.equal(page.IsTruncated, true);
});

t.test('ListHostedZonesByName starts at a name, in the order of reversed labels', async (t) => {
  await using sandbox = await startSandbox();
  using client = route53Client(sandbox);
  const zones = async (DNSName?: string): Promise<string[]> => {
    const { HostedZones = [] } = await client.send(new ListHostedZonesByNameCommand({ DNSName }));
    return HostedZones.map((zone) => `${zone.Name} ${zone.Config?.PrivateZone ? 'private' : 'public'}`);
  };
  const all = ['site.example. private', 'site.example. public', 'site2.example. public'];
  t.same(await zones(), all, 'a private and a public zone share a name');
  t.same(await zones('site.example'), all, 'the zone that was asked for is not alone');
  t.same(await zones('api.site.example'), ['site2.example. public'], 'a name below a zone starts after it');
  t.same(await zones('zzz.example'), []);
  const page = await client.send(new ListHostedZonesByNameCommand({ DNSName: 'site.example', MaxItems: 1 }));
  t.match(page, {
    IsTruncated: true,
    NextDNSName: 'site.example.',
    NextHostedZoneId: 'Z0PUBLICSITEEXAMPLE',
    DNSName: 'site.example',
    HostedZones: [{ Id: PRIVATE, ResourceRecordSetCount: 3 }],
  });
  const rest = await client.send(
    new ListHostedZonesByNameCommand({
      DNSName: page.NextDNSName ?? '',
      HostedZoneId: page.NextHostedZoneId ?? '',
    }),
  );
  t.same(
    rest.HostedZones?.map(({ Id }) => Id),
    [PUBLIC, '/hostedzone/Z0OTHERSITEEXAMPLE0'],
  );
});

t.test('GetHostedZone distinguishes a private zone from a public one', async (t) => {
  await using sandbox = await startSandbox();
  using client = route53Client(sandbox);
  const open = await client.send(new GetHostedZoneCommand({ Id: PUBLIC }));
  t.match(open, {
    HostedZone: { Id: PUBLIC, Name: 'site.example.', Config: { PrivateZone: false } },
    DelegationSet: { NameServers: ['ns-1.awsdns-01.example.', 'ns-2.awsdns-02.example.'] },
  });
  const closed = await client.send(new GetHostedZoneCommand({ Id: PRIVATE }));
  t.match(closed, { HostedZone: { Config: { PrivateZone: true } }, VPCs: [{ VPCRegion: 'us-west-2' }] });
});

t.test('Route 53 refuses with its own codes', async (t) => {
  await using sandbox = await startSandbox();
  using client = route53Client(sandbox);
  const list = (input: Partial<ConstructorParameters<typeof ListResourceRecordSetsCommand>[0]>) =>
    client.send(new ListResourceRecordSetsCommand({ HostedZoneId: PUBLIC, ...input }));
  await t.rejects(list({ HostedZoneId: 'Z404' }), {
    ...named('NoSuchHostedZone'),
    message: 'No hosted zone found with ID: Z404',
    $metadata: { httpStatusCode: 404 },
  });
  await t.rejects(list({ StartRecordType: 'A' }), named('InvalidInput'), 'a type without a name');
  await t.rejects(list({ MaxItems: 0 }), named('InvalidInput'));
  await t.rejects(list({ StartRecordName: 'a..b' }), named('InvalidDomainName'));
  using elsewhere = route53Client(sandbox, { region: 'us-west-2' });
  await t.rejects(
    elsewhere.send(new GetHostedZoneCommand({ Id: PUBLIC })),
    { ...named('SignatureDoesNotMatch'), message: /valid region, not 'us-west-2'/ },
    'the API lives in us-east-1, and a custom endpoint signs for the region of the client',
  );
});

t.test('names as Route 53 writes them', async (t) => {
  const cases: [text: string, route53: string][] = [
    ['site.example', 'site.example.'],
    ['*.site.example', '\\052.site.example.'],
    ['_tcp.a-b.example', '_tcp.a-b.example.'],
    ['a\\.b.example', 'a\\056b.example.'],
    ['a\\032b.example', 'a\\040b.example.'],
  ];
  for (const [text, route53] of cases) {
    t.equal(toRoute53Name(text), route53, text);
    t.equal(fromRoute53Name(route53), text, route53);
  }
  t.ok(sortKey('example.com.') < sortKey('www.example.com.'), 'a zone before what is in it');
  t.ok(sortKey('example-a.com.') < sortKey('example.com.'), 'the final dot can change the order');
});
