/** Newly dropped flows of one pair and port, which one hint is to mend. */
import type { Opening } from "../capture/opening.ts";
import type { FlowVerdict, Judgement, Tuple } from "../engine/verdict.ts";
import { formatAddress } from "../net/address.ts";
import type { FlipGroup } from "../report/flips.ts";
import type { MendedPair } from "../report/hints.ts";
import { destinationEnd, portText, sourceEnd } from "../report/workload.ts";
import type { FindEndpoint } from "../report/workload.ts";
import type { ProbedClass } from "../workload/probe.ts";

/** What has to pass. */
export interface Need {
  readonly pair: MendedPair;
  /** Each pair of addresses once. */
  readonly openings: readonly Opening[];
  /** The first flow, by the current policies. */
  readonly before: FlowVerdict;
  /** Addresses outside the cluster that are an end of it. */
  readonly outside: ReadonlySet<string>;
}

/** Joins groups of one pair and port: what decided before does not matter. */
export function needsOf(groups: readonly FlipGroup[]): Need[] {
  const byPair = new Map<string, FlipGroup[]>();
  for (const group of groups) {
    if (group.change !== "new-drop" || group.accepted) continue;
    const key = pairKey(group);
    byPair.set(key, [...(byPair.get(key) ?? []), group]);
  }
  return [...byPair.values()].flatMap((some) => {
    const [first] = some;
    if (first === undefined) return [];
    const { from, to, port } = first;
    const flows = some.flatMap(({ flips }) => flips.map(({ after }) => after));
    const openings = new Map<string, Opening>();
    for (const { key, opening } of flows.flatMap((flow) => openingOf(flow) ?? [])) {
      openings.set(key, opening);
    }
    const outside = new Set<string>();
    for (const { sourceRoute, source, destinationRoute, destination } of flows) {
      const ends = [
        [sourceRoute, source],
        [destinationRoute, destination],
      ] as const;
      for (const [route, address] of ends) {
        if (route?.owner === undefined && address !== undefined)
          outside.add(formatAddress(address));
      }
    }
    const pair = { from, to, port };
    return [{ pair, openings: [...openings.values()], before: first.first.before, outside }];
  });
}

/** Tells whether a class of traffic that opens is all of what somebody needs. */
export function neededBy(
  needs: readonly Need[],
  find: FindEndpoint,
): (opened: ProbedClass) => boolean {
  const byPair = new Map(needs.map((need) => [pairKey(need.pair), need]));
  return ({ source, destination, service, after }) => {
    const [only, ...others] = service.ports ?? [];
    const single = only === undefined || (others.length === 0 && only.first === only.last);
    if (!single && after.translated === undefined) return false;
    const need = byPair.get(pairKey(pairOf(after, find)));
    if (need === undefined) return false;
    return [source, destination].every(
      ({ owner, ranges }) =>
        owner !== undefined ||
        ranges.every(({ first, last }) => {
          const text = formatAddress(first);
          return text === formatAddress(last) && need.outside.has(text);
        }),
    );
  };
}

/** As changes name it: addresses outside the cluster are one end. */
function pairOf(judged: Tuple & Judgement, find: FindEndpoint): MendedPair {
  const [from, to] = [sourceEnd(judged, find), destinationEnd(judged, find)].map(({ key, name }) =>
    key === "outside" ? key : name,
  );
  return { from: from ?? "", to: to ?? "", port: portText(judged) };
}

function pairKey({ from, to, port }: MendedPair): string {
  return JSON.stringify([from, to, port]);
}

/** The packet that opens a flow, and what tells it from others; undefined where some of it is not known. */
function openingOf(
  flow: FlowVerdict,
): { readonly key: string; readonly opening: Opening } | undefined {
  const { source, destination, protocol, destinationPort, sourcePort, icmp } = flow;
  if (source === undefined || destination === undefined || protocol === undefined) return undefined;
  const ends = [formatAddress(source), formatAddress(destination)];
  return {
    key: JSON.stringify([...ends, protocol, destinationPort, icmp?.type]),
    opening: {
      ...{ source, destination, protocol, destinationPort },
      ...(sourcePort === undefined ? {} : { sourcePort }),
      ...(icmp === undefined ? {} : { icmpType: icmp.type }),
    },
  };
}
