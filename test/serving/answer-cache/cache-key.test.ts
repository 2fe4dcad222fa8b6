import t from 'tap';
import {
  cachedAnswer,
  failureParts,
  hasSameQuestion,
  isAnswerTo,
} from '../../../src/serving/answer-cache/cached-answer.ts';
import { message } from '../../helpers/zone-text.ts';
import { type Aspects, asked } from './asked.ts';

/** In capitals on the wire, as an upstream may echo it. */
function shouted(name: string, type: string): Buffer {
  const octets = message({ question: [name, type] });
  octets.set(Buffer.from(octets.subarray(12, -5).toString('latin1').toUpperCase(), 'latin1'), 12);
  return octets;
}

const questions: readonly [it: string, octets: Buffer, asked: [name: string, type: string], same: boolean][] =
  [
    ['the same question', message({ question: ['a.example', 'A'] }), ['a.example', 'A'], true],
    ['the name in another case (RFC 4343)', shouted('a.example', 'A'), ['a.example', 'A'], true],
    ['another name of the same length', message({ question: ['b.example', 'A'] }), ['a.example', 'A'], false],
    ['labels cut elsewhere', message({ question: ['a.b', 'A'] }), ['a\\.b', 'A'], false],
    ['a shorter name', message({ question: ['example', 'A'] }), ['a.example', 'A'], false],
    ['another type', message({ question: ['a.example', 'NS'] }), ['a.example', 'A'], false],
    [
      'type 65 and 97, which differ like A and a',
      message({ question: ['a.example', 'TYPE97'] }),
      ['a.example', 'HTTPS'],
      false,
    ],
    ['another class', message({ question: ['a.example', 'A', 3] }), ['a.example', 'A'], false],
    [
      'octets beyond ASCII are compared as they are',
      message({ question: ['\\224', 'A'] }),
      ['\\192', 'A'],
      false,
    ],
    ['the root', message({ question: ['.', 'NS'] }), ['.', 'NS'], true],
  ];

for (const [it, octets, [name, type], same] of questions) {
  t.test(`question: ${it}`, async (t) => {
    t.equal(hasSameQuestion(octets, octets.length, asked(name, type)), same);
  });
}

const aspects: readonly [stored: Aspects, asked: Aspects, same: boolean][] = [
  [{}, { dnssecOk: false }, true],
  [{}, { dnssecOk: true }, false],
  [{ dnssecOk: true }, {}, false],
  [{ dnssecOk: true }, { dnssecOk: true }, true],
  [{}, { checkingDisabled: true }, false],
  [{ checkingDisabled: true }, {}, false],
  [{ checkingDisabled: true }, { checkingDisabled: true }, true],
];

for (const [stored, now, same] of aspects) {
  t.test(`stored with ${JSON.stringify(stored)}, asked with ${JSON.stringify(now)}`, async (t) => {
    const query = asked('a.example', 'A', stored);
    const parts = { kind: 'failure', ...failureParts(query), lifetimeMs: 1, earlier: undefined } as const;
    t.equal(isAnswerTo(cachedAnswer(query, 0, parts, 0), asked('a.example', 'A', now)), same);
  });
}
