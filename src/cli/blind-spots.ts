/**
 * Compares two sets of policies over all traffic that the cluster can have, and leaves out what the capture
 * shows: what is left changes, too, and nobody would have seen it.
 */
import type { Program } from "../engine/program.ts";
import type { Judgement, Tuple } from "../engine/verdict.ts";
import type { PortRange } from "../match/multiport.ts";
import type { FlipContext } from "../report/flips.ts";
import type { BlindSpot } from "../report/blind-spots.ts";
import { classifyTraffic, notUnderstood } from "../workload/classes.ts";
import type { TrafficClasses } from "../workload/classes.ts";
import { gatherSpots } from "../workload/gather-spots.ts";
import { probeClasses } from "../workload/probe.ts";
import type { ProbedClass } from "../workload/probe.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { loadProgramMatcher } from "./matcher.ts";

/** More packets than this are not asked about: half a minute, and half a GiB. */
const PROBES_MAX = 2_000_000;
/** One packet is followed at a time. */
const CONNECTIONS = 1024;

/** What changes, as classes of traffic and as rows. */
export interface BlindSpots {
  readonly classes: readonly ProbedClass[];
  readonly spots: readonly BlindSpot[];
}

/**
 * Finds what changes beside the captured flows that change; undefined where that cannot be told, which is
 * reported as BLIND_SPOTS_UNKNOWN.
 */
export function findBlindSpots(
  programs: readonly [Program, Program],
  context: FlipContext,
  captured: readonly (Tuple & Judgement)[],
  { log, node }: { readonly log: DiagnosticLog; readonly node: string | undefined },
): BlindSpots | undefined {
  const workloadOf = (owner: string): string => {
    const endpoint = context.after.find(owner) ?? context.before.find(owner);
    if (endpoint === undefined) return owner;
    return `${endpoint.workload.kind} ${endpoint.namespace}/${endpoint.workload.name}`;
  };
  const subjects = { programs, workloadOf };
  const odd = notUnderstood(subjects);
  if (odd !== undefined) return report(log, `they are not looked for where there is ${odd}`);
  const classes = classifyTraffic(subjects);
  const load = (program: Program): ReturnType<typeof loadProgramMatcher> =>
    loadProgramMatcher(program, {
      midstream: "cold",
      conntrackMax: CONNECTIONS,
      tracePacket: undefined,
    });
  const probed = probeClasses([load(programs[0]), load(programs[1])], classes, PROBES_MAX, node);
  if (probed === undefined) {
    return report(log, `there are more than ${PROBES_MAX} classes of traffic that may change`);
  }
  const shown = shownClasses(captured, classes);
  const left = probed.flatMap((each) => withoutShown(each, shown.get(keyOf(each))) ?? []);
  return { classes: left, spots: gatherSpots(left, context, classes) };
}

function report(log: DiagnosticLog, why: string): undefined {
  const message = `what changes beside what was captured is not known: ${why}`;
  log.report({ severity: "warning", code: "BLIND_SPOTS_UNKNOWN", message });
  return undefined;
}

/**
 * The classes of which the capture shows a flow that changes, and the ports that it shows. A flow that goes
 * on all the same, being established, hides nothing: a new one would not.
 */
function shownClasses(
  flows: readonly (Tuple & Judgement)[],
  classes: TrafficClasses,
): ReadonlyMap<string, ReadonlySet<number | undefined>> {
  const shown = new Map<string, Set<number | undefined>>();
  for (const flow of flows) {
    const { source, destination, protocol, icmp } = flow;
    if (source === undefined || destination === undefined || protocol === undefined) continue;
    const from = classes.addressClass(source);
    const asked = { address: destination, port: icmp?.type ?? flow.destinationPort };
    // What goes to a Service shows what becomes of its backend, too.
    for (const { address, port } of [asked, flow.translated ?? asked]) {
      const to = classes.addressClass(address);
      const sourcePort = icmp?.code ?? flow.sourcePort;
      const service = classes.serviceClass(source.family, { protocol, port, sourcePort });
      if (from === undefined || to === undefined || service === undefined) continue;
      const key = keyOf({ source: from, destination: to, service });
      shown.set(key, (shown.get(key) ?? new Set()).add(port));
    }
  }
  return shown;
}

/** The class without the ports that are shown; undefined when it has no others. */
function withoutShown(
  probed: ProbedClass,
  shown: ReadonlySet<number | undefined> = new Set(),
): ProbedClass | undefined {
  const { service } = probed;
  if (shown.size === 0) return probed;
  if (service.ports === undefined) return undefined;
  let ports: readonly PortRange[] = service.ports;
  for (const port of shown) {
    if (port === undefined) continue;
    ports = ports.flatMap(({ first, last }) =>
      port < first || port > last
        ? [{ first, last }]
        : [
            { first, last: port - 1 },
            { first: port + 1, last },
          ].filter((range) => range.first <= range.last),
    );
  }
  return ports.length === 0 ? undefined : { ...probed, service: { ...service, ports } };
}

function keyOf({
  source,
  destination,
  service,
}: Pick<ProbedClass, "source" | "destination" | "service">): string {
  return `${source.number} ${destination.number} ${service.number}`;
}
