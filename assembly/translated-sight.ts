// Second sights behind a translation: the numbers of TCP, or else IPv4's identification, tell that it is the same
// packet, also where nothing came of its connection.
import { isBackend } from "./backends";
import { sameAddress } from "./bytes";
import { key } from "./key";
import {
  KNOWN_TCP_SEQ,
  PACKET_DECODED,
  PACKET_DST,
  PACKET_SRC,
  ROUTE_LOCAL,
  SHARE_TRANSLATION,
} from "./layout";
import { isAsSent } from "./own-source";
import { PROTOCOL_TCP } from "./protocol";
import { Packet } from "./records";
import { isRealNode, routeKind, routeOf } from "./route";
import { natLoaded } from "./rule";
import { needWhole } from "./share";
import { TCP_SYN } from "./tcp";

/** A node may have translated the packet between two sights: somebody has forwarded it, and its numbers are shown. */
export function isPerhapsTranslated(packet: Packet): bool {
  if (isAsSent(packet) || !isNumbered(packet)) return false;
  if (isRealNode() && !natLoaded(packet.family)) return false;
  // The first sight is another worker's, perhaps.
  if (isOfNode(packet, PACKET_SRC)) needWhole(SHARE_TRANSLATION);
  return true;
}

function isNumbered(packet: Packet): bool {
  if (packet.protocol != PROTOCOL_TCP) return packet.ipId != 0;
  if ((packet.known & KNOWN_TCP_SEQ) == 0) return false;
  // A text shows them whole where a connection begins.
  return (packet.flags & PACKET_DECODED) == 0 || (packet.tcpFlags & TCP_SYN) != 0;
}

/**
 * What the ends have become is what a node makes of them: of a cluster, on the way to a backend or back. On a real node
 * its connection tells, unless it was dropped.
 */
export function isTranslated(seen: Packet, packet: Packet, dropped: bool): bool {
  const sameSource = hasSameSource(seen, packet);
  if (isRealNode()) return dropped && (sameSource || isOfNode(packet, PACKET_SRC));
  key.protocol = packet.protocol;
  const sameDestination = hasSameDestination(seen, packet);
  const there =
    sameDestination || isBackend(packet.dst0, packet.dst1, packet.dst2, packet.dst3, packet.dport);
  if (there && (sameSource || isOfNode(packet, PACKET_SRC))) return true;
  if (!isBackend(seen.src0, seen.src1, seen.src2, seen.src3, seen.sport)) return false;
  return sameDestination || isOfNode(seen, PACKET_DST);
}

export function hasSameSource(one: Packet, other: Packet): bool {
  const at = changetype<usize>(other) + PACKET_SRC;
  return sameAddress(changetype<usize>(one) + PACKET_SRC, at) && one.sport == other.sport;
}

export function hasSameDestination(one: Packet, other: Packet): bool {
  const at = changetype<usize>(other) + PACKET_DST;
  return sameAddress(changetype<usize>(one) + PACKET_DST, at) && one.dport == other.dport;
}

// The address at a side is a node's.
function isOfNode(packet: Packet, side: usize): bool {
  const at = changetype<usize>(packet) + side;
  const family: u32 = packet.family;
  const route = routeOf(
    family,
    load<u32>(at),
    load<u32>(at, 4),
    load<u32>(at, 8),
    load<u32>(at, 12),
  );
  return routeKind(route) == ROUTE_LOCAL;
}
