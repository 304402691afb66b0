/** Protocols and ports in parts, all of one part the same to some rules; and whether a test matches a part. */
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../net/protocol.ts";
import type { PortRange } from "../match/multiport.ts";
import type { Family } from "../net/address.ts";
import { PORTED } from "./rule-tests.ts";
import type { RuleTest } from "./rule-tests.ts";

/** Traffic of one protocol. */
export interface Part {
  readonly protocol: number;
  /** Of destinations and of sources; undefined: the protocol has none. */
  readonly ports: PortRange | undefined;
  readonly sourcePorts: PortRange | undefined;
  readonly icmp: { readonly type: number; readonly code: number } | undefined;
}

/** What the parts of every group of rules have in common, so that one's lie in those of another. */
export interface Protocols {
  /** Without ports and ICMP; one that no rule names among them. */
  readonly bare: readonly number[];
  readonly icmp: Readonly<Record<Family, readonly NonNullable<Part["icmp"]>[]>>;
}

/** Of those that begin a connection, whatever their code. Source: nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c. */
const ICMP_QUERIES: Readonly<Record<Family, readonly number[]>> = {
  4: [8, 13, 15, 17],
  6: [128, 139],
};
/** Stand for all protocols that no rule names: for experiments (RFC 3692), and unassigned ones. */
const OTHER_PROTOCOLS = [253, 254, 252, 251];
const PORT_MAX = 65_535;

/** Gathers the protocols that rules name. */
export function protocolsOf(tests: readonly RuleTest[]): Protocols {
  const named = tests.flatMap(({ protocol, notProtocol }) => [protocol, notProtocol]);
  const other = OTHER_PROTOCOLS.find((protocol) => !named.includes(protocol));
  const bare = [...named, other].filter(
    (protocol) =>
      protocol !== undefined &&
      !PORTED.includes(protocol) &&
      protocol !== PROTOCOL_ICMP &&
      protocol !== PROTOCOL_ICMPV6,
  );
  const asked = tests.flatMap(({ icmp, notIcmp }) => [icmp, notIcmp].filter((one) => one));
  const icmpOf = (family: Family): NonNullable<Part["icmp"]>[] => {
    const own = family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
    const codes = new Map<number, Set<number>>(
      ICMP_QUERIES[family].map((type) => [type, new Set([0])]),
    );
    for (const { protocol, icmp, notIcmp } of tests) {
      if (protocol !== own) continue;
      for (const one of [icmp, notIcmp]) {
        if (one === undefined) continue;
        const ofType = codes.get(one.type) ?? new Set([0]);
        codes.set(one.type, ofType.add(one.code ?? 0));
      }
    }
    return [...codes].flatMap(([type, named]) =>
      [...named, otherCode(named)].map((code) => ({ type, code })),
    );
  };
  return {
    bare: [...new Set(bare)].filter((protocol) => protocol !== undefined),
    icmp: asked.length === 0 ? QUERIES_ONLY : { 4: icmpOf(4), 6: icmpOf(6) },
  };
}

/** One that no rule names. */
function otherCode(named: ReadonlySet<number>): number {
  let code = 0;
  while (named.has(code)) code++;
  return code;
}

const queries = (family: Family): NonNullable<Part["icmp"]>[] =>
  ICMP_QUERIES[family].map((type) => ({ type, code: 0 }));
const QUERIES_ONLY: Protocols["icmp"] = { 4: queries(4), 6: queries(6) };

/**
 * Cuts all traffic at the ends of every range that the tests name.
 *
 * @param numbers single ports of destinations and of sources that names stand for
 */
export function partsOf(
  tests: readonly RuleTest[],
  protocols: Protocols,
  numbers: readonly number[],
): Readonly<Record<Family, readonly Part[]>> {
  const single = numbers.map((port) => ({ first: port, last: port }));
  const ported = PORTED.flatMap((protocol) => {
    const own = tests.filter((test) => test.protocol === undefined || test.protocol === protocol);
    const ranges = own.flatMap(({ destination: { ports } }) => [
      ...ports.ranges,
      ...ports.notRanges,
    ]);
    const sources = own.flatMap(({ source: { ports } }) => [...ports.ranges, ...ports.notRanges]);
    const named = own.some(
      ({ source: { ports } }) => [ports.names, ports.notNames].flat().length > 0,
    );
    return cut([...ranges, ...single]).flatMap((ports) =>
      cut([...sources, ...(named ? single : [])]).map((sourcePorts): Part => ({
        protocol,
        ports,
        sourcePorts,
        icmp: undefined,
      })),
    );
  });
  const bare = protocols.bare.map(portless);
  const ofFamily = (family: Family): Part[] => [
    ...ported,
    ...protocols.icmp[family].map((icmp) => ({
      ...portless(family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6),
      icmp,
    })),
    // ICMP of the other family is a protocol like others.
    portless(family === 4 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP),
    ...bare,
  ];
  return { 4: ofFamily(4), 6: ofFamily(6) };
}

function portless(protocol: number): Part {
  return { protocol, ports: undefined, sourcePorts: undefined, icmp: undefined };
}

/** The ranges between the ends of ranges. */
function cut(ranges: readonly PortRange[]): PortRange[] {
  const bounds = new Set([0]);
  for (const { first, last } of ranges) {
    bounds.add(first);
    if (last < PORT_MAX) bounds.add(last + 1);
  }
  const sorted = [...bounds].sort((one, other) => one - other);
  return sorted.map((first, index) => ({ first, last: (sorted[index + 1] ?? PORT_MAX + 1) - 1 }));
}

/** What two parts have in common; undefined: nothing. */
export function commonPart(one: Part, other: Part): Part | undefined {
  if (one.protocol !== other.protocol) return undefined;
  if (one.icmp?.type !== other.icmp?.type || one.icmp?.code !== other.icmp?.code) return undefined;
  const ports = commonRange(one.ports, other.ports);
  const sourcePorts = commonRange(one.sourcePorts, other.sourcePorts);
  if (one.ports === undefined) return one;
  return ports === undefined || sourcePorts === undefined
    ? undefined
    : { ...one, ports, sourcePorts };
}

function commonRange(
  one: PortRange | undefined,
  other: PortRange | undefined,
): PortRange | undefined {
  if (one === undefined || other === undefined) return undefined;
  const range = { first: Math.max(one.first, other.first), last: Math.min(one.last, other.last) };
  return range.first > range.last ? undefined : range;
}
