/**
 * One capture by several implementations of the policies' API: the flows whose packets do not fare alike,
 * gathered into what a person acts on.
 */
import type { RowClass } from "../engine/row-classes.ts";
import type { FlowVerdict, Totals, Verdict } from "../engine/verdict.ts";
import type { Diagnostic } from "../errors.ts";
import type { DialectName } from "../policy/dialect.ts";
import type { Count } from "./flips.ts";
import { ruleKey } from "./grouping.ts";
import type { CaptureNature } from "./reason.ts";
import { flowKey } from "./same-flow.ts";
import { destinationEnd, portText, sourceEnd } from "./workload.ts";
import type { FindEndpoint } from "./workload.ts";

/** Packets of one flow that do not fare alike. */
export interface Difference {
  /** By dialect, in the order of `DialectReport.names`. */
  readonly flows: readonly FlowVerdict[];
  readonly packets: number;
  /** Number of the first of them. */
  readonly firstPacket: number;
  /** One drops them and another does not; else some cannot tell. */
  readonly certain: boolean;
}

/** Differences of one workload pair and port that the same rules decide. */
export interface DifferenceGroup {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly flows: number;
  readonly packets: number;
  readonly certain: boolean;
  readonly first: Difference;
  readonly differences: readonly Difference[];
}

/** What a comparison of dialects says. */
export interface DialectReport {
  /** Those that judged. */
  readonly names: readonly DialectName[];
  /** Those that do not have some of the policies. */
  readonly refused: readonly { readonly name: DialectName; readonly why: Diagnostic }[];
  /** Of the whole capture. */
  readonly totals: Totals;
  readonly alike: Count;
  readonly differ: Count;
  /** Those that are certain first, most packets first. */
  readonly groups: readonly DifferenceGroup[];
  readonly nature: CaptureNature;
  readonly partial: "interrupted" | "damaged" | undefined;
  /** Packets of flows that the list of flows had no room for: they are not compared. */
  readonly lost: number;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Compares the verdicts of packets.
 *
 * @param flowAt reads a row of one replay's flows
 * @param wanted chooses flows
 */
export function compareDialects(
  classes: readonly RowClass[],
  flowAt: (replay: number, place: number) => FlowVerdict,
  {
    wanted,
    find,
  }: { readonly wanted: (flow: FlowVerdict) => boolean; readonly find: FindEndpoint },
): Pick<DialectReport, "alike" | "differ" | "groups"> {
  const counts = { alike: 0, differ: 0 };
  const flowsWith = { alike: new Set<string>(), differ: new Set<string>() };
  const differences: Difference[] = [];
  for (const { rows, packets, firstPacket } of classes) {
    const flows = rows.map((place, replay) => flowAt(replay, place));
    const [first] = flows;
    if (first === undefined || !wanted(first)) continue;
    const verdicts = new Set(flows.map(({ verdict }) => verdict));
    const what = verdicts.size === 1 ? "alike" : "differ";
    counts[what] += packets;
    flowsWith[what].add(flowKey(first));
    if (what === "differ") {
      differences.push({ flows, packets, firstPacket, certain: isCertain(verdicts) });
    }
  }
  const onlyAlike = [...flowsWith.alike].filter((key) => !flowsWith.differ.has(key));
  return {
    alike: { packets: counts.alike, flows: onlyAlike.length },
    differ: { packets: counts.differ, flows: flowsWith.differ.size },
    groups: groupDifferences(differences, find),
  };
}

function isCertain(verdicts: ReadonlySet<Verdict>): boolean {
  return verdicts.has("drop") && (verdicts.has("allow") || verdicts.has("unfiltered"));
}

function groupDifferences(
  differences: readonly Difference[],
  find: FindEndpoint,
): DifferenceGroup[] {
  const groups = new Map<string, Difference[]>();
  for (const difference of differences) {
    const key = JSON.stringify([
      endsOf(difference, find),
      difference.flows.map((flow) => [flow.verdict, ruleKey(flow, find)]),
    ]);
    groups.set(key, [...(groups.get(key) ?? []), difference]);
  }
  const gathered = [...groups.values()].flatMap((some) => {
    const [first] = some;
    if (first === undefined) return [];
    const flows = new Set(
      some.flatMap(({ flows: [flow] }) => (flow === undefined ? [] : [flowKey(flow)])),
    );
    const packets = some.reduce((sum, each) => sum + each.packets, 0);
    const { certain } = first;
    return [
      { ...endsOf(first, find), flows: flows.size, packets, certain, first, differences: some },
    ];
  });
  return gathered.sort(
    (one, other) => Number(other.certain) - Number(one.certain) || other.packets - one.packets,
  );
}

function endsOf(
  { flows: [flow] }: Difference,
  find: FindEndpoint,
): Pick<DifferenceGroup, "from" | "to" | "port"> {
  if (flow === undefined) throw new Error("bug: a difference without a flow");
  return {
    from: sourceEnd(flow, find).name,
    to: destinationEnd(flow, find).name,
    port: portText(flow),
  };
}
