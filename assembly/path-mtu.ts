// Whether a packet that is forwarded fits the way out. What may not be cut, and does not, is discarded before
// FORWARD. Source: Linux, ip_exceeds_mtu(), ip6_pkt_too_big(), ip_dst_mtu_maybe_forward().
import { inInterfaceFor, SEEN_LEAVING, whereSeen } from "./arrival";
import { entryAt } from "./entry-list";
import { ask } from "./fork";
import { longestFragment } from "./fragments";
import {
  KNOWN_FRAGMENT,
  KNOWN_IP_LENGTH,
  PACKET_LEAST_LENGTH,
  PACKET_REASSEMBLED,
  REASON_SEGMENTS,
  RULE_NONE,
} from "./layout";
import { isLoopback, isPerhapsTooLong, mtuOf } from "./node-interface";
import { forbidsCutting } from "./piece";
import {
  PROTOCOL_GRE,
  PROTOCOL_IPIP,
  PROTOCOL_IPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "./protocol";
import { routeMtu } from "./route";
import { SIDE_SEGMENTS_FIT, sideOf } from "./tcp-side";
import { ENTRY_NONE, tracking } from "./tracking";
import { walk } from "./walk";

const QUESTION_MTU: u64 = 1 << 44;

const IPV6_MTU_MIN: u32 = 1280;

/** The packet is discarded: it is too long for an interface, by a route. */
export function isTooLong(route: i32, out: u32): bool {
  const packet = walk.packet;
  // What left has fitted.
  if (out == 0 || whereSeen(packet) == SEEN_LEAVING) return false;
  const own = mtuOf(out, walk.family);
  const byRoute = routeMtu(route);
  const limit = walk.family == 4 ? limit4(own, byRoute) : limit6(own, byRoute);
  if (limit == 0 || (isOfSegments(walk.protocol) && !isPerhapsTooLong(LENGTH_MAX))) return false;
  walk.longest = min(walk.longest, limit);
  if (packet.ipLength <= limit) return false;
  walk.volatile = true;
  if (walk.family == 4) return exceeds(limit) && !isCut() && isAsLong();
  if (own != 0 && exceeds(max(own, IPV6_MTU_MIN)) && isAsLong()) return true;
  // > IPv6 looks at a locked MTU of the route only, and no dump shows which are.
  const narrow = byRoute != 0 && lengthOnWay() > limit6(0, byRoute);
  return narrow && ask(QUESTION_MTU, REASON_SEGMENTS, RULE_NONE);
}

const LENGTH_MAX: u32 = 0xffffffff;

// > The route says, where it does.
function limit4(own: u32, byRoute: u32): u32 {
  return byRoute == 0 ? own : byRoute;
}

function limit6(own: u32, byRoute: u32): u32 {
  if (own == 0 && byRoute == 0) return 0;
  const least = own == 0 || byRoute == 0 ? own | byRoute : min(own, byRoute);
  return max(least, IPV6_MTU_MIN);
}

// Of a text's packet it may only be guessed.
function isAsLong(): bool {
  if ((walk.known & KNOWN_IP_LENGTH) != 0 || (walk.flags & PACKET_LEAST_LENGTH) != 0) return true;
  return ask(QUESTION_MTU | 3, REASON_SEGMENTS, RULE_NONE);
}

// It may be fragmented.
function isCut(): bool {
  // A text does not always say so.
  if ((walk.known & KNOWN_FRAGMENT) == 0) return ask(QUESTION_MTU | 1, REASON_SEGMENTS, RULE_NONE);
  return !forbidsCutting(walk.packet);
}

// > What was put together of fragments is as long as the longest of them.
function lengthOnWay(): u32 {
  const packet = walk.packet;
  return (packet.flags & PACKET_REASSEMBLED) != 0 ? longestFragment() : packet.ipLength;
}

// > What the node has put together of segments (GRO), or never cut (TSO), is as long as one of them. It came by an
// interface that they all fitted.
function exceeds(mtu: u32): bool {
  const length = lengthOnWay();
  if (length <= mtu) return false;
  if ((walk.flags & PACKET_REASSEMBLED) != 0 || !isOfSegments(walk.protocol)) return true;
  if (areSegmentsShort()) return false;
  const number = inInterfaceFor(RULE_NONE);
  // Nothing that comes by it is forwarded.
  if (isLoopback(number)) return false;
  const came = mtuOf(number, walk.family);
  if (came != 0 && length > came && came <= mtu) return false;
  return ask(QUESTION_MTU | 2, REASON_SEGMENTS, RULE_NONE);
}

// The receiver of a TCP connection asked for segments that fit any way out.
function areSegmentsShort(): bool {
  if (walk.protocol != PROTOCOL_TCP || tracking.entry == ENTRY_NONE) return false;
  const receiver = sideOf(entryAt(tracking.entry), tracking.direction ^ 1);
  return (receiver.flags & SIDE_SEGMENTS_FIT) != 0;
}

function isOfSegments(protocol: u32): bool {
  return (
    protocol == PROTOCOL_TCP ||
    protocol == PROTOCOL_UDP ||
    protocol == PROTOCOL_SCTP ||
    protocol == PROTOCOL_IPIP ||
    protocol == PROTOCOL_IPV6 ||
    protocol == PROTOCOL_GRE
  );
}
