/** Draws how flows begin: some aimed at rules, some between ends that the program knows. */
import { CLIENT_PORT } from "../capture/opening.ts";
import type { Program } from "../engine/program.ts";
import type { PortRange } from "../match/multiport.ts";
import type { Address, Family } from "../net/address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import { aimAt } from "./aim.ts";
import { addressWithin, drawAddress, gatherPlaces } from "./places.ts";
import type { Places } from "./places.ts";
import type { Random } from "./random.ts";
import type { InterfaceWish, Wish } from "./wish.ts";

/** The first packet of a flow. */
export interface FlowOpening {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  /** 0 for protocols other than TCP and UDP, like the next. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** Of a hundred flows so many are aimed at a rule; the rest goes where it goes. */
const AIMED_PERCENT = 70;
const TCP_PERCENT = 80;
/** Ports that Linux opens connections from (ip_local_port_range). */
const CLIENT_PORTS: PortRange = { first: CLIENT_PORT, last: 60_999 };
const ANY_PORT: PortRange = { first: 1, last: 65_535 };
const TRIES = 8;

/** Makes a draw of flows that this program decides. */
export function openingsFor(program: Program): (random: Random) => FlowOpening {
  const places = gatherPlaces(program);
  const aim = aimAt(program, places.families);
  return (random) => {
    const wish = random.percent(AIMED_PERCENT) ? aim(random) : undefined;
    const family = wish?.family ?? random.pick(places.families) ?? 4;
    return openingOf(wish ?? { family }, places, random);
  };
}

/** A client's flow to the same service, so many of them later: it comes from another port. */
export function laterOpening(opening: FlowOpening, later: number): FlowOpening {
  if (opening.sourcePort === 0 || later === 0) return opening;
  const { first, last } = CLIENT_PORTS;
  const within = opening.sourcePort >= first && opening.sourcePort <= last;
  const offset = (within ? opening.sourcePort - first : 0) + later;
  return { ...opening, sourcePort: first + (offset % (last - first + 1)) };
}

function openingOf(wish: Wish, places: Places, random: Random): FlowOpening {
  const { family } = wish;
  const source = drawEnd(wish, "source", places, random);
  let destination = drawEnd(wish, "destination", places, random);
  // Nobody sends to himself.
  for (let tries = 0; tries < TRIES && isSame(source, destination); tries++) {
    destination = drawAddress(places, family, random);
  }
  const protocol = wish.protocol ?? (random.percent(TCP_PERCENT) ? PROTOCOL_TCP : PROTOCOL_UDP);
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) {
    return { source, destination, protocol, sourcePort: 0, destinationPort: 0 };
  }
  const port = random.pick(places.ports) ?? 80;
  const usual = random.percent(90) ? { first: port, last: port } : ANY_PORT;
  return {
    source,
    destination,
    protocol,
    sourcePort: portOf(wish.sourcePorts ?? CLIENT_PORTS, random),
    destinationPort: portOf(wish.destinationPorts ?? usual, random),
  };
}

function drawEnd(
  wish: Wish,
  end: "source" | "destination",
  places: Places,
  random: Random,
): Address {
  const { family, chain } = wish;
  const prefix = wish[end];
  if (prefix !== undefined && prefix.bits > 0) return addressWithin(prefix, random);
  if (chain === (end === "source" ? "OUTPUT" : "INPUT")) {
    const own = pickOf(places.own, family, random);
    if (own !== undefined) return own;
  }
  const link = end === "source" ? wish.inInterface : wish.outInterface;
  const route = link === undefined ? undefined : routeBy(link, family, places, random);
  return route ?? drawAddress(places, family, random);
}

/** An address that packets reach, or come from, by the interface. */
function routeBy(
  { name, wildcard }: InterfaceWish,
  family: Family,
  { routes, routesByInterface }: Places,
  random: Random,
): Address | undefined {
  for (let tries = 0; tries < TRIES; tries++) {
    const route = random.pick(wildcard ? routes : (routesByInterface.get(name) ?? []));
    if (route?.prefix.address.family !== family) continue;
    if (route.interface.startsWith(name)) return addressWithin(route.prefix, random);
  }
  return undefined;
}

function pickOf(
  addresses: readonly Address[],
  family: Family,
  random: Random,
): Address | undefined {
  return random.pick(addresses.filter((address) => address.family === family));
}

function portOf({ first, last }: PortRange, random: Random): number {
  return first + random.below(last - first + 1);
}

function isSame(one: Address, other: Address): boolean {
  return one.words.every((word, index) => word === other.words[index]);
}
