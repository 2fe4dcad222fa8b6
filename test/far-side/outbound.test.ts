/** Which URLs go through a proxy. */
import t from 'tap';
import { proxyFor, shownProxy } from '../../src/far-side/outbound.ts';

const HTTPS = 'http://secure:1/';
const HTTP = 'http://plain:1/';
const proxies = { httpsProxy: HTTPS, httpProxy: HTTP };

t.test('the protocol of the URL decides which proxy is asked', async (t) => {
  for (const [url, given, expected] of [
    ['https://ec2.us-west-2.amazonaws.com/', proxies, HTTPS],
    ['http://10.0.0.1/', proxies, HTTP],
    ['https://x.example/', { httpProxy: HTTP }, undefined],
    ['http://x.example/', { httpsProxy: HTTPS }, undefined],
    ['https://x.example/', {}, undefined],
  ] as const) {
    t.equal(proxyFor(new URL(url), { noProxy: [], ...given }), expected, url);
  }
});

t.test('hosts without a proxy: names and those under them, addresses, networks, ranges, ports', async (t) => {
  for (const [entry, direct, proxied] of [
    ['*', ['https://x.example', 'https://10.0.0.1', 'https://[2001:db8::1]'], []],
    [
      'corp.example',
      ['https://corp.example', 'https://a.b.corp.example', 'https://Corp.Example.'],
      ['https://xcorp.example', 'https://example'],
    ],
    ['.corp.example', ['https://corp.example', 'https://a.corp.example'], ['https://xcorp.example']],
    ['*.corp.example', ['https://a.corp.example'], ['https://xcorp.example']],
    [
      'corp.example:8443',
      ['https://corp.example:8443'],
      ['https://corp.example', 'https://corp.example:443'],
    ],
    ['corp.example:443', ['https://corp.example'], ['https://corp.example:8443', 'http://corp.example']],
    [
      '10.0.0.1',
      ['https://10.0.0.1', 'https://10.0.0.1:8443'],
      ['https://10.0.0.2', 'https://10.0.0.1.example'],
    ],
    ['10.0.0.1:80', ['http://10.0.0.1'], ['https://10.0.0.1']],
    ['10.0.0.0/8', ['https://10.255.0.1'], ['https://11.0.0.1', 'https://10.example']],
    ['10.0.0.5-10.0.0.9', ['https://10.0.0.5', 'https://10.0.0.9'], ['https://10.0.0.10']],
    ['2001:db8::/32', ['https://[2001:db8::5]'], ['https://[2001:db9::5]', 'https://10.0.0.1']],
    ['2001:db8::5', ['https://[2001:DB8::5]'], ['https://[2001:db8::6]']],
    ['[2001:db8::5]:443', ['https://[2001:db8::5]'], ['https://[2001:db8::5]:8443']],
    ['10.0.0.0/99', [], ['https://10.0.0.1']],
    ['.', [], ['https://x.example']],
    ['http://corp.example', [], ['https://corp.example']],
  ] as const) {
    const outbound = { ...proxies, noProxy: [entry] };
    for (const url of direct) t.equal(proxyFor(new URL(url), outbound), undefined, `${entry}: ${url}`);
    for (const url of proxied) t.ok(proxyFor(new URL(url), outbound), `not ${entry}: ${url}`);
  }
});

t.test('a proxy is shown without user and password', async (t) => {
  t.equal(shownProxy('http://user:secret@proxy.example:3128/'), 'http://proxy.example:3128');
  t.equal(shownProxy('https://[2001:db8::5]/'), 'https://[2001:db8::5]');
});
