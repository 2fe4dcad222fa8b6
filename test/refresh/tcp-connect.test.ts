import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import { connectTcp } from '../../src/refresh/address-checks.ts';

t.test(
  'true where somebody listens, false where nobody does, and the connection is closed again',
  async (t) => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const closed = once(server, 'connection').then(([socket]) => {
      socket.resume();
      return once(socket, 'close');
    });
    t.equal(await connectTcp('127.0.0.1', port, 2_000), true);
    await closed;
    server.close();
    await once(server, 'close');
    t.equal(await connectTcp('127.0.0.1', port, 2_000), false);
  },
);
