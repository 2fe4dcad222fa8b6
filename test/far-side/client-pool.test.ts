import t from 'tap';
import { ClientPool } from '../../src/far-side/aws/clients.ts';
import type { AwsPlace } from '../../src/far-side/aws/credentials.ts';
import { explain, serviceError } from './polling.ts';

interface FakeCredentials {
  isHanging: boolean;
  forgotten: number;
  isWaiting(): boolean;
  accepted(): void;
  wasAccepted(): boolean;
  forget(): void;
}

interface FakeClient {
  readonly number: number;
  readonly place: AwsPlace;
  readonly credentials: FakeCredentials;
  isDestroyed: boolean;
  destroy(): void;
}

/** Clients as they are made, over credentials that are shared until they are forgotten. */
function factory() {
  const made: FakeClient[] = [];
  let shelved: FakeCredentials | undefined;
  function makeCredentials(): FakeCredentials {
    let isAccepted = false;
    const credentials: FakeCredentials = {
      isHanging: false,
      forgotten: 0,
      isWaiting: () => credentials.isHanging,
      accepted() {
        isAccepted = true;
      },
      wasAccepted: () => isAccepted,
      forget() {
        credentials.forgotten++;
        shelved = undefined;
      },
    };
    return credentials;
  }
  function make(place: AwsPlace): FakeClient {
    shelved ??= makeCredentials();
    const fake: FakeClient = {
      number: made.length,
      place,
      credentials: shelved,
      isDestroyed: false,
      destroy() {
        fake.isDestroyed = true;
      },
    };
    made.push(fake);
    return fake;
  }
  return { made, make };
}

const PLACE = { region: 'us-west-2' };
const NEVER = new AbortController().signal;

function poolOf() {
  const { made, make } = factory();
  const pool = new ClientPool<FakeClient>({ explain, create: async (place) => make(place) });
  const use = (call: (client: FakeClient) => Promise<unknown> = async (client) => client.number) =>
    pool.use(PLACE, NEVER, call);
  return { pool, made, use };
}

const refuse = (code: string, status = 403) => Promise.reject(serviceError(code, status));

t.test('one client per place, made at the first use', async (t) => {
  const { pool, made } = poolOf();
  const places = [PLACE, { region: 'us-west-2', profile: 'site' }, { region: 'us-east-1' }];
  t.equal(made.length, 0);
  for (const place of [...places, ...places]) await pool.use(place, NEVER, async () => {});
  t.same(
    made.map(({ place }) => place),
    places,
  );
});

t.test('uses at the same moment share the client that is being made', async (t) => {
  const { made, use } = poolOf();
  await Promise.all([use(), use(), use()]);
  t.equal(made.length, 1);
});

t.test('which failures spoil a client, and which its credentials', async (t) => {
  for (const [what, error, isSpoiled, isForgotten] of [
    ['AccessDenied', serviceError('AccessDenied', 403), true, true],
    ['ExpiredToken', serviceError('ExpiredToken', 403), true, true],
    ['InvalidClientTokenId', serviceError('InvalidClientTokenId', 403), true, true],
    ['a timeout', Object.assign(new Error('x'), { name: 'TimeoutError' }), true, false],
    ['a reset', Object.assign(new Error('x'), { code: 'ECONNRESET' }), true, false],
    ['throttling', serviceError('Throttling', 400), false, false],
    ['not found', serviceError('ResourceNotFoundException', 404), false, false],
    ['a captive portal', serviceError('Unknown', 403), false, false],
  ] as const) {
    const { made, use } = poolOf();
    await t.rejects(use(() => Promise.reject(error)));
    t.equal(made[0]?.isDestroyed, isSpoiled, `${what}: destroyed`);
    t.equal(made[0]?.credentials.forgotten, isForgotten ? 1 : 0, `${what}: credentials forgotten`);
    t.equal(await use(), isSpoiled ? 1 : 0, `${what}: the next use`);
  }
});

t.test(
  'credentials that were taken before and are refused now are fetched again at once, one time',
  async (t) => {
    const { made, use } = poolOf();
    await use();
    t.equal(
      await use((client) => (client.number === 0 ? refuse('ExpiredToken') : Promise.resolve(client.number))),
      1,
    );
    t.ok(made[0]?.isDestroyed);
    let calls = 0;
    await t.rejects(
      use(() => {
        calls++;
        return refuse('ExpiredToken');
      }),
      { name: 'ExpiredToken' },
    );
    t.equal(calls, 2);
  },
);

