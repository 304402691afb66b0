/** Protocols and ports in classes: ports fall apart at the ends of every range that a rule or set names. */
import { CLIENT_PORT } from "../capture/opening.ts";
import type { Program } from "../engine/program.ts";
import type { PortRange } from "../match/multiport.ts";
import type { Match } from "../match/index.ts";
import { setNameOf } from "../match/set.ts";
import type { Family } from "../net/address.ts";
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../net/protocol.ts";
import type { Rule, Ruleset } from "../tables/model.ts";
import { rulesOf } from "./places.ts";

/** Protocols and ports that are the same to all rules. */
export interface ServiceClass {
  readonly number: number;
  readonly protocol: number;
  /** ICMP: types; undefined: the protocol has none. */
  readonly ports: readonly PortRange[] | undefined;
  /** The same of clients; ICMP: codes. */
  readonly sourcePorts: readonly PortRange[] | undefined;
}

/** Stands for all protocols that no rule names: for experiments (RFC 3692). */
export const OTHER_PROTOCOLS = 253;
const PORTED = [PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP];
const PORT_MAX = 65_535;
/** Of ICMP's codes. */
const CODE_MAX = 255;
/** Of those that begin a connection. */
const ICMP_QUERIES: Readonly<Record<Family, readonly number[]>> = {
  4: [8, 13, 15, 17],
  6: [128, 139],
};

/** Sorts protocols and ports into classes. */
export function serviceClasses(family: Family, programs: readonly Program[]): ServiceClass[] {
  const rulesets = programs.flatMap((program) =>
    program.rulesets.filter((ruleset) => ruleset.family === family),
  );
  const rules = rulesets.flatMap(rulesOf);
  const matches = rules.flatMap((rule) => rule.matches);
  const icmp = family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
  const named = matches.flatMap((match) => (match.kind === "protocol" ? [match.protocol] : []));
  const bare = [...new Set([...named, OTHER_PROTOCOLS])].filter(
    (protocol) => !PORTED.includes(protocol) && protocol !== icmp,
  );
  const classes: Omit<ServiceClass, "number">[] = [];
  for (const protocol of PORTED) {
    const asked = rules.filter((rule) => mayMatch(rule, protocol)).flatMap((rule) => rule.matches);
    const inSets = (side: "src" | "dst"): PortRange[] => setRanges(rulesets, protocol, side);
    const ports = portClasses([...destinationRanges(asked), ...inSets("dst")], 0);
    const sources = portClasses([...sourceRanges(asked), ...inSets("src")], CLIENT_PORT);
    for (const each of ports) {
      for (const source of sources) {
        classes.push({ protocol, ports: each, sourcePorts: source });
      }
    }
  }
  for (const type of ICMP_QUERIES[family]) {
    for (const codes of portClasses(codeRanges(matches, type), 0, CODE_MAX)) {
      classes.push({ protocol: icmp, ports: [{ first: type, last: type }], sourcePorts: codes });
    }
  }
  for (const protocol of bare) classes.push({ protocol, ports: undefined, sourcePorts: undefined });
  return classes.map((each, number) => ({ ...each, number }));
}

/** The rule is not for another protocol. */
function mayMatch({ matches }: Rule, protocol: number): boolean {
  return !matches.some(
    (match) => match.kind === "protocol" && !match.invert && match.protocol !== protocol,
  );
}

/**
 * The ports that lie in the same of these ranges, gathered.
 *
 * @param first the class that has this port comes first, with its range cut to begin there
 * @param most  the last port that there is
 */
function portClasses(ranges: readonly PortRange[], first: number, most = PORT_MAX): PortRange[][] {
  const bounds = new Set([0, first]);
  for (const range of ranges) {
    bounds.add(range.first);
    if (range.last < most) bounds.add(range.last + 1);
  }
  const sorted = [...bounds].sort((one, other) => one - other);
  const byKey = new Map<string, PortRange[]>();
  for (const [index, start] of sorted.entries()) {
    const end = (sorted[index + 1] ?? most + 1) - 1;
    const key = ranges
      .flatMap((range, place) => (range.first <= start && start <= range.last ? [place] : []))
      .join();
    const same = byKey.get(key) ?? [];
    byKey.set(key, same);
    const last = same.at(-1);
    if (start === first && first !== 0) same.unshift({ first: start, last: end });
    else if (last?.last === start - 1) same[same.length - 1] = { first: last.first, last: end };
    else same.push({ first: start, last: end });
  }
  return [...byKey.values()];
}

function destinationRanges(matches: readonly Match[]): PortRange[] {
  return matches.flatMap((match) => {
    if (match.kind === "port" && match.dport !== undefined) return [match.dport];
    return match.kind === "multiport" && match.side === "dst" ? match.ports : [];
  });
}

function sourceRanges(matches: readonly Match[]): PortRange[] {
  return matches.flatMap((match) => {
    if (match.kind === "port" && match.sport !== undefined) return [match.sport];
    return match.kind === "multiport" && match.side === "src" ? match.ports : [];
  });
}

function codeRanges(matches: readonly Match[], type: number): PortRange[] {
  return matches.flatMap((match) => {
    if (match.kind !== "icmp" || match.type !== type || match.code === undefined) return [];
    return [{ first: match.code, last: match.code }];
  });
}

/** The ports of the sets in which some rule looks up a port of this side. */
function setRanges(
  rulesets: readonly Ruleset[],
  protocol: number,
  side: "src" | "dst",
): PortRange[] {
  return rulesets.flatMap((ruleset) => {
    const asked = new Set(
      rulesOf(ruleset).flatMap(({ matches }) =>
        matches.flatMap((match) =>
          match.kind === "set" && match.flags.includes(side)
            ? [setNameOf(match.set, ruleset.family)]
            : [],
        ),
      ),
    );
    return ruleset.sets.flatMap((set) => {
      if (set.kind === "hash:net" || !asked.has(set.name)) return [];
      const members = set.kind === "entries" ? set.entries : set.members;
      return members.flatMap((member) =>
        member.port === undefined || (member.protocol ?? protocol) !== protocol
          ? []
          : [{ first: member.port, last: member.port }],
      );
    });
  });
}
