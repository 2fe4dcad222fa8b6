/** Is somebody listening there? A TCP connection that is opened and closed at once, with no octet sent. */
import { connect } from 'node:net';

/** @returns whether the connection was made within `timeoutMs`; never rejects */
export function connectTcp(address: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: timeoutMs });
    const end = (isListening: boolean) => {
      socket.destroy();
      resolve(isListening);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.on('error', () => end(false)); // refused, unreachable, reset: all the same here
  });
}
