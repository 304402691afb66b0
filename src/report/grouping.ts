/**
 * Flows gathered into what a person acts on: drops by workload pair, port and deciding rule; unknowns
 * by the fact that is missing. Counts only; decides nothing.
 */
import type { FlowVerdict, Reason } from "../engine/verdict.ts";
import { policyKey } from "../policy/model.ts";
import {
  decidingOrigin,
  decidingRule,
  explainReason,
  policyPoint,
  policyPointsOf,
} from "./reason.ts";
import type { CaptureNature, Judged, PolicyPoint } from "./reason.ts";
import { FlowRows } from "./same-flow.ts";
import { destinationEnd, portText, sourceEnd } from "./workload.ts";
import type { FindEndpoint } from "./workload.ts";
import { entryOf } from "../tables/entry.ts";

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

/** All that the text says of flows. */
export interface GatheredFlows {
  /** Most packets first. */
  readonly drops: readonly DropGroup[];
  readonly unknowns: readonly UnknownGroup[];
  /** Flows, not rows: those of one flow that got different verdicts are one. */
  readonly flows: number;
  /** Packets that pass although their flow's opening packet was dropped: live, nobody would send them. */
  readonly behindDrops: number;
  /** Packets dropped here that the capture shows behind the filter. */
  readonly contradictions: number;
}

/** Gathers flows in one pass; their rows come in the order of their first packets. */
export function gatherFlows(
  flows: Iterable<FlowVerdict>,
  find: FindEndpoint,
  nature: CaptureNature,
): GatheredFlows {
  const drops = new Map<string, OpenDropGroup>();
  const unknowns = new Map<Reason, OpenUnknownGroup>();
  const rows = new FlowRows();
  let contradictions = 0;
  for (const flow of flows) {
    rows.add(flow);
    if (flow.verdict === "drop") addDrop(drops, flow, find);
    if (flow.verdict === "unknown") addUnknown(unknowns, flow, nature);
    if (flow.verdict === "drop" && flow.observed) contradictions += flow.packets;
  }
  return {
    drops: [...drops.values()].map((group) => dropGroup(group, nature)).sort(byPackets),
    unknowns: [...unknowns.values()]
      .map((group) => ({ ...group, reason: group.first.reason, sentences: [...group.sentences] }))
      .sort(byPackets),
    flows: rows.flows,
    behindDrops: rows.behindDrops,
    contradictions,
  };
}

/** Flows counted so far, and what a group keeps of them. */
interface Counted {
  readonly first: FlowVerdict;
  flows: number;
  packets: number;
}

interface OpenDropGroup extends Counted {
  /** Names of the ends. */
  sources: Names;
  destinations: Names;
  /** Pairs of endpoints. */
  owners: Names;
}

/** Different names, which mostly are one: no set is made for that. */
type Names = string | Set<string>;

function withName(names: Names, name: string): Names {
  if (names === name) return names;
  return typeof names === "string" ? new Set([names, name]) : names.add(name);
}

interface OpenUnknownGroup extends Counted {
  readonly sentences: Set<string>;
}

function addDrop(groups: Map<string, OpenDropGroup>, flow: FlowVerdict, find: FindEndpoint): void {
  const source = sourceEnd(flow, find);
  const destination = destinationEnd(flow, find);
  const key = [source.key, destination.key, portText(flow), flow.reason, ruleKey(flow, find)].join(
    "\n",
  );
  const owners = `${flow.sourceRoute?.owner ?? ""}\n${flow.destinationRoute?.owner ?? ""}`;
  const group = entryOf(groups, key, () => ({
    ...beginning(flow),
    sources: source.name,
    destinations: destination.name,
    owners,
  }));
  count(group, flow);
  group.sources = withName(group.sources, source.name);
  group.destinations = withName(group.destinations, destination.name);
  group.owners = withName(group.owners, owners);
}

function addUnknown(
  groups: Map<Reason, OpenUnknownGroup>,
  flow: FlowVerdict,
  nature: CaptureNature,
): void {
  const group = entryOf(groups, flow.reason, () => ({ ...beginning(flow), sentences: new Set() }));
  count(group, flow);
  group.sentences.add(explainReason(flow, nature));
}

function beginning(first: FlowVerdict): Counted {
  return { first, flows: 0, packets: 0 };
}

function count(group: Counted, flow: FlowVerdict): void {
  group.flows += 1;
  group.packets += flow.packets;
}

function dropGroup(group: OpenDropGroup, nature: CaptureNature): DropGroup {
  const { first, flows, packets, sources, destinations, owners } = group;
  return {
    from: nameOf(sources),
    to: nameOf(destinations),
    port: portText(first),
    flows,
    packets,
    points: pointsOf(first),
    reason: explainReason(first, nature),
    first,
    otherEndpoints: typeof owners === "string" ? 0 : owners.size - 1,
  };
}

/** The policies that a verdict points to. */
export function pointsOf(flow: Judged): PolicyPoint[] {
  const origin = decidingOrigin(flow);
  return origin === undefined ? [] : policyPointsOf(origin);
}

/** The name of ends that share a key: the one they have, or how many addresses they are. */
function nameOf(names: Names): string {
  return typeof names === "string" ? names : `outside(${names.size})`;
}

/**
 * What tells deciding rules apart. Every replica has chains of its own and both families have theirs:
 * the policy position is what a person sees, and the rule only where there is none.
 */
export function ruleKey(flow: Judged, find: FindEndpoint): string {
  const point = policyPoint(flow);
  if (point !== undefined) {
    const { policy, direction, rule } = point;
    return `${policyKey(policy)}\n${direction}\n${rule ?? "isolation"}`;
  }
  const rule = decidingRule(flow);
  const origin = rule?.rule?.origin;
  if (origin?.kind === "invalid") {
    const owner = rule?.owner;
    if (owner === undefined) throw new Error("bug: the rule's chain has no owner");
    const workload = find(owner)?.workload.name ?? owner;
    return `invalid\n${origin.direction}\n${workload}`;
  }
  return rule === undefined ? "" : `${rule.family}\n${rule.table}\n${rule.chain}\n${rule.number}`;
}

/** Sorts are stable: equal groups stay in the order of their first packets. */
function byPackets(one: { packets: number }, other: { packets: number }): number {
  return other.packets - one.packets;
}
