/**
 * Seeded rule sets with the shapes of ClassBench's three families, from a generator of our own: access lists
 * (acl: exact destinations and destination ports), firewalls (fw: one end or the other is anything, port
 * ranges) and IP chains (ipc: between the two, prefixes nested in prefixes). Sources lie in 64.0.0.0/3 and
 * destinations in 128.0.0.0/3, so that a node knows by which interface each packet comes and goes.
 *
 * Shapes after Taylor and Turner, "ClassBench: A Packet Classification Benchmark" (2007), in proportions only.
 */
import { makeRandom, type Random } from "../src/workload/random.ts";

/** The families of rule sets. */
export type Family = "acl" | "fw" | "ipc";

/** One rule; the first that matches counts. */
export interface ClassRule {
  readonly source: Range;
  readonly destination: Range;
  /** Undefined: any protocol, and then any port. */
  readonly protocol: number | undefined;
  readonly sourcePorts: Ports;
  readonly destinationPorts: Ports;
  readonly accepts: boolean;
}

/** A prefix. */
export interface Range {
  /** Its first address. */
  readonly first: number;
  readonly bits: number;
}

/** Inclusive. */
export interface Ports {
  readonly first: number;
  readonly last: number;
}

/** How often each kind of condition comes up, in hundredths. */
interface Shape {
  readonly anySource: number;
  readonly anyDestination: number;
  /** Lengths of the other prefixes, each as likely as another. */
  readonly sourceBits: readonly number[];
  readonly destinationBits: readonly number[];
  readonly anyProtocol: number;
  readonly udp: number;
  readonly sourcePorts: number;
  readonly anyDestinationPort: number;
  readonly portRange: number;
  /** Of prefixes lie within one that was there before. */
  readonly nested: number;
}

const SHAPES: Readonly<Record<Family, Shape>> = {
  acl: {
    anySource: 10,
    anyDestination: 1,
    sourceBits: [16, 20, 23, 24, 24, 27, 30, 32],
    destinationBits: [24, 28, 30, 32, 32, 32],
    anyProtocol: 8,
    udp: 20,
    sourcePorts: 0,
    anyDestinationPort: 20,
    portRange: 10,
    nested: 60,
  },
  fw: {
    anySource: 45,
    anyDestination: 35,
    sourceBits: [16, 22, 24, 28, 32, 32],
    destinationBits: [16, 24, 28, 32, 32],
    anyProtocol: 12,
    udp: 30,
    sourcePorts: 25,
    anyDestinationPort: 25,
    portRange: 30,
    nested: 30,
  },
  ipc: {
    anySource: 15,
    anyDestination: 15,
    sourceBits: [8, 16, 20, 24, 28, 32, 32],
    destinationBits: [8, 16, 20, 24, 28, 32, 32],
    anyProtocol: 20,
    udp: 30,
    sourcePorts: 12,
    anyDestinationPort: 35,
    portRange: 15,
    nested: 50,
  },
};

const SOURCES: Range = { first: 0x40000000, bits: 3 };
const DESTINATIONS: Range = { first: 0x80000000, bits: 3 };
const ANY_PORT: Ports = { first: 0, last: 65_535 };
const WELL_KNOWN = [
  20, 21, 22, 23, 25, 53, 80, 110, 119, 123, 135, 139, 143, 161, 389, 443, 445, 514, 636, 993, 995,
  1433, 1521, 1723, 3128, 3306, 3389, 5060, 5432, 5900, 6000, 6379, 7777, 8000, 8080, 8443, 9090,
];
const RANGES: readonly Ports[] = [
  { first: 1024, last: 65_535 },
  { first: 0, last: 1023 },
  { first: 6000, last: 6063 },
  { first: 33_434, last: 33_600 },
  { first: 137, last: 139 },
];
const TCP = 6;
const UDP = 17;
const ACCEPT_PERCENT = 80;
const BOTH_ANY_PERCENT = 1;
const WIDENESS_STEP = 16;
const ANY_ADDRESS: Range = { first: 0, bits: 0 };
const ONE_PORT = { portRange: 0 };