t.test('credentials outlive a client that a timeout has spoiled', async (t) => {
  const { made, use } = poolOf();
  await use();
  await t.rejects(use(() => Promise.reject(Object.assign(new Error('x'), { code: 'ETIMEDOUT' }))));
  const call = (client: FakeClient) =>
    client.number < 2 ? refuse('ExpiredToken') : Promise.resolve(client.number);
  t.equal(
    await use(call),
    2,
    'and count as taken before, when after an outage they turn out to have expired',
  );
  t.equal(made[0]?.credentials, made[1]?.credentials);
  t.not(made[1]?.credentials, made[2]?.credentials);
});

t.test('credentials that never worked are not tried twice, and a denial neither', async (t) => {
  const fresh = poolOf();
  let calls = 0;
  const count = (code: string) => () => {
    calls++;
    return refuse(code);
  };
  await t.rejects(fresh.use(count('ExpiredToken')));
  t.equal(calls, 1);
  const proven = poolOf();
  await proven.use();
  calls = 0;
  await t.rejects(proven.use(count('AccessDenied')));
  t.equal(calls, 1);
});

t.test('a denial of one call leaves credentials alone that AWS has accepted for another', async (t) => {
  const { made, use } = poolOf();
  await use();
  for (let denials = 1; denials <= 3; denials++) {
    await t.rejects(use(() => refuse('AccessDenied')));
    t.equal(made[0]?.credentials.forgotten, 0, 'the provider is not asked again');
    t.equal(await use(), denials, 'with a new client, which sees other files');
  }
  await t.rejects(use(() => refuse('ExpiredToken')));
  t.equal(made[0]?.credentials.forgotten, 1);
});

t.test('an abort rejects at once whatever the client does, as a timeout', async (t) => {
  const { pool, made } = poolOf();
  const aborter = new AbortController();
  const used = pool.use(PLACE, aborter.signal, () => new Promise(() => {}));
  setImmediate(() => aborter.abort());
  await t.rejects(used, { code: 'timeout', reachedFarSide: false });
  t.ok(made[0]?.isDestroyed);
  t.equal(made[0]?.credentials.forgotten, 0, 'credentials are kept');
  await t.rejects(
    pool.use(PLACE, aborter.signal, async () => {}),
    { code: 'internal' },
    'aborted before it starts: nothing was asked',
  );
});

t.test(
  'an abort while a credentials provider hangs is a matter of credentials, not of the link',
  async (t) => {
    const { pool, made } = poolOf();
    const aborter = new AbortController();
    const used = pool.use(PLACE, aborter.signal, (client) => {
      client.credentials.isHanging = true;
      setImmediate(() => aborter.abort());
      return new Promise(() => {});
    });
    await t.rejects(used, { code: 'no-credentials', reachedFarSide: false });
    t.equal(made[0]?.credentials.forgotten, 1);
  },
);

t.test('sockets that another use still needs are left alone until it ends', async (t) => {
  const { made, use } = poolOf();
  const other = Promise.withResolvers<void>();
  const using = use(() => other.promise);
  await t.rejects(use(() => refuse('ExpiredToken')));
  t.equal(made[0]?.isDestroyed, false);
  other.resolve();
  await using;
  t.equal(made[0]?.isDestroyed, true);
});

t.test('a client that cannot be made is tried again at the next use', async (t) => {
  let tries = 0;
  const pool = new ClientPool<FakeClient>({
    explain,
    async create(place) {
      if (++tries === 1) throw new Error('cannot import');
      return factory().make(place);
    },
  });
  await t.rejects(
    pool.use(PLACE, NEVER, async () => {}),
    { message: 'cannot import' },
  );
  t.equal(await pool.use(PLACE, NEVER, async (client) => client.number), 0);
  t.equal(tries, 2);
});

t.test('a client that is not made in time is no silence of AWS, and is made again', async (t) => {
  const { made, make } = factory();
  const slow = Promise.withResolvers<void>();
  let tries = 0;
  const pool = new ClientPool<FakeClient>({
    explain,
    async create(place) {
      if (++tries === 1) await slow.promise;
      return make(place);
    },
  });
  const aborter = new AbortController();
  const used = pool.use(PLACE, aborter.signal, async () => {});
  aborter.abort();
  await t.rejects(used, { code: 'internal', reachedFarSide: false });
  t.equal(await pool.use(PLACE, NEVER, async (client) => client.number), 0);
  slow.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(tries, 2);
  t.strictSame(
    made.map(({ isDestroyed }) => isDestroyed),
    [false, true],
    'the late one keeps no socket',
  );
});

t.test('dispose destroys clients in use too, and nothing is made after it', async (t) => {
  const { pool, made, use } = poolOf();
  await use();
  const aborter = new AbortController();
  const used = pool.use(PLACE, aborter.signal, () => new Promise(() => {}));
  pool.dispose();
  t.equal(made[0]?.isDestroyed, true);
  await t.rejects(use(), { code: 'internal' });
  aborter.abort();
  await t.rejects(used);
});
