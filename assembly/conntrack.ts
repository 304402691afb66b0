// Connection tracking: which entry a packet belongs to, and so which state its rules see. Confirmed entries
// change when they are looked up, before any rule; a new entry enters the table only when the packet got
// through its last hook (new-connection.ts). The clock is packet time.
// Source: Linux, net/netfilter/nf_conntrack_core.c; semantics.md section 9.
import { SEEN_ARRIVING, whereSeen } from "./arrival";
import { trackError } from "./conntrack-error";
import { assumesMidstream, trackFirst } from "./conntrack-first";
import { trackKnown } from "./conntrack-later";
import { findPortUnknown } from "./drawn-port";
import { ENTRY_ASSURED } from "./entry";
import { refusedBefore } from "./entry-life";
import { entryAt } from "./entry-list";
import { NODE_REPLY, NODE_REPLY_SEEN, nodeEntry, nodeKind } from "./entry-tuples";
import { flowSeen } from "./flow-rows";
import { isOddGre } from "./gre";
import { findLive } from "./half-known";
import {
  CT_UNTRACKED,
  KNOWN_ICMP,
  MALFORMED_NONE,
  PACKET_LATER_FRAGMENT,
  ROUTE_LOCAL,
} from "./layout";
import { ANSWERS_SOME, findMasqueraded } from "./masqueraded-source";
import { PROTOCOL_UDPLITE } from "./protocol";
import { isIcmpError } from "./quote";
import { Packet } from "./records";
import { isRefusedSight } from "./refused-sight";
import { isRealNode, routeKind, routeOf, severalNodes } from "./route";
import { TCP_SYN_SENT } from "./tcp";
import { ENTRY_NONE, keyOfPacket, tracking, trackNothing } from "./tracking";
import { hasTuples, Tuples, tuplesOf } from "./tuples";

/** What `track` is told of a packet: it is only looked up where it makes a difference. */
export function wasSeen(packet: Packet): bool {
  if (!assumesMidstream() && !refusedBefore()) return false;
  return flowSeen(packet) || isRefusedSight(packet);
}

/**
 * Finds the packet's entry and state. Preconditions: addresses, protocol, and ports where the protocol
 * has them, are known.
 *
 * @param seenBefore the capture has shown packets of this flow before
 */
export function track(packet: Packet, seenBefore: bool): void {
  trackNothing();
  find(packet, seenBefore);
  if (refusedBefore()) tracking.crowded = isPerhapsCrowdedOut(seenBefore);
}

// > A full table drops connections that are not assured for new ones, or else the new ones. What a packet
// belongs to is certain if that is assured, or if the packet begins it.
// Source: Linux, nf_conntrack_core.c, early_drop(); semantics.md CT-10.
function isPerhapsCrowdedOut(seenBefore: bool): bool {
  if (tracking.state == CT_UNTRACKED) return false;
  if (tracking.entry != ENTRY_NONE) return (entryAt(tracking.entry).flags & ENTRY_ASSURED) == 0;
  return seenBefore || !tracking.fresh || tracking.tcpState != TCP_SYN_SENT;
}

function find(packet: Packet, seenBefore: bool): void {
  if (isNeighbourDiscovery(packet)) {
    tracking.state = CT_UNTRACKED;
    return;
  }
  if (packet.malformed != MALFORMED_NONE) return;
  // > A later fragment that was not put together has no tuple.
  if ((packet.flags & PACKET_LATER_FRAGMENT) != 0) return;
  if (isIcmpError(packet)) {
    trackError(packet);
    return;
  }
  if (isOddGre(packet) || isTakenForBad(packet)) return;
  keyOfPacket(packet);
  let node = findLive();
  if (node < 0 && severalNodes()) {
    node = findMasqueraded(packet);
    if (node == ANSWERS_SOME) {
      tracking.answersSome = true;
      return;
    }
  }
  if (node >= 0) {
    trackKnown(packet, node, seenBefore);
    return;
  }
  const answered = isRealNode() ? findPortUnknown() : -1;
  if (answered >= 0) trackKnown(packet, answered, seenBefore);
  else trackFirst(packet, seenBefore);
}

// > The checksum of UDP-Lite is verified where it arrives, as if it were UDP's: a right one is bad.
// Source: nf_conntrack_proto_udp.c, udplite_error().
function isTakenForBad(packet: Packet): bool {
  if (packet.protocol != PROTOCOL_UDPLITE) return false;
  const family: u32 = packet.family;
  const src = routeOf(family, packet.src0, packet.src1, packet.src2, packet.src3);
  return routeKind(src) != ROUTE_LOCAL || whereSeen(packet) == SEEN_ARRIVING;
}

/** Number of the entry that a packet belongs to, without touching it; ENTRY_NONE without one. */
export function entryOfPacket(packet: Packet): u32 {
  keyOfPacket(packet);
  const node = findLive();
  return node < 0 ? ENTRY_NONE : nodeEntry(node);
}

/**
 * Address of the source with which a packet of these ends, seen anywhere, enters its first hook; 0 where that is
 * its own.
 */
export function firstSource(packet: Packet): usize {
  keyOfPacket(packet);
  const node = findLive();
  if (node < 0 || !hasTuples(entryAt(nodeEntry(node)))) return 0;
  const kind = nodeKind(node);
  const answers = kind == NODE_REPLY || kind == NODE_REPLY_SEEN;
  const tuples = changetype<usize>(tuplesOf(entryAt(nodeEntry(node))));
  return tuples + (answers ? offsetof<Tuples>("to0") : offsetof<Tuples>("src0"));
}

// > ICMPv6 130 to 136 and 143 are never tracked. Source: nf_conntrack_proto_icmpv6.c.
function isNeighbourDiscovery(packet: Packet): bool {
  if (packet.protocol != 58 || (packet.known & KNOWN_ICMP) == 0) return false;
  return (packet.icmpType >= 130 && packet.icmpType <= 136) || packet.icmpType == 143;
}