/** The rule that accepts all. */
export const ANYTHING: ClassRule = {
  ...{ source: ANY_ADDRESS, destination: ANY_ADDRESS, protocol: undefined },
  ...{ sourcePorts: ANY_PORT, destinationPorts: ANY_PORT, accepts: true },
};

/**
 * Draws a rule set. Narrow rules come before wide ones, as written sets have them; some still repeat or hide
 * others.
 */
export function drawRules(family: Family, count: number, seed: number): ClassRule[] {
  const random = makeRandom(seed * 7919 + count);
  const drawn = Array.from({ length: count }, drawer(SHAPES[family], random));
  return drawn.sort((one, other) => wideness(one) - wideness(other));
}

function drawer(shape: Shape, random: Random): () => ClassRule {
  const sources: Range[] = [];
  const destinations: Range[] = [];
  return () => {
    const anySource = random.percent(shape.anySource);
    const source = anySource
      ? ANY_ADDRESS
      : drawRange(SOURCES, shape.sourceBits, sources, shape.nested, random);
    // A rule for anything to anywhere is for one port, if there is one at all.
    const anyDestination = random.percent(anySource ? BOTH_ANY_PERCENT : shape.anyDestination);
    const destination = anyDestination
      ? ANY_ADDRESS
      : drawRange(DESTINATIONS, shape.destinationBits, destinations, shape.nested, random);
    const both = anySource && anyDestination;
    const anyProtocol = !both && random.percent(shape.anyProtocol);
    const protocol = random.percent(shape.udp) ? UDP : TCP;
    const anyPort = anyProtocol || (!both && random.percent(shape.anyDestinationPort));
    return {
      source,
      destination,
      protocol: anyProtocol ? undefined : protocol,
      sourcePorts:
        !anyProtocol && random.percent(shape.sourcePorts) ? drawPorts(shape, random) : ANY_PORT,
      destinationPorts: anyPort ? ANY_PORT : drawPorts(both ? ONE_PORT : shape, random),
      accepts: random.percent(ACCEPT_PERCENT),
    };
  };
}

/** Rules of one step of wideness stay in the order in which they were drawn. */
function wideness({ source, destination }: ClassRule): number {
  return -Math.floor((source.bits + destination.bits) / WIDENESS_STEP);
}

/** The number of the first rule that matches, from 0; -1 without one. The oracle of all classifiers. */
export function firstMatch(
  rules: readonly ClassRule[],
  packet: {
    readonly source: number;
    readonly destination: number;
    readonly protocol: number;
    readonly sourcePort: number;
    readonly destinationPort: number;
  },
): number {
  return rules.findIndex(
    (rule) =>
      (rule.protocol === undefined || rule.protocol === packet.protocol) &&
      within(rule.source, packet.source) &&
      within(rule.destination, packet.destination) &&
      rule.sourcePorts.first <= packet.sourcePort &&
      rule.sourcePorts.last >= packet.sourcePort &&
      rule.destinationPorts.first <= packet.destinationPort &&
      rule.destinationPorts.last >= packet.destinationPort,
  );
}

/** An IPv4 address in words. */
export function addressText(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** `0.0.0.0/0`. */
export function rangeText({ first, bits }: Range): string {
  return `${addressText(first)}/${bits}`;
}

function within({ first, bits }: Range, address: number): boolean {
  return bits === 0 || (address ^ first) >>> (32 - bits) === 0;
}

function drawRange(
  all: Range,
  lengths: readonly number[],
  before: Range[],
  nested: number,
  random: Random,
): Range {
  const bits = random.pick(lengths)!;
  const drawn = random.percent(nested) ? random.pick(before) : undefined;
  const outer = drawn === undefined || drawn.bits > bits ? all : drawn;
  const address = outer.first | (random.below(2 ** 32) & hostMask(outer.bits));
  const range = { first: (address & ~hostMask(bits)) >>> 0, bits };
  before.push(range);
  return range;
}

function hostMask(bits: number): number {
  return bits === 32 ? 0 : 0xffffffff >>> bits;
}

function drawPorts({ portRange }: Pick<Shape, "portRange">, random: Random): Ports {
  if (random.percent(portRange)) return random.pick(RANGES)!;
  const port = random.percent(85) ? random.pick(WELL_KNOWN)! : random.below(65_536);
  return { first: port, last: port };
}
