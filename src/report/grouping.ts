/**
 * Flows gathered into what a person acts on: drops by workload pair, port and deciding rule; unknowns
 * by the fact that is missing. Counts only; decides nothing.
 */
import type { FlowVerdict, Reason } from "../engine/verdict.ts";
import {
  decidingOrigin,
  decidingRule,
  explainReason,
  policyPoint,
  policyPointsOf,
} from "./reason.ts";
import type { CaptureNature, PolicyPoint } from "./reason.ts";
import { destinationEnd, portText, sourceEnd } from "./workload.ts";
import type { End, FindEndpoint } from "./workload.ts";

/** Dropped flows of one workload pair, port and deciding rule. */
export interface DropGroup {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly flows: number;
  readonly packets: number;
  /** The policies that the drop points to; several when several isolate. */
  readonly points: readonly PolicyPoint[];
  readonly reason: string;
  /** The group's first flow, which its reason is about. */
  readonly first: FlowVerdict;
  /** How many other endpoints of the two workloads are in the same place. */
  readonly otherEndpoints: number;
}

/** Undecided flows that lack one fact. */
export interface UnknownGroup {
  readonly reason: Reason;
  readonly flows: number;
  readonly packets: number;
  /** The sentences of the flows, each once, in the order of their first packets. */
  readonly sentences: readonly string[];
  readonly first: FlowVerdict;
}

/** Gathers the dropped flows, most packets first. */
export function groupDrops(
  flows: readonly FlowVerdict[],
  find: FindEndpoint,
  nature: CaptureNature,
): DropGroup[] {
  const groups = groupBy(
    flows.filter((flow) => flow.verdict === "drop"),
    (flow) =>
      [
        sourceEnd(flow, find).key,
        destinationEnd(flow, find).key,
        portText(flow),
        flow.reason,
        ruleKey(flow, find),
      ].join("\n"),
  );
  return groups.map((members) => makeDropGroup(members, find, nature)).sort(byPackets);
}

/** Gathers the undecided flows by the missing fact, most packets first. */
export function groupUnknowns(
  flows: readonly FlowVerdict[],
  nature: CaptureNature,
): UnknownGroup[] {
  const groups = groupBy(
    flows.filter((flow) => flow.verdict === "unknown"),
    (flow) => flow.reason,
  );
  return groups
    .map((members) => ({
      reason: members[0].reason,
      ...countOf(members),
      sentences: [...new Set(members.map((flow) => explainReason(flow, nature)))],
      first: members[0],
    }))
    .sort(byPackets);
}

type NonEmpty<T> = readonly [T, ...T[]];

function makeDropGroup(
  members: NonEmpty<FlowVerdict>,
  find: FindEndpoint,
  nature: CaptureNature,
): DropGroup {
  const [first] = members;
  const owners = new Set(
    members.map(
      (flow) => `${flow.sourceRoute?.owner ?? ""}\n${flow.destinationRoute?.owner ?? ""}`,
    ),
  );
  return {
    from: nameOf(members.map((flow) => sourceEnd(flow, find))),
    to: nameOf(members.map((flow) => destinationEnd(flow, find))),
    port: portText(first),
    ...countOf(members),
    points: pointsOf(first),
    reason: explainReason(first, nature),
    first,
    otherEndpoints: owners.size - 1,
  };
}

function pointsOf(flow: FlowVerdict): PolicyPoint[] {
  const origin = decidingOrigin(flow);
  return origin === undefined ? [] : policyPointsOf(origin);
}

/** The name of ends that share a key: the one they have, or how many addresses they are. */
function nameOf(ends: readonly End[]): string {
  const names = new Set(ends.map((end) => end.name));
  const [only] = names;
  return names.size === 1 && only !== undefined ? only : `outside(${names.size})`;
}

/**
 * What tells deciding rules apart. Every replica has chains of its own and both families have theirs:
 * the policy position is what a person sees, and the rule only where there is none.
 */
function ruleKey(flow: FlowVerdict, find: FindEndpoint): string {
  const point = policyPoint(flow);
  if (point !== undefined) {
    const { policy, direction, rule } = point;
    return `${policy.namespace}\n${policy.name}\n${direction}\n${rule ?? "isolation"}`;
  }
  const rule = decidingRule(flow);
  const origin = rule?.rule?.origin;
  if (origin?.kind === "invalid") {
    const workload = find(origin.endpoint)?.workload.name ?? origin.endpoint;
    return `invalid\n${origin.direction}\n${workload}`;
  }
  return rule === undefined ? "" : `${rule.family}\n${rule.table}\n${rule.chain}\n${rule.number}`;
}

function countOf(members: readonly FlowVerdict[]): { flows: number; packets: number } {
  const packets = members.reduce((sum, flow) => sum + flow.packets, 0);
  return { flows: members.length, packets };
}

/** Sorts are stable: equal groups stay in the order of their first packets. */
function byPackets(one: { packets: number }, other: { packets: number }): number {
  return other.packets - one.packets;
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): NonEmpty<T>[] {
  const groups = new Map<string, [T, ...T[]]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()];
}
