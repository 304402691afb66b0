/** Newly dropped traffic of one pair and port, which one hint is to mend. */
import type { Opening } from "../capture/opening.ts";
import { openingOf } from "../engine/opening.ts";
import type { Judgement, Tuple } from "../engine/verdict.ts";
import { addressBits, formatAddress, hostPrefix } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import { blindNamesText } from "../report/blind-spots.ts";
import type { FlipContext, FlipGroup } from "../report/flips.ts";
import type { MendedPair } from "../report/hints.ts";
import type { FateGroup } from "../report/rollout.ts";
import { destinationEnd, portText, sourceEnd } from "../report/workload.ts";
import type { FindEndpoint } from "../report/workload.ts";
import { addressOf, valueOf } from "../workload/address-classes.ts";
import type { AddressClass, AddressRange } from "../workload/address-classes.ts";
import { endName } from "../workload/gather-spots.ts";
import type { ProbedClass } from "../workload/probe.ts";

/** What has to pass. */
export interface Need {
  readonly pair: MendedPair;
  /** What tells it from others: outside the cluster addresses are one end. */
  readonly key: string;
  /** Each pair of addresses once. */
  readonly openings: readonly Opening[];
  /** The first flow, by the current policies. */
  readonly before: Tuple & Judgement;
  /** Addresses outside the cluster that are an end of it; of the classes of traffic whole ranges. */
  readonly outside: readonly AddressRange[];
  /** More than a single port is lost: only the rule that let it pass is mended, none is written for it. */
  readonly wide: boolean;
  /** No rule is looked for, and why. */
  readonly hopeless: string | undefined;
}

/** A flow that is newly dropped: what opens it, as one side judges it, and the current policies. */
interface Lost {
  readonly pair: MendedPair;
  readonly opening: Tuple & Judgement;
  readonly before: Tuple & Judgement;
}

/** Joins groups of one pair and port: what decided before does not matter. */
export function needsOf(groups: readonly FlipGroup[], fates: readonly FateGroup[]): Need[] {
  const lost = [
    ...groups.flatMap((group): Lost[] =>
      group.change !== "new-drop" || group.accepted
        ? []
        : group.flips.map(({ before, after }) => ({ pair: group, opening: after, before })),
    ),
    ...fates.flatMap((group): Lost[] =>
      group.fate === "unknown" || group.accepted
        ? []
        : group.connections.map(({ opening }) => ({ pair: group, opening, before: opening })),
    ),
  ];
  return [...Map.groupBy(lost, ({ pair }) => pairKey(pair))].flatMap(([key, some]) => {
    const [first] = some;
    if (first === undefined) return [];
    const { from, to, port } = first.pair;
    const flows = some.map(({ opening }) => opening);
    const outside = flows.flatMap(({ sourceRoute, source, destinationRoute, destination }) =>
      (
        [
          [sourceRoute, source],
          [destinationRoute, destination],
        ] as const
      ).flatMap(([route, address]) =>
        route?.owner !== undefined || address === undefined ? [] : [single(address)],
      ),
    );
    return [
      {
        ...{ pair: { from, to, port }, key, openings: openingsOf(flows), outside },
        ...{ before: first.before, wide: false, hopeless: undefined },
      },
    ];
  });
}

/** Of more ports of a pair, what is dropped is no slip. */
const PORTS_MAX = 3;
/** More prefixes are no rule that anybody would write. */
const PREFIXES_MAX = 8;

/** What classes of traffic need that are newly dropped, whatever a capture would show. */
export function needsOfClasses(probed: readonly ProbedClass[], context: FlipContext): Need[] {
  const lost = probed.filter(
    ({ before, after }) => before.verdict === "allow" && after.verdict === "drop",
  );
  const find = findEither(context);
  const byEnds = Map.groupBy(lost, ({ source, destination, after }) => {
    const { from, to } = pairOf(after, find);
    return JSON.stringify([from, to, ...[source, destination].map((end) => rangesKey(end))]);
  });
  const needs = [...byEnds.values()].flatMap((some) => {
    const byPort = Map.groupBy(some, ({ after }) => portText(after));
    const narrow = some.every(({ service }) => isSingle(service)) && byPort.size <= PORTS_MAX;
    if (narrow) return [...byPort.values()].flatMap((each) => needOfClasses(each, find));
    return needOfClasses(some, find).map((need) => {
      const pair = { ...need.pair, port: SEVERAL_PORTS };
      const ends = { ...pairOf(need.before, find), port: "" };
      return { ...need, pair, key: pairKey(ends), wide: true };
    });
  });
  return [...Map.groupBy(needs, ({ key }) => key).values()].flatMap(joinNeeds);
}

const TOO_SCATTERED = "the addresses are too many prefixes for a rule";
const SEVERAL_PORTS = "several ports";

/** One end of a class, told apart where it is outside the cluster. */
function rangesKey({ owner, number }: AddressClass): number | undefined {
  return owner === undefined ? number : undefined;
}

