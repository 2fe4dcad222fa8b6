/** `outpost-dns status`: what a running server serves, from which source, how fresh; `--healthy` for a supervisor. */
import { type StatusReport, statusReport } from '../admin/status-report.ts';
import { askForLife } from './dns-liveness.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { findServer, reachable } from './running-server.ts';
import {
  type AdminAddress,
  type AdminAnswer,
  getFromServer,
  readAdminAddress,
  socketText,
} from './status-client.ts';
import { statusLines } from './status-table.ts';
import { paintForTerminal, printable } from './terminal-text.ts';

export interface StatusOptions {
  /** Address of the server's HTTP; without it, the one of the configuration. */
  readonly admin?: string;
  readonly config?: string;
  readonly healthy?: true;
  readonly json?: true;
}

const STATUS_TIMEOUT_MS = 3_000;
const HEALTH_TIMEOUT_MS = 2_000;

export async function status(options: StatusOptions): Promise<ExitCode> {
  const admin = await adminOf(options);
  if (admin === undefined) return EXIT.usage;
  return options.healthy ? healthy(admin) : show(admin, options.json === true);
}

const DEFAULT_ADMIN: AdminAddress = { host: '127.0.0.1', port: 9153 };

/** Where the server tells its status; `undefined` after an explanation. */
async function adminOf({ admin, config }: StatusOptions): Promise<AdminAddress | undefined> {
  if (admin !== undefined) {
    const address = readAdminAddress(admin);
    if (!('message' in address)) return address;
    explain(`not an address: "${admin}": ${address.message}`, address.mend);
    return undefined;
  }
  const found = await findServer(config);
  if (found.kind === 'found') return reachable(found.config.admin.listen);
  // a file that was broken by an edit is no reason to say nothing of the server that runs on without it
  if (config === undefined || found.kind === 'none') return DEFAULT_ADMIN;
  process.stderr.write(`${found.error.message}\n`);
  return undefined;
}

async function show(admin: AdminAddress, json: boolean): Promise<ExitCode> {
  const reading = readReport(await getFromServer(admin, '/status', STATUS_TIMEOUT_MS));
  if ('detail' in reading) {
    explain(`cannot get the status from "${socketText(admin)}": ${reading.detail}`, reading.mend);
    return EXIT.finding;
  }
  const text = json
    ? JSON.stringify(reading.whole, null, 2)
    : statusLines(reading.report, paintForTerminal).join('\n');
  process.stdout.write(`${text}\n`);
  return reading.report.server.ready ? EXIT.well : EXIT.finding;
}

type ReportReading =
  /** `whole`: with what a later version may have added. */
  | { readonly report: StatusReport; readonly whole: unknown }
  | { readonly detail: string; readonly mend: string };

const IS_IT_RUNNING =
  'is it running? systemctl status outpost-dns; name another address with --admin; "outpost-dns export" shows what the state file holds';
const WRONG_SERVER = 'is it the address of admin.listen, and a server of this version? name it with --admin';

function readReport(answer: AdminAnswer): ReportReading {
  if (answer.kind === 'failed') return { detail: answer.detail, mend: IS_IT_RUNNING };
  if (answer.status !== 200) {
    const mend = answer.status === 500 ? 'its log says why: journalctl -u outpost-dns' : WRONG_SERVER;
    return { detail: `it answers with HTTP status ${answer.status}`, mend };
  }
  const whole = parseJson(answer.body);
  const parsed = statusReport.safeParse(whole);
  if (parsed.success) return { report: parsed.data, whole };
  const [issue] = parsed.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? '' : ` at "${issue.path.join('.')}"`;
  return { detail: `what answers is not a status report${place}`, mend: WRONG_SERVER };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Alive, not ready: a supervisor that restarted a server because AWS is away would take down what answers. */
async function healthy(admin: AdminAddress): Promise<ExitCode> {
  const startedMs = performance.now();
  const leftMs = () => Math.max(1, Math.ceil(HEALTH_TIMEOUT_MS - (performance.now() - startedMs)));
  const answer = await getFromServer(admin, '/healthz', HEALTH_TIMEOUT_MS);
  if (answer.kind === 'failed') return unhealthy(admin, answer.detail);
  if (answer.status !== 200) return unhealthy(admin, `it answers with HTTP status ${answer.status}`);
  const reading = readReport(await getFromServer(admin, '/status', leftMs()));
  if ('detail' in reading) return EXIT.well; // DNS may well be answered all the same, and that is what counts
  const { server, endpoints } = reading.report;
  const answered = endpoints.find(
    ({ endpoint, addresses }) => endpoint !== undefined && addresses.length > 0,
  );
  const addresses = server.listening.map(({ address }) => address);
  const { udp, tcp } = await askForLife(addresses, answered?.endpoint, leftMs());
  if (udp && tcp) return EXIT.well;
  const silent = udp ? 'over TCP' : tcp ? 'over UDP' : '';
  return unhealthy(admin, `its HTTP answers, but its DNS does not ${silent}`.trimEnd());
}

function unhealthy(admin: AdminAddress, detail: string): ExitCode {
  process.stderr.write(
    `outpost-dns: the server at "${socketText(admin)}" is not healthy: ${printable(detail)}\n`,
  );
  return EXIT.finding;
}

function explain(what: string, mend: string): void {
  process.stderr.write(`outpost-dns: ${printable(what)}\n    ${printable(mend)}\n`);
}
