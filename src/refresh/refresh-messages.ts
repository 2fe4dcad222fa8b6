/** Declares the log lines of the refresh journey, of endpoints and of retained names. */
import { messages } from '../log/log.ts';

const NAMES = { addresses: 'the addresses served from now on', before: 'the addresses served until now' };

const FAILURE = {
  source: 'the source',
  reason: 'the kind of failure',
  detail: 'what AWS or the system said',
  durationMs: 'how long the poll took',
  isUnsettled: 'true while another poll follows soon',
};

const PROOF = {
  address: 'the address',
  from: 'the proof before',
  to: 'proven, unproven or refused',
  reason: 'why it is not proven, or what is odd about its certificate',
};

const OUTPOST = { outpost: 'its ID', region: 'its Region' };

const ENDS = {
  what: 'kubernetes-certificate, roles-anywhere-certificate or session',
  endsAt: 'when they end',
};

export const REFRESH_MESSAGES = messages({
  refreshing: { level: 'debug', text: 'refreshing', fields: { reason: 'why a poll starts now' } },
  sourceFails: {
    level: 'warn',
    text: 'source fails',
    fields: FAILURE,
    fix: 'in a cut: nothing. Otherwise act on `detail`; `outpost-dns check` names the fix',
  },
  sourceStillFails: { level: 'debug', text: 'source still fails', fields: FAILURE },
  sourceWorks: {
    level: 'info',
    text: 'source works again',
    fields: { source: 'the source', failedWith: 'the failure that has ended' },
  },
  descriptionDoubtful: {
    level: 'warn',
    text: 'interfaces have no exact description: those that contain its text are used',
    fields: { addresses: 'their addresses' },
    fix: 'compare the addresses with the console; name `vpcId` and `subnetIds` where other clusters share the VPC',
  },
  descriptionExact: {
    level: 'info',
    text: 'interfaces have the exact description',
    fields: { addresses: 'their addresses' },
  },
  credentialsBad: {
    level: 'warn',
    text: 'credentials changed',
    fields: {
      from: 'the condition before',
      to: 'missing, expired or refused',
      detail: 'what AWS or the SDK said',
    },
    fix: 'renew the credentials. Endpoints are answered from what is known, and DNS goes on confirming it',
  },
  credentialsGood: {
    level: 'info',
    text: 'credentials changed',
    fields: { from: 'the condition before', to: 'the condition now', detail: 'what AWS or the SDK said' },
  },
  disagree: {
    level: 'warn',
    text: 'sources disagree',
    fields: {
      onlyByName: 'addresses that only the name has',
      onlyByInterfaces: 'addresses that only the interfaces have',
      basis: 'what is served',
      likelyCause: 'the probable cause, in a word',
      cause: 'the same as a sentence',
    },
    fix: 'read `cause`; `outpost-dns status` shows both sides',
  },
  agree: { level: 'info', text: 'sources agree again', fields: { basis: 'what is served' } },
  aged: {
    level: 'warn',
    text: 'addresses have not been confirmed for days',
    fields: { days: 'days since the last confirmation' },
    fix: 'restore the link or the credentials: an address that changed meanwhile is not known',
  },
  nameIsDescribed: {
    level: 'info',
    text: 'endpoint is the one that aws says',
    fields: { endpoint: 'the name', described: 'absent' },
  },
  nameDiffers: {
    level: 'warn',
    text: 'endpoint is not the one that aws says: both names are answered',
    fields: { endpoint: 'the configured name', described: 'the name that DescribeCluster says' },
    fix: 'correct `endpoint` in the configuration, or remove it',
  },
  refused: {
    level: 'warn',
    text: 'addresses refused',
    fields: { refused: 'each address and its reason' },
    fix: 'if the addresses are right, add them to `allowedAddresses` of the cluster',
  },
  learned: {
    level: 'info',
    text: 'addresses learned',
    fields: { ...NAMES, added: 'new', removed: 'gone', basis: 'what decided' },
  },
  changed: {
    level: 'warn',
    text: 'addresses changed',
    fields: { ...NAMES, added: 'new', removed: 'gone', basis: 'what decided' },
    fix: 'compare with the console if no patch or replacement was expected',
  },
  basis: {
    level: 'info',
    text: 'basis of the addresses changed',
    fields: { ...NAMES, from: 'the basis before', to: 'the basis now' },
  },
  nameLearned: {
    level: 'info',
    text: 'endpoint name learned',
    fields: { ...NAMES, from: 'absent', to: 'the name' },
  },
  nameChanged: {
    level: 'warn',
    text: 'endpoint name changed: the old name is answered as well',
    fields: { ...NAMES, from: 'the old name', to: 'the new name' },
    fix: 'the cluster was created again: give clients a new kubeconfig',
  },
  details: {
    level: 'info',
    text: 'cluster details changed',
    fields: { ...NAMES, fields: 'what changed, such as VPC, subnets, authority or Outpost' },
  },
  heldUntilRepeated: {
    level: 'warn',
    text: 'change held back until the next refresh repeats it',
    fields: { ...NAMES, held: 'the change' },
    fix: 'nothing for a minute; then see `outpost-dns status`',
  },
  heldUntilInterfaces: {
    level: 'warn',
    text: 'change by names alone held back until an interface source answers',
    fields: { ...NAMES, held: 'the change' },
    fix: 'give the server credentials or the link back; `outpost-dns check` shows which source is missing',
  },
  released: { level: 'info', text: 'held change released', fields: { ...NAMES, held: 'the change' } },
  pinned: {
    level: 'warn',
    text: 'addresses pinned by a command',
    fields: { ...NAMES, pin: 'addresses, reason, author and end of the pin' },
    fix: 'remember the pin: no source is believed until it ends; `outpost-dns unpin` ends it',
  },
  unpinned: { level: 'info', text: 'pin ended', fields: { ...NAMES, by: 'time or command' } },
  proven: {
    level: 'info',
    text: 'address is proven: the api server answers there',
    fields: { ...NAMES, ...PROOF },
  },
  proofLost: {
    level: 'warn',
    text: 'address has lost its proof: it is answered last',
    fields: { ...NAMES, ...PROOF },
    fix: 'during a patch: nothing. Otherwise look after the control-plane instance at `address`; `outpost-dns explain NAME` shows the reason',
  },
  addressRefused: {
    level: 'warn',
    text: 'address is refused: another server answers there',
    fields: { ...NAMES, ...PROOF },
    fix: 'find out which host has `address` now. Where every address is refused, all of them have moved (pin the right ones), or a wrong authority is configured: correct `probe.ca`',
  },
  credentialsEnd: {
    level: 'warn',
    text: 'credentials end soon: an outage can outlast them',
    fields: { ...ENDS, days: 'whole days until then' },
    fix: 'renew what `what` names, and put the new files in place of the old ones: the next poll reads them',
  },
  credentialsEnded: {
    level: 'error',
    text: 'credentials have ended',
    fields: { ...ENDS, days: '0' },
    fix: 'renew what `what` names. Endpoints are answered from what is known',
  },
  sourceSilent: {
    level: 'warn',
    text: 'source has been silent for long, while others answer',
    fields: {
      source: 'the source',
      minutes: 'minutes since its last answer',
      detail: 'what AWS or the system said last',
    },
    fix: 'act on `detail`; `outpost-dns check` names the fix. `source works again` ends it',
  },
  outpostImpaired: {
    level: 'warn',
    text: 'aws sees the outpost as impaired',
    fields: { ...OUTPOST, connected: 'the share of a minute in which it was connected' },
    fix: 'look after the link of the Outpost (its console, the circuits): a cut may follow',
  },
  outpostConnected: {
    level: 'info',
    text: 'aws sees the outpost as connected again',
    fields: { ...OUTPOST, connected: '1' },
  },
  outpostDenied: {
    level: 'info',
    text: 'aws does not allow to ask how it sees the outpost',
    fields: { ...OUTPOST, detail: 'what AWS said' },
    fix: 'nothing: the permission cloudwatch:GetMetricStatistics is optional',
  },
  refreshFails: {
    level: 'warn',
    text: 'refresh fails: serving what is known',
    fields: NAMES,
    fix: 'in a cut: nothing. Otherwise see the line `source fails` of each source',
  },
  refreshWorks: { level: 'info', text: 'refresh works again', fields: NAMES },
});

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
