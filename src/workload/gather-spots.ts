/** Classes of traffic that change, gathered into what a person acts on: who, to whom, which ports. */
import type { PortRange } from "../match/multiport.ts";
import { formatAddress, formatPrefix } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import { countText } from "../report/layout.ts";
import { isIcmp } from "../report/blind-spots.ts";
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
/** Behind the last port, and behind ICMP's last code. */
const PORT_END = 65_536;
const CODE_END = 256;

/** What tells rows apart, and one of their packets. */
interface Kind {
  readonly change: BlindSpot["change"];
  readonly where: BlindSpot["where"];
  readonly rules: string;
  readonly example: ProbedClass;
}

/** Traffic of one pair of ends. */
interface OpenPair extends Kind {
  readonly from: string;
  readonly to: string;
  readonly services: Map<string, ServiceClass[]>;
  /** By pair of classes: the numbers of services. */
  readonly numbers: Map<string, Set<number>>;
  readonly most: Map<string, number>;
}

/** Joins classes of the same ends that the same rules decide, then ends that have all else in common. */
export function gatherSpots(
  probed: readonly ProbedClass[],
  context: FlipContext,
  { addresses, services }: TrafficClasses,
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
    const { where } = each;
    const key = JSON.stringify([change, where, from, to, rules, source.family]);
    const pair = pairs.get(key) ?? {
      ...{ change, where, rules, example: each, from, to },
      services: new Map<string, ServiceClass[]>(),
      numbers: new Map<string, Set<number>>(),
      most: new Map<string, number>(),
    };
    pairs.set(key, pair);
    const protocol = nameOf(service.protocol);
    pair.services.set(protocol, [...(pair.services.get(protocol) ?? []), service]);
    const classes = `${source.number} ${destination.number}`;
    const asked = services[source.family];
    // A class of which the capture shows a part is not all there.
    const whole = asked.includes(service) ? [service.number] : [];
    pair.numbers.set(classes, new Set([...(pair.numbers.get(classes) ?? []), ...whole]));
    pair.most.set(classes, asked.length);
  }
  const families = new Set(
    addresses.flatMap(({ owner, family }) => (owner === undefined ? [] : [family])),
  );
  const spots = [...pairs.values()].map(({ change, where, rules, example, from, to, ...pair }) => {
    const { family } = example.source;
    const everything = [...pair.numbers].every(
      ([classes, numbers]) => numbers.size === pair.most.get(classes),
    );
    const listed = [...pair.services].flatMap(([protocol, some]) => listPorts(protocol, some));
    const { before, after } = example;
    const except = everything ? undefined : exceptOf(listed, services[family]);
    return {
      rules,
      spot: {
        ...{ change, where, from: [from], to: [to], services: listed, everything, except },
        ...{ before, after },
        family: families.size > 1 ? family : undefined,
      },
    };
  });
  const joined = joinEnds(joinEnds(joinFamilies(spots), "from", "to"), "to", "from");
  return joined.map(({ spot }) => spot);
}

/** The ports of a protocol, apart where clients' ports are not the same. */
function listPorts(protocol: string, classes: readonly ServiceClass[]): BlindService[] {
  const ports = joinRanges(classes.flatMap((each) => each.ports ?? []));
  if (ports.length === 0) return [{ protocol, ports: undefined }];
  const end = isIcmp(protocol) ? CODE_END : PORT_END;
  if (classes.every(({ sourcePorts }) => isAll(sourcePorts, end))) return [{ protocol, ports }];
  const ranges = classes.flatMap((each) => each.ports ?? []);
  const bounds = new Set(ranges.flatMap(({ first, last }) => [first, last + 1]));
  const sorted = [...bounds].sort((one, other) => one - other);
  const bySources = new Map<string, { sources: PortRange[]; ports: PortRange[] }>();
  for (const [index, first] of sorted.entries()) {
    const those = classes.filter((each) =>
      each.ports?.some((range) => range.first <= first && first <= range.last),
    );
    if (those.length === 0) continue;
    const sources = joinRanges(those.flatMap((each) => each.sourcePorts ?? []));
    const key = JSON.stringify(sources);
    const kept = bySources.get(key) ?? { sources, ports: [] };
    bySources.set(key, kept);
    kept.ports.push({ first, last: (sorted[index + 1] ?? PORT_END) - 1 });
  }
  return [...bySources.values()].map(({ sources, ports: some }) => ({
    ...{ protocol, ports: joinRanges(some) },
    ...(isAll(sources, end)
      ? {}
      : isIcmp(protocol)
        ? { codes: sources }
        : { sourcePorts: sources }),
  }));
}

/** Any port of a client will do, or any code of ICMP, or the protocol has none. */
function isAll(ranges: readonly PortRange[] | undefined, end: number): boolean {
  const [range] = joinRanges(ranges ?? []);
  return range === undefined || (range.first === 0 && range.last === end - 1);
}

/** Joins spots that are the same in both families; ICMP's names are not. */
function joinFamilies(spots: readonly KeyedSpot[]): KeyedSpot[] {
  const byKey = new Map<string, KeyedSpot>();
  for (const { rules, spot } of spots) {
    const { change, where, everything, services, from, to } = spot;
    const same = everything || services.filter(({ protocol }) => !isIcmp(protocol));
    const key = JSON.stringify([change, where, rules, same, from, to]);
    const other = byKey.get(key)?.spot;
    byKey.set(key, { rules, spot: other === undefined ? spot : bothFamilies(other, spot) });
  }
  return [...byKey.values()];
}

function bothFamilies(one: BlindSpot, other: BlindSpot): BlindSpot {
  const except = one.except && other.except && joinServices(one.except, other.except);
  const services = joinServices(one.services, other.services);
  return { ...one, services, except, family: undefined };
}

function joinServices(
  some: readonly BlindService[],
  others: readonly BlindService[],
): BlindService[] {
  const byText = [...some, ...others].map((each) => [JSON.stringify(each), each] as const);
  return [...new Map(byText).values()];
}

/** What there is beside the services; undefined where it is not less to say. */
function exceptOf(
  listed: readonly BlindService[],
  all: readonly ServiceClass[],
): BlindService[] | undefined {
  if (listed.some(({ sourcePorts, codes }) => (sourcePorts ?? codes) !== undefined))
    return undefined;
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
  readonly rules: string;
  readonly spot: BlindSpot;
}

/** Joins one end of spots that are alike and have the other end in common. */
function joinEnds(
  spots: readonly KeyedSpot[],
  joined: "from" | "to",
  same: "from" | "to",
): KeyedSpot[] {
  const byKey = new Map<string, KeyedSpot>();
  for (const { rules, spot } of spots) {
    const { change, where, family, everything, services } = spot;
    const key = JSON.stringify([change, where, rules, family, everything || services, spot[same]]);
    const before = byKey.get(key);
    const names = [...new Set([...(before?.spot[joined] ?? []), ...spot[joined]])];
    byKey.set(key, { rules, spot: { ...(before?.spot ?? spot), [joined]: names } });
  }
  return [...byKey.values()];
}

/** What an end of a class is called: who has it, or its ranges. */
export function endName({ owner, ranges, named }: AddressClass, find: FindEndpoint): string {
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
  return more > 0 ? `${shown} and ${countText(more, "more range")}` : shown;
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