function needOfClasses(some: readonly ProbedClass[], find: FindEndpoint): Need[] {
  const [first] = some;
  if (first === undefined) return [];
  const { source, destination, before, after } = first;
  const key = pairKey(pairOf(after, find));
  const outside = [source, destination].flatMap(({ owner, ranges, named, family }) =>
    owner !== undefined ? [] : named ? ranges : [everywhere(family)],
  );
  const [from, to] = [source, destination].map((end) => endName(end, find));
  const pair = { from: from ?? "", to: to ?? "", port: portText(after) };
  const openings = openingsOf(some.map((each) => each.after));
  const prefixes = outside.flatMap((range) => prefixesOf(range));
  const hopeless = prefixes.length > PREFIXES_MAX ? TOO_SCATTERED : undefined;
  return [{ pair, key, openings, before, outside, wide: false, hopeless }];
}

/** What several classes outside the cluster need of one port is one need. */
function joinNeeds(some: readonly Need[]): Need[] {
  const [first, ...others] = some;
  if (first === undefined) return [];
  if (others.length === 0) return [first];
  const outside = some.flatMap((need) => need.outside);
  const names = (end: "from" | "to"): string =>
    blindNamesText([...new Set(some.map(({ pair }) => pair[end]))]);
  const prefixes = outside.flatMap((range) => prefixesOf(range));
  return [
    {
      ...first,
      ...{ pair: { ...first.pair, from: names("from"), to: names("to") }, outside },
      openings: some.flatMap(({ openings }) => openings),
      hopeless: first.hopeless ?? (prefixes.length > PREFIXES_MAX ? TOO_SCATTERED : undefined),
    },
  ];
}

function isSingle({ ports }: ProbedClass["service"]): boolean {
  const [only, ...others] = ports ?? [];
  return only !== undefined && others.length === 0 && only.first === only.last;
}

function findEither({ before, after }: FlipContext): FindEndpoint {
  return (owner) => after.find(owner) ?? before.find(owner);
}

/** Tells whether a class of traffic that opens is all of what somebody needs. */
export function neededBy(
  needs: readonly Need[],
  find: FindEndpoint,
): (opened: ProbedClass) => boolean {
  const byKey = Map.groupBy(
    needs.filter(({ hopeless }) => hopeless === undefined),
    ({ key }) => key,
  );
  return ({ source, destination, service, after }) => {
    const [only, ...others] = service.ports ?? [];
    const single = only === undefined || (others.length === 0 && only.first === only.last);
    const pair = pairOf(after, find);
    const narrow = single || after.translated !== undefined ? byKey.get(pairKey(pair)) : undefined;
    const own = [...(narrow ?? []), ...(byKey.get(pairKey({ ...pair, port: "" })) ?? [])];
    const outside = own.flatMap((need) => need.outside);
    return (
      own.length > 0 &&
      [source, destination].every(
        ({ owner, ranges }) =>
          owner !== undefined ||
          ranges.every((range) => outside.some((each) => holds(each, range))),
      )
    );
  };
}

/** The prefixes by which a rule means an address that is an end of it: those of the ranges that hold it. */
export function prefixesAt(address: Address, { outside }: Need): readonly Prefix[] {
  const found = outside.filter((range) => holds(range, single(address))).flatMap(prefixesOf);
  return found.length === 0 ? [hostPrefix(address)] : found;
}

function single(address: Address): AddressRange {
  return { first: address, last: address, bits: addressBits(address.family) };
}

function everywhere(family: Family): AddressRange {
  const last = (1n << BigInt(addressBits(family))) - 1n;
  return { first: addressOf(family, 0n), last: addressOf(family, last), bits: 0 };
}

function holds(outer: AddressRange, inner: AddressRange): boolean {
  return (
    outer.first.family === inner.first.family &&
    valueOf(outer.first) <= valueOf(inner.first) &&
    valueOf(inner.last) <= valueOf(outer.last)
  );
}

/** A range as prefixes, the fewest. */
function prefixesOf({ first, last, bits }: AddressRange): Prefix[] {
  if (bits !== undefined) return [{ address: first, bits }];
  const { family } = first;
  const width = BigInt(addressBits(family));
  const prefixes: Prefix[] = [];
  const end = valueOf(last);
  for (let start = valueOf(first); start <= end;) {
    let free = 0n;
    while (free < width && start % (2n << free) === 0n && start + (2n << free) - 1n <= end) free++;
    prefixes.push({ address: addressOf(family, start), bits: Number(width - free) });
    start += 1n << free;
  }
  return prefixes;
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

/** The packets that open flows, those of the same ends and port once. */
function openingsOf(flows: readonly (Tuple & Judgement)[]): Opening[] {
  const byKey = new Map(
    flows.flatMap((flow) => {
      const opening = openingOf(flow);
      return opening?.protocol === undefined ? [] : [[openingKey(opening), opening] as const];
    }),
  );
  return [...byKey.values()];
}

function openingKey(opening: Opening): string {
  const { source, destination, protocol, destinationPort, icmpType, icmpCode } = opening;
  const ends = [source, destination].map(formatAddress);
  return JSON.stringify([...ends, protocol, destinationPort, icmpType, icmpCode]);
}
