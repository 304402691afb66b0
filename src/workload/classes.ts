/**
 * All traffic that a cluster can have, in classes: packets of one class are the same to every rule of the
 * current and of the proposed tables.
 */
import type { PortRange } from "../match/multiport.ts";
import type { Match } from "../match/index.ts";
import type { Address, Family } from "../net/address.ts";
import { addressClasses, valueOf } from "./address-classes.ts";
import type { AddressClass, Subjects } from "./address-classes.ts";
import { rulesOf } from "./places.ts";
import { OTHER_PROTOCOLS, serviceClasses } from "./service-classes.ts";
import type { ServiceClass } from "./service-classes.ts";

/** Everything that is compared. */
export interface TrafficClasses {
  readonly addresses: readonly AddressClass[];
  readonly services: Readonly<Record<Family, readonly ServiceClass[]>>;
  /** The class of an address; undefined: it is never sent to, or of the cluster's and nobody's. */
  addressClass(address: Address): AddressClass | undefined;
  serviceClass(
    family: Family,
    service: {
      readonly protocol: number;
      /** ICMP: the type. */
      readonly port: number | undefined;
      /** ICMP: the code. */
      readonly sourcePort: number | undefined;
    },
  ): ServiceClass | undefined;
}

/** Conditions that are understood here: the verdict of a class hangs on nothing else. */
const UNDERSTOOD: ReadonlySet<Match["kind"]> = new Set([
  "address",
  "addrtype",
  "comment",
  "conntrack",
  "icmp",
  "interface",
  "mark",
  "multiport",
  "opaque",
  "port",
  "protocol",
  "random",
  "recent",
  "rpfilter",
  "set",
  "state",
] satisfies Match["kind"][]);

/** The condition that no class tells apart; undefined when there is none. */
export function notUnderstood({ programs }: Subjects): string | undefined {
  for (const { rulesets, topology } of programs) {
    if (topology.interfaces !== undefined) return "a node's dumps";
    for (const { matches } of rulesets.flatMap(rulesOf)) {
      const odd = matches.find(
        (match) =>
          !UNDERSTOOD.has(match.kind) ||
          (match.kind === "address" && match.mask !== undefined) ||
          (match.kind === "multiport" && match.side === "either"),
      );
      if (odd !== undefined) return `-m ${odd.kind}`;
    }
  }
  return undefined;
}

/** Sorts all traffic into classes. */
export function classifyTraffic(subjects: Subjects): TrafficClasses {
  const { programs } = subjects;
  const families = ([4, 6] as const).map((family) => addressClasses(family, subjects));
  const services = { 4: serviceClasses(4, programs), 6: serviceClasses(6, programs) };
  const numbered = families
    .flatMap(({ classes }) => classes)
    .map((each, number) => ({ ...each, number }));
  const offset = families[0]?.classes.length ?? 0;
  return {
    addresses: numbered,
    services,
    addressClass(address) {
      const four = address.family === 4;
      const place = families[four ? 0 : 1]?.classAt(valueOf(address));
      return place === undefined ? undefined : numbered[place + (four ? 0 : offset)];
    },
    serviceClass(family, { protocol, port, sourcePort }) {
      const exact = services[family].filter((each) => each.protocol === protocol);
      if (exact.length === 0)
        return services[family].find((each) => each.protocol === OTHER_PROTOCOLS);
      return exact.find(
        ({ ports, sourcePorts }) => isAmong(port, ports) && isAmong(sourcePort, sourcePorts),
      );
    },
  };
}

/** A port of a protocol without ports is among them. */
function isAmong(port: number | undefined, ranges: readonly PortRange[] | undefined): boolean {
  if (ranges === undefined) return true;
  return port !== undefined && ranges.some(({ first, last }) => first <= port && port <= last);
}
