/**
 * Compares two sets of policies over all traffic that the cluster can have, and leaves out what the capture
 * shows: what is left changes, too, and nobody would have seen it.
 */
import type { Program } from "../engine/matcher.ts";
import type { PortRange } from "../match/multiport.ts";
import { formatAddress, formatPrefix } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import { changeOf, tellingSide } from "../report/flips.ts";
import type { Flip, FlipContext } from "../report/flips.ts";
import type { BlindSpot } from "../report/blind-spots.ts";
import { ruleKey } from "../report/grouping.ts";
import { ownerEnd } from "../report/workload.ts";
import type { FindEndpoint } from "../report/workload.ts";
import type { AddressClass } from "../workload/address-classes.ts";
import { classifyTraffic, notUnderstood } from "../workload/classes.ts";
import type { TrafficClasses } from "../workload/classes.ts";
import { OTHER_PROTOCOLS } from "../workload/service-classes.ts";
import { probeClasses } from "../workload/probe.ts";
import type { ProbedClass } from "../workload/probe.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { loadProgramMatcher } from "./matcher.ts";

/** More packets than this are not asked about: half a minute, and half a GiB. */
const PROBES_MAX = 2_000_000;
/** One packet is followed at a time. */
const CONNECTIONS = 1024;
/** More ranges of one class are not listed. */
const RANGES_MAX = 3;

/**
 * Finds what changes beside the flows that were captured; undefined where that cannot be told, which is
 * reported as BLIND_SPOTS_UNKNOWN.
 */
export function findBlindSpots(
  programs: readonly [Program, Program],
  context: FlipContext,
  flips: readonly Flip[],
  log: DiagnosticLog,
): BlindSpot[] | undefined {
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
  const probed = probeClasses([load(programs[0]), load(programs[1])], classes, PROBES_MAX);
  if (probed === undefined) {
    return report(log, `there are more than ${PROBES_MAX} classes of traffic that may change`);
  }
  const shown = shownClasses(flips, classes);
  const left = probed.flatMap((each) => withoutShown(each, shown.get(keyOf(each))) ?? []);
  return gather(left, context, classes);
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
  flips: readonly Flip[],
  classes: TrafficClasses,
): ReadonlyMap<string, ReadonlySet<number | undefined>> {
  const shown = new Map<string, Set<number | undefined>>();
  for (const flip of flips) {
    const flow = flip[tellingSide(flip)];
    const { source, destination, protocol, icmp } = flow;
    if (source === undefined || destination === undefined || protocol === undefined) continue;
    const from = classes.addressClass(source);
    const to = classes.addressClass(destination);
    const port = icmp?.type ?? flow.destinationPort;
    const asked = { protocol, port, sourcePort: flow.sourcePort };
    const service = classes.serviceClass(source.family, asked);
    if (from === undefined || to === undefined || service === undefined) continue;
    const key = keyOf({ source: from, destination: to, service });
    shown.set(key, (shown.get(key) ?? new Set()).add(port));
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

/** What tells rows apart, and one of their packets. */
interface Kind {
  readonly change: BlindSpot["change"];
  readonly rules: string;
  readonly example: ProbedClass;
}

/** Traffic of one pair of ends. */
interface OpenPair extends Kind {
  readonly from: string;
  readonly to: string;
  readonly ports: Map<string, PortRange[]>;
  /** By pair of classes: the numbers of services. */
  readonly numbers: Map<string, Set<number>>;
  readonly most: Map<string, number>;
}

/** Joins classes of the same ends that the same rules decide, then ends that have all else in common. */
function gather(
  probed: readonly ProbedClass[],
  context: FlipContext,
  { services }: TrafficClasses,
): BlindSpot[] {
  const pairs = new Map<string, OpenPair>();
  for (const each of probed) {
    const { source, destination, service, before, after } = each;
    const change = changeOf(before.verdict, after.verdict);
    if (change === "unchanged") continue;
    // What only one side has is named by it.
    const find: FindEndpoint = (owner) => context.after.find(owner) ?? context.before.find(owner);
    const from = endName(source, find);
    const to = endName(destination, find);
    const rules = JSON.stringify([
      ruleKey(before, context.before.find),
      ruleKey(after, context.after.find),
    ]);
    const key = JSON.stringify([change, from, to, rules]);
    const pair = pairs.get(key) ?? {
      ...{ change, rules, example: each, from, to },
      ports: new Map<string, PortRange[]>(),
      numbers: new Map<string, Set<number>>(),
      most: new Map<string, number>(),
    };
    pairs.set(key, pair);
    const protocol =
      service.protocol === OTHER_PROTOCOLS ? "other protocols" : protocolName(service.protocol);
    pair.ports.set(protocol, [...(pair.ports.get(protocol) ?? []), ...(service.ports ?? [])]);
    const classes = `${source.number} ${destination.number}`;
    const asked = services[source.family];
    // A class of which the capture shows a part is not all there.
    const whole = asked.includes(service) ? [service.number] : [];
    pair.numbers.set(classes, new Set([...(pair.numbers.get(classes) ?? []), ...whole]));
    pair.most.set(classes, asked.length);
  }
  const spots = [...pairs.values()].map(({ change, rules, example, from, to, ports, ...pair }) => {
    const everything = [...pair.numbers].every(
      ([classes, numbers]) => numbers.size === pair.most.get(classes),
    );
    const listed = [...ports].map(([protocol, ranges]) => ({
      protocol,
      ports: ranges.length === 0 ? undefined : joinRanges(ranges),
    }));
    const { before, after } = example;
    return {
      key: JSON.stringify([change, rules, everything || listed]),
      spot: { change, from: [from], to: [to], services: listed, everything, before, after },
    };
  });
  return joinEnds(joinEnds(spots, "from", "to"), "to", "from").map(({ spot }) => spot);
}

interface KeyedSpot {
  readonly key: string;
  readonly spot: BlindSpot;
}

/** Joins one end of spots that are alike and have the other end in common. */
function joinEnds(
  spots: readonly KeyedSpot[],
  joined: "from" | "to",
  same: "from" | "to",
): KeyedSpot[] {
  const byKey = new Map<string, KeyedSpot>();
  for (const { key, spot } of spots) {
    const alike = JSON.stringify([key, spot[same]]);
    const before = byKey.get(alike);
    const names = [...new Set([...(before?.spot[joined] ?? []), ...spot[joined]])];
    byKey.set(alike, { key, spot: { ...(before?.spot ?? spot), [joined]: names } });
  }
  return [...byKey.values()];
}

function endName({ owner, ranges, named }: AddressClass, find: FindEndpoint): string {
  if (owner !== undefined) return ownerEnd(owner, find).name;
  if (!named) return "outside";
  const more = ranges.length - RANGES_MAX;
  const shown = ranges
    .slice(0, RANGES_MAX)
    .map(({ first, last, bits }) =>
      bits === undefined
        ? `${formatAddress(first)}-${formatAddress(last)}`
        : formatPrefix({ address: first, bits }),
    )
    .join(", ");
  return more > 0 ? `${shown} and ${more} more ranges` : shown;
}

function joinRanges(ranges: readonly PortRange[]): PortRange[] {
  const joined: PortRange[] = [];
  for (const range of ranges.toSorted((one, other) => one.first - other.first)) {
    const before = joined.at(-1);
    if (before !== undefined && range.first <= before.last + 1) {
      const last = Math.max(before.last, range.last);
      joined[joined.length - 1] = { first: before.first, last };
    } else joined.push(range);
  }
  return joined;
}
