/** GetMetricStatistics of the CloudWatch API, for the metric `ConnectedStatus` of Outposts: JSON 1.0. */
import { type ApiContext, type ApiReply, type ApiRequest, refuse, success } from './api.ts';

/** AWS has a value a minute, the newest some minutes old. */
const MINUTES = [4, 2, 3];
const MINUTE_MS = 60_000;

export function answerCloudWatch(request: ApiRequest, { state }: ApiContext): ApiReply {
  if (request.operation !== 'GetMetricStatistics') {
    return refuse('cloudwatch', 'unknown-operation', 'The requested operation is not known to this service.');
  }
  const isOurs = request.parameters.get('MetricName') === 'ConnectedStatus';
  const outpost = request.parameters.get('OutpostId') ?? '';
  const isKnown = state.clusters.some(({ outpostArn }) => outpostArn.endsWith(`/${outpost}`));
  const minutes = isOurs && isKnown && outpost !== '' ? MINUTES : [];
  const Datapoints = minutes.map((minute) => ({
    Timestamp: Math.floor((state.nowMs() - minute * MINUTE_MS) / 1000),
    Average: state.outpostConnected,
    Unit: 'Count',
  }));
  return success(JSON.stringify({ Label: 'ConnectedStatus', Datapoints }));
}

/** The parameters by name: the dimension `OutpostId` among them. */
export function cloudWatchParameters(body: string): URLSearchParams {
  const parameters = new URLSearchParams();
  const input: unknown = JSON.parse(body);
  if (typeof input !== 'object' || input === null) return parameters;
  for (const [name, value] of Object.entries(input)) {
    if (typeof value === 'string') parameters.set(name, value);
    if (name !== 'Dimensions' || !Array.isArray(value)) continue;
    for (const { Name, Value } of value) parameters.set(String(Name), String(Value));
  }
  return parameters;
}
