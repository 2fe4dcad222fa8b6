/**
 * The SDK's data on the partitions of AWS, reduced to what the server needs: src/protocol/words/aws-partitions.json.
 * The SDK exports a look-up by Region and not the list, so the list is read from the SDK's file.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as z from 'zod';

const FILE = 'node_modules/@aws-sdk/core/dist-es/submodules/client/util-endpoints/lib/aws/partitions.js';

const suffix = z.string().regex(/^[a-z0-9.-]+$/);
const SDK_DATA = z.object({
  partitionsInfo: z.object({
    partitions: z
      .array(
        z.object({
          id: z.string(),
          regionRegex: z.string().startsWith('^').endsWith('$'),
          outputs: z.object({
            dnsSuffix: suffix,
            dualStackDnsSuffix: suffix,
            implicitGlobalRegion: z.string(),
          }),
        }),
      )
      .min(1),
  }),
});

const path = join(import.meta.dirname, '..', FILE);
const { partitionsInfo } = SDK_DATA.parse(await import(pathToFileURL(path).href));

export function awsPartitions(): string {
  const rows = partitionsInfo.partitions.map(({ id, regionRegex, outputs }) => ({
    id,
    regionPattern: regionRegex.replaceAll('\\-', '-'),
    dnsSuffix: outputs.dnsSuffix,
    dualStackDnsSuffix: outputs.dualStackDnsSuffix,
    globalRegion: outputs.implicitGlobalRegion,
  }));
  return `${JSON.stringify(rows, null, 2)}\n`;
}
