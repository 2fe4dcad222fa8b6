import fc from 'fast-check';
import t from 'tap';
import { readAddresses } from '../../src/protocol/wire/aliases.ts';
import { composeLocalAnswer } from '../../src/protocol/wire/local-answer.ts';
import { parseQuery, Query, VERDICT } from '../../src/protocol/wire/query.ts';
import { writeEmptyReply, writeLocalReply, writePatchedReply } from '../../src/protocol/wire/reply.ts';
import { indexResponse } from '../../src/protocol/wire/response.ts';
import { readHexFiles } from '../helpers/hex-file.ts';
import { rr } from '../helpers/zone-text.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 2000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

/** Random octets seldom get past the header, so most runs mutate a message that was well formed. */
function mutated(folder: string): fc.Arbitrary<Uint8Array> {
  const files = readHexFiles(folder).map(({ octets }) => octets);
  const change = fc.record({ at: fc.nat(600), octet: fc.nat(255) });
  return fc
    .record({
      file: fc.constantFrom(...files),
      changes: fc.array(change, { maxLength: 8 }),
      cut: fc.option(fc.nat(600)),
    })
    .map(({ file, changes, cut }) => {
      const octets = file.slice(0, cut ?? file.length);
      for (const { at, octet } of changes) if (octets.length > 0) octets[at % octets.length] = octet;
      return octets;
    });
}

const anything = (folder: string) =>
  fc.oneof(
    { weight: 4, arbitrary: mutated(folder) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 600 }) },
  );

t.test(
  'no octets make the query parser throw or read beyond them, and every reply fits and parses',
  async (t) => {
    const query = new Query();
    const answer = composeLocalAnswer({
      rcode: 3,
      name: 'x.example',
      answers: [],
      authorities: [rr('x.example 60 SOA x.example h.x.example 7 1 2 3 60')],
    });
    fc.assert(
      fc.property(anything('queries'), (octets) => {
        const verdict = parseQuery(query, octets, 0, octets.length);
        if (verdict !== VERDICT.OK) return true;
        const reply = new Uint8Array(1232);
        const empty = writeEmptyReply(query, 2, 22, reply, 0);
        if (query.questionEnd > octets.length || indexResponse(reply.subarray(0, empty)).kind === 'fault')
          return false;
        if (query.nameEnd - query.nameStart < answer.composedNameOctets) return true;
        return writeLocalReply(query, answer, 1, query.udpLimit, reply, 0) <= query.udpLimit;
      }),
      { numRuns, seed },
    );
    t.pass('held');
  },
);

t.test(
  'no octets make the response index throw, and what it accepts can be patched within the limit',
  async (t) => {
    fc.assert(
      fc.property(anything('responses'), fc.nat(100_000), (octets, ageSeconds) => {
        const index = indexResponse(octets);
        if (index.kind === 'fault') return true;
        readAddresses(octets, index);
        const asked = octets.slice(0, index.questionEnd);
        asked.set([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0], 2);
        const query = new Query();
        if (parseQuery(query, asked, 0, asked.length) !== VERDICT.OK) return true; // a pointer in its question
        const reply = new Uint8Array(65_535);
        const options = {
          ttl: { ageSeconds },
          extendedError: undefined,
          trustAuthenticatedData: true,
          limit: 1232,
        };
        const length = writePatchedReply(query, octets, index, options, reply, 0);
        return length <= 1232 && indexResponse(reply.subarray(0, length)).kind === 'response';
      }),
      { numRuns, seed },
    );
    t.pass('held');
  },
);
