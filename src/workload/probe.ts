/**
 * Asks two programs about one packet of every class of traffic that may fare otherwise. Each packet opens a
 * connection long after the one before is forgotten, so that none has a part in another's verdict.
 */
import { appendOpening } from "../capture/opening.ts";
import type { Opening } from "../capture/opening.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import type { PortRange } from "../match/multiport.ts";
import type { Address } from "../net/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../net/protocol.ts";
import { sameAddress } from "../net/address.ts";
import type { AddressClass, Member } from "./address-classes.ts";
import type { TrafficClasses } from "./classes.ts";
import type { ServiceClass } from "./service-classes.ts";

/** A class of traffic, and what becomes of its packets. */
export interface ProbedClass {
  readonly source: AddressClass;
  readonly destination: AddressClass;
  readonly service: ServiceClass;
  readonly before: PacketVerdict;
  readonly after: PacketVerdict;
  /** Only between nodes, or only within one: what a node sends to its own endpoints is not policed. */
  readonly where?: "between-nodes" | "within-node";
}

/** Longer than any connection lives that one packet has opened. */
const PAUSE_NS = 700_000_000_000n;

/**
 * Finds the classes whose verdicts differ.
 *
 * @param probesMax more packets are not asked about
 * @param node       the one that judges; undefined: all as one
 * @returns undefined when there are more
 */
export function probeClasses(
  matchers: readonly [Matcher, Matcher],
  classes: TrafficClasses,
  probesMax: number,
  node?: string,
): ProbedClass[] | undefined {
  const pairs: Pair[] = [];
  let count = 0;
  for (const pair of pairsOf(classes, node)) {
    pairs.push(pair);
    count += pair.ends.length * classes.services[pair.source.family].length;
    if (count > probesMax) return undefined;
  }
  const found: ProbedClass[] = [];
  const asked: (Pick<ProbedClass, "source" | "destination" | "service"> & {
    near?: boolean | undefined;
  })[] = [];
  const places: (boolean | undefined)[] = [];
  const settle = (): void => {
    for (const matcher of matchers) matcher.replay();
    const [first, second] = matchers;
    for (const [index, { near, ...what }] of asked.entries()) {
      if (first.verdictAt(index) === second.verdictAt(index)) continue;
      const before = first.packetVerdict(index, []);
      found.push({ ...what, before, after: second.packetVerdict(index, []) });
      places.push(near);
    }
    asked.length = 0;
    for (const matcher of matchers) matcher.batch.clear();
  };
  for (const matcher of matchers) matcher.batch.clear();
  let time = 0n;
  for (const { source, destination, ends } of pairs) {
    for (const service of classes.services[source.family]) {
      const mixed = new Set(ends.map((pair) => pair[2])).size > 1;
      for (const [from, to, near] of ends) {
        time += PAUSE_NS;
        const opening = openingOf(from, to, service, time);
        for (const matcher of matchers) appendOpening(matcher.batch, opening);
        asked.push({ source, destination, service, ...(mixed ? { near } : {}) });
        if (matchers[0].batch.full) settle();
      }
    }
  }
  settle();
  return withPlaces(found, places);
}

/** Marks classes of which only one of two pairs of ends fares otherwise: that on one node, or that on two. */
function withPlaces(
  found: readonly ProbedClass[],
  places: readonly (boolean | undefined)[],
): ProbedClass[] {
  const keyOf = ({ source, destination, service }: ProbedClass): string =>
    `${source.number} ${destination.number} ${service.number}`;
  const changed = new Map<string, number>();
  for (const [index, each] of found.entries()) {
    if (places[index] === undefined) continue;
    changed.set(keyOf(each), (changed.get(keyOf(each)) ?? 0) + 1);
  }
  return found.map((each, index) => {
    const near = places[index];
    if (near === undefined || changed.get(keyOf(each)) !== 1) return each;
    return { ...each, where: near ? "within-node" : "between-nodes" };
  });
}

/** Two addresses; whether they are on one node, undefined where that makes no difference. */
type Ends = readonly [Address, Address, boolean | undefined];

interface Pair {
  readonly source: AddressClass;
  readonly destination: AddressClass;
  readonly ends: readonly Ends[];
}

/** Pairs of classes of which one is not the same in both programs, one of them in the cluster. */
function* pairsOf({ addresses }: TrafficClasses, node: string | undefined): Generator<Pair> {
  for (const source of addresses) {
    if (!source.sends) continue;
    for (const destination of addresses) {
      if (source.family !== destination.family) continue;
      if (!source.touched && !destination.touched) continue;
      if (source.owner === undefined && destination.owner === undefined) continue;
      const ends = endsOf(source.members, destination.members, node);
      if (ends.length > 0) yield { source, destination, ends };
    }
  }
}

/**
 * One pair of addresses on one node and one on two, as nodes do not police traffic with their own endpoints;
 * towards a Service, which may prefer a node's own backends, one from every node.
 */
function endsOf(
  sources: readonly Member[],
  destinations: readonly Member[],
  judging: string | undefined,
): Ends[] {
  const found = new Map<string, Ends>();
  for (const source of sources) {
    for (const destination of destinations) {
      if (sameAddress(source.address, destination.address)) continue;
      const { node } = destination;
      if (judging !== undefined && passesElsewhere(source.node, node, judging)) continue;
      const near = node === undefined ? undefined : source.node === node;
      const key = near === undefined ? `from ${source.node}` : `${near}`;
      if (!found.has(key)) found.set(key, [source.address, destination.address, near]);
    }
  }
  return [...found.values()];
}

/** What another node sends comes by a node only when it goes to it: Services are translated where it starts. */
function passesElsewhere(
  from: string | undefined,
  to: string | undefined,
  judging: string,
): boolean {
  return from !== undefined && from !== judging && to !== judging;
}

function openingOf(
  source: Address,
  destination: Address,
  { protocol, ports, sourcePorts }: ServiceClass,
  timestampNs: bigint,
): Opening {
  const port = portOf(ports);
  const ends = { source, destination, protocol, timestampNs };
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) {
    return {
      ...ends,
      destinationPort: undefined,
      ...(port === undefined ? {} : { icmpType: port }),
      icmpCode: sourcePorts?.[0]?.first ?? 0,
    };
  }
  return { ...ends, destinationPort: port, sourcePort: portOf(sourcePorts) ?? 0 };
}

/** One that stands for all. Port 0 is no port that anybody uses. */
function portOf(ranges: readonly PortRange[] | undefined): number | undefined {
  const [range] = ranges ?? [];
  if (range === undefined) return undefined;
  return range.first === 0 && range.last > 0 ? 1 : range.first;
}
