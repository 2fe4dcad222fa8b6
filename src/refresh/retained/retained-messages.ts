/** Declares the log lines of retained names. */
import { messages } from '../../log/log.ts';

const QUESTION = { name: 'the name', type: 'the record type' };

export const RETAINED_MESSAGES = messages({
  refreshing: {
    level: 'debug',
    text: 'refreshing retained names',
    fields: { reason: 'why now', questions: 'names and types to ask for' },
  },
  deniedNotBelieved: {
    level: 'warn',
    text: 'upstream denies a retained name: not believed, its last good answer is given',
    fields: { ...QUESTION, answer: 'nxdomain or nodata' },
    fix: 'nothing if the name still exists; if it was removed on purpose, remove it from `retain`',
  },
  denied: {
    level: 'warn',
    text: 'upstream denies a retained name',
    fields: { ...QUESTION, answer: 'nxdomain or nodata' },
    fix: 'if it was removed on purpose, remove it from `retain`; otherwise correct its zone',
  },
  emptyBelieved: {
    level: 'warn',
    text: 'empty answer to a retained name believed: upstreams have repeated it all the time',
    fields: { ...QUESTION, answer: 'nodata' },
    fix: 'correct the zone if the record should exist',
  },
  learned: {
    level: 'debug',
    text: 'retained answer learned',
    fields: { ...QUESTION, answer: 'the kind of answer' },
  },
  notRefreshed: {
    level: 'debug',
    text: 'retained name cannot be refreshed',
    fields: { ...QUESTION, detail: 'the failure' },
  },
  withoutAnswer: {
    level: 'warn',
    text: 'retained name has no answer: it would fail in an outage',
    fields: { ...QUESTION, detail: 'the latest failure' },
    fix: 'correct the name or the type under `retain`, or let an upstream answer it; the page lists all such names',
  },
  failing: {
    level: 'warn',
    text: 'a retained name cannot be refreshed: its last answer is given',
    fields: { name: 'the first name that fails', detail: 'the failure' },
    fix: 'in a cut: nothing. Otherwise ask the upstream for the name: `dig @UPSTREAM NAME`',
  },
  working: { level: 'info', text: 'all retained names can be refreshed again' },
});
