/**
 * What changes between two replays of one capture: the flows whose packets fare otherwise by the proposed
 * policies than by the current ones, packet by packet, gathered into what a person acts on.
 */
import type { RowPair } from "../engine/row-pairs.ts";
import type { FlowVerdict, Verdict } from "../engine/verdict.ts";
import type { Change } from "./blind-spots.ts";
import { ruleKey } from "./grouping.ts";
import type { PolicyContext } from "./nearest-miss.ts";
import { flowKey } from "./same-flow.ts";
import { destinationEnd, portText, sourceEnd } from "./workload.ts";

/** In the order in which they are reported. */
export const CHANGES: readonly Change[] = ["new-drop", "new-allow", "unknown"];

/** Packets of one flow that fare otherwise. */
export interface Flip {
  readonly change: Change;
  readonly before: FlowVerdict;
  readonly after: FlowVerdict;
  readonly packets: number;
  /** Number of the first of them. */
  readonly firstPacket: number;
}

/** Packets, and the flows that they are of. */
export interface Count {
  readonly packets: number;
  readonly flows: number;
}

/** Two replays side by side. */
export interface Comparison {
  /** Flows of which packets are compared. */
  readonly flows: number;
  readonly counts: Readonly<Record<Change | "unchanged", Count>>;
  /** In the order of their first packets. */
  readonly flips: readonly Flip[];
}

const SOMETHING: Readonly<Record<Change | "unchanged", number>> = {
  "new-drop": 1,
  "new-allow": 2,
  unknown: 4,
  unchanged: 8,
};

/**
 * Compares the verdicts of packets.
 *
 * @param flowAt reads the row of a replay's flows: 0 is the current policies'
 * @param wanted chooses flows
 */
export function compareVerdicts(
  pairs: readonly RowPair[],
  flowAt: (side: 0 | 1, place: number) => FlowVerdict,
  wanted: (flow: FlowVerdict) => boolean,
): Comparison {
  const packets = { "new-drop": 0, "new-allow": 0, unknown: 0, unchanged: 0 };
  const happened = new Map<string, number>();
  const flips: Flip[] = [];
  for (const { rows, packets: count, firstPacket } of pairs) {
    const before = flowAt(0, rows[0]);
    if (!wanted(before)) continue;
    const after = flowAt(1, rows[1]);
    const change = changeOf(before.verdict, after.verdict);
    packets[change] += count;
    const key = flowKey(before);
    happened.set(key, (happened.get(key) ?? 0) | SOMETHING[change]);
    if (change === "unchanged" || before.verdict === after.verdict) continue;
    flips.push({ change, before, after, packets: count, firstPacket });
  }
  const masks = [...happened.values()];
  const flowsWith = (change: Change): number =>
    masks.filter((mask) => (mask & SOMETHING[change]) !== 0).length;
  const countOf = (change: Change): Count => ({
    packets: packets[change],
    flows: flowsWith(change),
  });
  return {
    flows: masks.length,
    counts: {
      "new-drop": countOf("new-drop"),
      "new-allow": countOf("new-allow"),
      unknown: countOf("unknown"),
      unchanged: {
        packets: packets.unchanged,
        flows: masks.filter((mask) => mask === SOMETHING.unchanged).length,
      },
    },
    flips,
  };
}

/** What is not known on either side cannot be compared. */
export function changeOf(before: Verdict, after: Verdict): Change | "unchanged" {
  if (before === "unknown" || after === "unknown") return "unknown";
  if ((before === "drop") === (after === "drop")) return "unchanged";
  return after === "drop" ? "new-drop" : "new-allow";
}

/** Flips of one workload pair and port that the same rules decide before and after. */
export interface FlipGroup {
  readonly change: Change;
  /** What the group is accepted by: names of the ends, `outside` for addresses outside the cluster. */
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly flows: number;
  readonly packets: number;
  /** The first flip, which reasons are about. */
  readonly first: Flip;
  readonly flips: readonly Flip[];
  /** Somebody has looked at it, and it is wanted. */
  readonly accepted: boolean;
}

/** What two sides are explained with. */
export interface FlipContext {
  readonly before: PolicyContext;
  readonly after: PolicyContext;
}

/** Names a change as people accept it. */
export interface ChangeName {
  readonly change: Change;
  readonly from: string;
  readonly to: string;
  readonly port: string;
}

/** Gathers flips, the kinds of change in their order, most packets first. */
export function groupFlips(
  flips: readonly Flip[],
  context: FlipContext,
  isAccepted: (name: ChangeName) => boolean,
): FlipGroup[] {
  const groups = new Map<string, { readonly name: ChangeName; readonly flips: Flip[] }>();
  for (const flip of flips) {
    const name = changeName(flip, context);
    const rules = [
      ruleKey(flip.before, context.before.find),
      ruleKey(flip.after, context.after.find),
    ];
    const key = JSON.stringify([name, rules]);
    const group = groups.get(key) ?? { name, flips: [] };
    groups.set(key, group);
    group.flips.push(flip);
  }
  const gathered = [...groups.values()].flatMap(({ name, flips: some }) => {
    const [first] = some;
    if (first === undefined) return [];
    const flows = new Set(some.map(({ before }) => flowKey(before))).size;
    const packets = some.reduce((sum, flip) => sum + flip.packets, 0);
    return [{ ...name, flows, packets, first, flips: some, accepted: isAccepted(name) }];
  });
  return gathered.sort(
    (one, other) =>
      CHANGES.indexOf(one.change) - CHANGES.indexOf(other.change) || other.packets - one.packets,
  );
}

/** The side whose row tells who opened the flow: where it is stopped, or not known. */
export function tellingSide({ change, before }: Flip): "before" | "after" {
  if (change === "unknown") return before.verdict === "unknown" ? "before" : "after";
  return change === "new-drop" ? "after" : "before";
}

function changeName(flip: Flip, context: FlipContext): ChangeName {
  const side = tellingSide(flip);
  const flow = flip[side];
  const { find } = context[side];
  const ends = [sourceEnd(flow, find), destinationEnd(flow, find)].map(({ key, name }) =>
    key === "outside" ? key : name,
  );
  return { change: flip.change, from: ends[0] ?? "", to: ends[1] ?? "", port: portText(flow) };
}
