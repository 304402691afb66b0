/**
 * What else changes: traffic that the capture does not show, and that fares otherwise by the proposed
 * policies. Classes of traffic gathered into what a person acts on.
 */
import type { Judgement, Tuple } from "../engine/verdict.ts";
import type { PortRange } from "../match/multiport.ts";
import type { Family } from "../net/address.ts";

/** `unknown`: one of the two verdicts cannot be decided, and the other can. */
export type Change = "new-drop" | "new-allow" | "unknown";

/** A protocol, and ports of it. */
export interface BlindService {
  readonly protocol: string;
  /** In ascending order; of ICMP the types; undefined: the protocol has none. */
  readonly ports: readonly PortRange[] | undefined;
  /** Those of clients that it is about; undefined: any. */
  readonly sourcePorts?: readonly PortRange[];
  /** ICMP: those that it is about; undefined: any. */
  readonly codes?: readonly PortRange[];
}

/** Traffic from each of some ends to each of others. */
export interface BlindSpot {
  readonly change: Change;
  /** Workloads, nodes, Services; ranges outside the cluster, or `outside`. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly services: readonly BlindService[];
  /** Not all of it changes: only that between nodes, or within one. */
  readonly where: "between-nodes" | "within-node" | undefined;
  /** Undefined: all that the cluster has. */
  readonly family: Family | undefined;
  /** The services are all that there are. */
  readonly everything: boolean;
  /** All that there are but these, where that is shorter; undefined: it is not. */
  readonly except: readonly BlindService[] | undefined;
  /** One packet of it, by both. */
  readonly before: Tuple & Judgement;
  readonly after: Tuple & Judgement;
}

/** Most names of one end that are shown. */
const NAMES_MAX = 3;
/** Most ranges of ports. */
const RANGES_MAX = 6;

/** `shop/web, shop/cart and 3 more`. */
export function blindNamesText(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_MAX).join(", ");
  const more = names.length - NAMES_MAX;
  return more <= 0 ? shown : `${shown} and ${more} more`;
}

/** `tcp 80,443,8000-8080; udp from port 53`, `everything`, or `everything but udp 4789 (IPv6)`. */
export function blindServicesText({
  services,
  everything,
  except,
  family,
  where,
}: BlindSpot): string {
  const notes = [
    ...(family === undefined ? [] : [`IPv${family}`]),
    ...(where === undefined ? [] : [PLACES[where]]),
  ];
  const over = notes.length === 0 ? "" : ` (${notes.join(", ")})`;
  if (everything) return `everything${over}`;
  const but = except === undefined ? "" : "everything but ";
  return `${but}${(except ?? services).map(serviceText).join("; ")}${over}`;
}

const PLACES = { "between-nodes": "between nodes", "within-node": "within a node" } as const;

/** By its name: of either family. */
export function isIcmp(protocol: string): boolean {
  return protocol === "icmp" || protocol === "ipv6-icmp";
}

function serviceText({ protocol, ports = [], sourcePorts, codes }: BlindService): string {
  const [only] = ports;
  const all = ports.length === 1 && only?.first === 0 && only.last === 65_535;
  const from = sourcePorts === undefined ? "" : ` from port ${rangesText(sourcePorts)}`;
  const code = codes === undefined ? "" : ` code ${rangesText(codes)}`;
  // What /etc/protocols calls IP within IP, nobody else does.
  const name = protocol === "ipencap" ? "ipip" : protocol;
  if (ports.length === 0 || all) return `${name}${from}`;
  const what = isIcmp(protocol) ? `${name} type` : name;
  return `${what} ${rangesText(ports)}${code}${from}`;
}

function rangesText(ranges: readonly PortRange[]): string {
  const texts = ranges
    .slice(0, RANGES_MAX)
    .map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
  return `${texts.join(",")}${ranges.length > RANGES_MAX ? ",..." : ""}`;
}
