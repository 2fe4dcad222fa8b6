/** Proxies and certificate authorities from the environment. */
import t from 'tap';
import type { OutboundConfig } from '../../src/config/outbound.ts';
import { faultLines, load, SMALLEST } from './loading.ts';

const outboundOf = async (environment: Record<string, string>): Promise<OutboundConfig> =>
  (await load(SMALLEST, { environment })).outbound;

t.test(
  'the usual variables: the lower-case variable counts first, an empty variable does not count',
  async (t) => {
    for (const [environment, expected] of [
      [{}, {}],
      [{ HTTPS_PROXY: '' }, {}],
      [{ HTTPS_PROXY: 'http://10.0.0.5:3128' }, { httpsProxy: 'http://10.0.0.5:3128/' }],
      [{ https_proxy: 'http://10.0.0.5:3128' }, { httpsProxy: 'http://10.0.0.5:3128/' }],
      [{ https_proxy: 'http://low:1', HTTPS_PROXY: 'http://up:1' }, { httpsProxy: 'http://low:1/' }],
      [{ https_proxy: '', HTTPS_PROXY: 'http://up:1' }, { httpsProxy: 'http://up:1/' }],
      [{ HTTPS_PROXY: 'proxy.example:3128' }, { httpsProxy: 'http://proxy.example:3128/' }],
      [{ HTTPS_PROXY: '10.0.0.5:3128' }, { httpsProxy: 'http://10.0.0.5:3128/' }],
      [{ HTTPS_PROXY: ' http://[2001:db8::5]:3128 ' }, { httpsProxy: 'http://[2001:db8::5]:3128/' }],
      [{ HTTPS_PROXY: 'https://u:p%40ss@proxy.example' }, { httpsProxy: 'https://u:p%40ss@proxy.example/' }],
      [{ HTTP_PROXY: 'http://10.0.0.5' }, { httpProxy: 'http://10.0.0.5/' }],
      [
        { NO_PROXY: '.Corp.example, 10.0.0.0/8  localhost,,' },
        { noProxy: ['.corp.example', '10.0.0.0/8', 'localhost'] },
      ],
      [
        { AWS_CA_BUNDLE: '/etc/ca.pem', NODE_EXTRA_CA_CERTS: '/etc/extra.pem' },
        { caBundle: '/etc/ca.pem', extraCertificates: '/etc/extra.pem' },
      ],
    ] as const) {
      t.strictSame(await outboundOf(environment), { noProxy: [], ...expected }, JSON.stringify(environment));
    }
  },
);

t.test('a bad proxy is a fault that names variable, value and fix, and no password', async (t) => {
  for (const [environment, first, fix] of [
    [
      { HTTPS_PROXY: 'socks5://10.0.0.5:1080' },
      'environment HTTPS_PROXY: "socks5://10.0.0.5:1080": a proxy of the kind socks5, which is not supported',
      'name a proxy that takes CONNECT, such as http://proxy.example:3128',
    ],
    [
      { https_proxy: 'http://10.0.0.5:99999' },
      'environment https_proxy: "http://10.0.0.5:99999": not the URL of a proxy',
      'write it as http://proxy.example:3128',
    ],
    [
      { HTTPS_PROXY: 'http://' },
      'environment HTTPS_PROXY: "http://": not the URL of a proxy',
      'write it as http://proxy.example:3128',
    ],
    [
      { HTTP_PROXY: 'http://proxy.example:3128/path' },
      'environment HTTP_PROXY: "http://proxy.example:3128/path": a path after the port, which a proxy does not have',
      'write it as http://proxy.example:3128',
    ],
    [
      { HTTPS_PROXY: 'http://user:50%@proxy.example' },
      'environment HTTPS_PROXY: "http://user:...@proxy.example": user or password with a "%" that begins no escape',
      'write the octet "%" as %25',
    ],
    [
      { HTTPS_PROXY: 'http://user:sec:ret@x y' },
      'environment HTTPS_PROXY: "http://user:...@x y": not the URL of a proxy',
      'write it as http://proxy.example:3128',
    ],
  ] as const) {
    t.strictSame(await faultLines(SMALLEST, { environment }), [first, `    ${fix}`]);
  }
});

t.test(
  'a site that asks nothing of AWS starts with a proxy variable that is meant for other programs',
  async (t) => {
    const text = 'clusters: [{ name: a, endpoint: api.example.com }]\nupstreams: [10.0.0.2]\n';
    const environment = { HTTPS_PROXY: 'socks5://10.0.0.5:1080' };
    t.strictSame((await load(text, { environment })).outbound, { noProxy: [] });
  },
);
