/** Classes of traffic that change, gathered into what a person acts on: who, to whom, which ports. */
import type { PortRange } from "../match/multiport.ts";
import { formatAddress, formatPrefix } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import type { BlindService, BlindSpot } from "../report/blind-spots.ts";
import { changeOf } from "../report/flips.ts";
import type { FlipContext } from "../report/flips.ts";
import { ruleKey } from "../report/grouping.ts";
import { ownerEnd } from "../report/workload.ts";
import type { FindEndpoint } from "../report/workload.ts";
import type { AddressClass } from "./address-classes.ts";
import type { TrafficClasses } from "./classes.ts";
import type { ProbedClass } from "./probe.ts";
import { OTHER_PROTOCOLS } from "./service-classes.ts";
import type { ServiceClass } from "./service-classes.ts";

/** More ranges of one class are not listed. */
const RANGES_MAX = 3;

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
export function gatherSpots(
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
    const protocol = nameOf(service.protocol);
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
    const except = everything ? undefined : exceptOf(listed, services[example.source.family]);
    return {
      key: JSON.stringify([change, rules, everything || listed]),
      spot: { change, from: [from], to: [to], services: listed, everything, except, before, after },
    };
  });
  return joinEnds(joinEnds(spots, "from", "to"), "to", "from").map(({ spot }) => spot);
}

/** What there is beside the services; undefined where it is not less to say. */
function exceptOf(
  listed: readonly BlindService[],
  all: readonly ServiceClass[],
): BlindService[] | undefined {
  const byProtocol = new Map<string, PortRange[]>();
  for (const { protocol, ports = [] } of all) {
    const name = nameOf(protocol);
    byProtocol.set(name, [...(byProtocol.get(name) ?? []), ...ports]);
  }
  const except = [...byProtocol].flatMap(([protocol, ranges]): BlindService[] => {
    const own = listed.find((each) => each.protocol === protocol);
    if (own === undefined) {
      return [{ protocol, ports: ranges.length === 0 ? undefined : joinRanges(ranges) }];
    }
    const left = own.ports?.reduce<readonly PortRange[]>(without, joinRanges(ranges)) ?? [];
    return left.length === 0 ? [] : [{ protocol, ports: left }];
  });
  const length = (some: readonly BlindService[]): number =>
    some.reduce((sum, { ports }) => sum + Math.max(1, ports?.length ?? 0), 0);
  return except.length > 0 && length(except) < length(listed) ? except : undefined;
}

function without(ranges: readonly PortRange[], taken: PortRange): PortRange[] {
  return ranges.flatMap(({ first, last }) =>
    [
      { first, last: Math.min(last, taken.first - 1) },
      { first: Math.max(first, taken.last + 1), last },
    ].filter((range) => range.first <= range.last),
  );
}

function nameOf(protocol: number): string {
  return protocol === OTHER_PROTOCOLS ? "other protocols" : protocolName(protocol);
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
