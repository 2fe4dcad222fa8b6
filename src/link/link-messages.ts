/** Declares the log lines of the link. */
import { messages } from '../log/message.ts';

const CHANGE = {
  side: 'aws or upstream',
  key: 'the region or the upstream',
  from: 'the condition before',
  to: 'the condition now',
  reason: 'the evidence',
};

export const LINK_MESSAGES = messages({
  cut: {
    level: 'warn',
    text: 'link changed',
    fields: CHANGE,
    fix: 'follow docs/outage.md. Endpoints are answered however long it lasts',
  },
  changed: { level: 'info', text: 'link changed', fields: CHANGE },
  summary: { level: 'debug', text: 'link as a whole changed', fields: CHANGE },
});
