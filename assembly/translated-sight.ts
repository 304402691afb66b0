// Second sights behind a translation: the numbers of TCP, or else IPv4's identification, tell that it is the same
// packet, also where nothing came of its connection.
import { isBackend } from "./backends";
import { sameAddress } from "./bytes";
import { isPod } from "./entry-node";
import { key } from "./key";
import {
  KNOWN_TCP_SEQ,
  PACKET_DECODED,
  PACKET_DST,
  PACKET_SRC,
  ROUTE_LOCAL,
  ROUTE_UNICAST,
  ROUTE_UNTRANSLATED,
  SHARE_TRANSLATION,
} from "./layout";
import { isAsSent } from "./own-source";
import { PROTOCOL_TCP } from "./protocol";
import { Packet } from "./records";
import { isRealNode, routeIsPerhapsLocal, routeKind, routeOf } from "./route";
import { natLoaded } from "./rule";
import { needWhole } from "./share";
import { TCP_SYN } from "./tcp";

// The capture has shown what a node may have masqueraded.
let masquerades: bool = false;

/** A node may have translated the packet between two sights: somebody has forwarded it, and its numbers are shown. */
export function isPerhapsTranslated(packet: Packet): bool {
  if (isAsSent(packet) || !isNumbered(packet)) return false;
  if (isRealNode() && !natLoaded(packet.family)) return false;
  // The first sight is another worker's, perhaps.
  if (isOfNode(packet, PACKET_SRC)) {
    masquerades = true;
    needWhole(SHARE_TRANSLATION);
  }
  return true;
}

function isNumbered(packet: Packet): bool {
  if (packet.protocol != PROTOCOL_TCP) return packet.ipId != 0;
  if ((packet.known & KNOWN_TCP_SEQ) == 0) return false;
  // A text shows them whole where a connection begins.
  return (packet.flags & PACKET_DECODED) == 0 || (packet.tcpFlags & TCP_SYN) != 0;
}

/**
 * What the ends have become is what a node makes of them: of a cluster, on the way to a backend or back, or out of a
 * pod. On a real node its connection tells, unless it was dropped.
 */
export function isTranslated(seen: Packet, packet: Packet, dropped: bool): bool {
  if (isRealNode()) return dropped && isChanged(seen, packet);
  key.protocol = packet.protocol;
  if (isBackendAt(packet, PACKET_DST) && isServiceAt(seen, PACKET_DST))
    return hasSameSource(seen, packet) || isOfNode(packet, PACKET_SRC);
  if (isBackendAt(seen, PACKET_SRC) && isServiceAt(packet, PACKET_SRC)) {
    // Where only answers are captured, each worker has its own.
    return hasSameDestination(seen, packet) || (masquerades && isOfNode(seen, PACKET_DST));
  }
  if (!hasSameDestination(seen, packet) || !isOfNode(packet, PACKET_SRC)) return false;
  return isPod(routeAt(seen, PACKET_SRC));
}

// Behind DNAT, or masqueraded; both, where the numbers of TCP tell.
function isChanged(seen: Packet, packet: Packet): bool {
  if (hasSameSource(seen, packet)) return true;
  if (!isOfNode(packet, PACKET_SRC)) return false;
  return packet.protocol == PROTOCOL_TCP || hasSameDestination(seen, packet);
}

/** The packet, of which there is another sight, goes on with a node's address. */
export function isMasqueraded(packet: Packet): bool {
  return isOfNode(packet, PACKET_SRC);
}

function isBackendAt(packet: Packet, side: usize): bool {
  const at = changetype<usize>(packet) + side;
  const port = side == PACKET_SRC ? packet.sport : packet.dport;
  return isBackend(load<u32>(at), load<u32>(at, 4), load<u32>(at, 8), load<u32>(at, 12), port);
}

// The address at a side is one that nodes translate: a Service's, or a node's.
function isServiceAt(packet: Packet, side: usize): bool {
  const route = routeAt(packet, side);
  const kind = routeKind(route);
  if (kind == ROUTE_LOCAL || kind == ROUTE_UNTRANSLATED || routeIsPerhapsLocal(route)) return true;
  return kind == ROUTE_UNICAST && !isPod(route);
}

/** Two packets come from one address and port. */
export function hasSameSource(one: Packet, other: Packet): bool {
  const at = changetype<usize>(other) + PACKET_SRC;
  return sameAddress(changetype<usize>(one) + PACKET_SRC, at) && one.sport == other.sport;
}

/** Two packets go to one address and port. */
export function hasSameDestination(one: Packet, other: Packet): bool {
  const at = changetype<usize>(other) + PACKET_DST;
  return sameAddress(changetype<usize>(one) + PACKET_DST, at) && one.dport == other.dport;
}

function isOfNode(packet: Packet, side: usize): bool {
  return routeKind(routeAt(packet, side)) == ROUTE_LOCAL;
}

function routeAt(packet: Packet, side: usize): i32 {
  const at = changetype<usize>(packet) + side;
  const family: u32 = packet.family;
  return routeOf(family, load<u32>(at), load<u32>(at, 4), load<u32>(at, 8), load<u32>(at, 12));
}
