/**
 * The simulated Region on an address that other hosts can reach, for the lab's `region` namespace.
 *
 *     node region.ts <address> <control socket>
 */
import { startSandbox } from '../../sandbox/sandbox.ts';

const [address = '', controlPath = ''] = process.argv.slice(2);
const { regionUrl, dnsAddress, environment } = await startSandbox({ address, controlPath });
console.log(JSON.stringify({ regionUrl, dnsAddress, environment }));
