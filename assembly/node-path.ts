// The way of a packet through a real node: hooks in the kernel's order, the routing decision between
// them, and what the IP stack itself discards.
// Source: Linux, ip_input.c, ip_forward.c, ip_output.c, route.c and their IPv6 twins; semantics.md H-1 to H-6.
import { arrive, inInterfaceFor } from "./arrival";
import {
  AT_FORWARD,
  AT_INPUT,
  AT_POSTROUTING,
  AT_RETURN,
  attempt,
  end,
  endBefore,
  VERDICT_DELIVERED,
} from "./attempt";
import { keepWalk, walkAsFragment, walkAsWhole } from "./cut-again";
import { decidedBefore, stateOfPacket, takeFirstTuple } from "./connection-state";
import { track, wasSeen } from "./conntrack";
import { FRAGMENT_NONE, packetOf } from "./fragment";
import { deliveredMark, deliveredMarkUnknown, longestFragment, nextPiece } from "./fragments";
import { isPerhapsLocal } from "./departure";
import { isPerhapsExpected } from "./expectation";
import {
  BACKEND_LEGACY,
  BACKEND_NFT,
  CT_INVALID,
  CT_NEW,
  CT_RELATED,
  CT_UNTRACKED,
  HOOK_FORWARD,
  HOOK_INPUT,
  HOOK_OUTPUT,
  HOOK_POSTROUTING,
  HOOK_PREROUTING,
  KNOWN_TTL,
  LINK_ETHERNET,
  PACKET_AT_INPUT,
  PACKET_FRAGMENT,
  PACKET_REASSEMBLED,
  REASON_CHAIN_POLICY,
  REASON_BLACKHOLE,
  REASON_MARTIAN,
  REASON_MULTICAST,
  REASON_MULTIPATH,
  REASON_NO_FORWARDING,
  REASON_NO_ROUTE,
  REASON_OTHER_HOST,
  REASON_NO_ROUTES,
  REASON_NO_SOCKET,
  REASON_NOT_MODELLED,
  REASON_TTL,
  ROUTE_ANYCAST,
  ROUTE_BLACKHOLE,
  ROUTE_BROADCAST,
  ROUTE_LOCAL,
  ROUTE_MISSING,
  ROUTE_MULTICAST,
  ROUTE_NONE,
  RULE_NONE,
  TABLE_FILTER,
  TABLE_MANGLE,
  TABLE_RAW,
  TABLE_SECURITY,
  VERDICT_DROP,
  VERDICT_UNKNOWN,
} from "./layout";
import { takeNewSource, translateDestination, translateSource } from "./nat";
import { startSource } from "./new-source";
import { addressesTold, isLoopback, isSolicitedAt, loopbackInterface } from "./node-interface";
import { piece } from "./piece";
import { Packet } from "./records";
import { routeInterface, routeIsMultipath, routeKind, routeOf } from "./route";
import { conntrackActive } from "./rule";
import { runTable, runTableOf } from "./run-table";
import { forwards, isValidSource, routesLocalnet } from "./switches";
import { tracking, trackNothing } from "./tracking";
import { walk } from "./walk";

/** Tries the way; true when the packet got through its last hook. */
export function tryNodePath(packet: Packet): bool {
  arrive(packet);
  // For raw, which comes before connections are looked up.
  trackNothing();
  if (walk.family == 6 && isMartian6()) return end(VERDICT_DROP, REASON_MARTIAN);
  if ((packet.flags & PACKET_AT_INPUT) != 0) return comeIn(packet);
  if (walk.generated) return goOut(packet);
  attempt.inInterface = walk.inInterface;
  walk.hook = HOOK_PREROUTING;
  return (
    runTable(TABLE_RAW) &&
    connect(packet) &&
    runTable(TABLE_MANGLE) &&
    translateDestination() &&
    routeIn()
  );
}

// The connection that the packet belongs to, and the state that rules see from here on.
function connect(packet: Packet): bool {
  startSource();
  if (walk.notrack || !conntrackActive(walk.family)) {
    trackNothing();
    walk.ctState = CT_UNTRACKED;
    return true;
  }
  if (walk.trackingUnknown) return end(VERDICT_UNKNOWN, REASON_NOT_MODELLED);
  track(packet, wasSeen(packet));
  if (tracking.seenAfter) takeFirstTuple();
  walk.ctState = stateOfPacket();
  if ((walk.ctState & CT_NEW) != 0 && isPerhapsExpected()) walk.ctState ^= CT_NEW | CT_RELATED;
  return decidedBefore();
}

// The routing decision for a packet that came in.
function routeIn(): bool {
  if (walk.proxied) return endBefore(AT_INPUT, REASON_NO_SOCKET);
  attempt.dstRoute = routeOf(walk.family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  const kind = routeKind(attempt.dstRoute);
  if (walk.family == 4 && isMartian4(kind)) return end(VERDICT_DROP, REASON_MARTIAN);
  if (isMulticast()) return deliver() && hasJoined();
  if (isBroadcast(kind) || kind == ROUTE_LOCAL || kind == ROUTE_ANYCAST) return deliver();
  if (attempt.dstRoute == ROUTE_NONE) return end(VERDICT_DROP, REASON_NO_ROUTE);
  if (kind == ROUTE_BLACKHOLE) return end(VERDICT_DROP, REASON_BLACKHOLE);
  if (kind == ROUTE_MISSING && !addressesTold() && isPerhapsLocal(RULE_NONE)) return deliver();
  return forward();
}

// What was put together behind PREROUTING goes on as its first fragment came.
function comeIn(packet: Packet): bool {
  if (walk.generated) walk.inInterface = loopbackInterface();
  attempt.inInterface = walk.inInterface;
  walk.mark = deliveredMark();
  walk.markUnknown = deliveredMarkUnknown();
  return connect(packet) && deliver();
}

// > ip_local_deliver() puts fragments together before INPUT; IPv6 does so behind it.
function isPutTogether(): bool {
  if (walk.family != 4 || (walk.flags & PACKET_FRAGMENT) == 0) return false;
  end(VERDICT_DELIVERED, REASON_CHAIN_POLICY);
  return true;
}

function deliver(): bool {
  if (isPutTogether()) return false;
  walk.hook = HOOK_INPUT;
  walk.dstLocal = true;
  return runTable(TABLE_MANGLE) && runTable(TABLE_FILTER) && settleInput();
}

// > iptables-nft's security table has priority 150, behind that of nat's source (100); iptables' own has 50.
function settleInput(): bool {
  if (!runTableOf(BACKEND_LEGACY, TABLE_SECURITY) || !translateSource()) return false;
  takeNewSource();
  return runTableOf(BACKEND_NFT, TABLE_SECURITY);
}

function forward(): bool {
  if (!forwards()) return end(VERDICT_DROP, REASON_NO_FORWARDING);
  // > ip_forward() looks at the TTL before the hook, and decrements it.
  if ((walk.known & KNOWN_TTL) != 0) {
    if (walk.ttl <= 1) return end(VERDICT_DROP, REASON_TTL);
    walk.ttl--;
  }
  if (walk.family == 6 && isConfined6()) return end(VERDICT_DROP, REASON_MARTIAN);
  // > Only what was sent to this host alone is forwarded, wherever a translation has it go.
  if (isToGroup(walk.packet)) return end(VERDICT_DROP, REASON_OTHER_HOST);
  if (routeIsMultipath(attempt.dstRoute))
    return endBefore(AT_FORWARD | AT_POSTROUTING, REASON_MULTIPATH);
  walk.outInterface = routeInterface(attempt.dstRoute);
  walk.outUnknown = routeKind(attempt.dstRoute) == ROUTE_MISSING;
  attempt.outInterface = walk.outInterface;
  walk.hook = HOOK_FORWARD;
  if (!runTable(TABLE_MANGLE) || !runTable(TABLE_FILTER) || !runTable(TABLE_SECURITY)) return false;
  return walk.outUnknown ? endBefore(AT_POSTROUTING, REASON_NO_ROUTES) : postroute();
}

function postroute(): bool {
  walk.hook = HOOK_POSTROUTING;
  return runTable(TABLE_MANGLE) && translateSource();
}

// What the node itself sends.
function goOut(packet: Packet): bool {
  attempt.dstRoute = routeOf(walk.family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  if (!findWayOut()) return false;
  walk.hook = HOOK_OUTPUT;
  walk.srcLocal = true;
  if (!runTable(TABLE_RAW) || !connect(packet) || !runTable(TABLE_MANGLE)) return false;
  const before = walk.outInterface;
  if (!translateDestination()) return false;
  attempt.dstRoute = routeOf(walk.family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  if (!findWayOut()) return false;
  // > Rerouted after the translation, but the hook still shows the interface of before.
  const after = walk.outInterface;
  walk.outInterface = before;
  if (!runTable(TABLE_FILTER) || !runTable(TABLE_SECURITY)) return false;
  walk.outInterface = after;
  if (walk.outUnknown) return endBefore(AT_POSTROUTING | AT_RETURN, REASON_NO_ROUTES);
  if (!postroute()) return false;
  return isLoopback(after) ? comeBack() : leave(after);
}

function leave(number: u32): bool {
  attempt.outInterface = number;
  return true;
}

function findWayOut(): bool {
  const kind = routeKind(attempt.dstRoute);
  if (attempt.dstRoute == ROUTE_NONE) return end(VERDICT_DROP, REASON_NO_ROUTE);
  if (kind == ROUTE_BLACKHOLE) return end(VERDICT_DROP, REASON_BLACKHOLE);
  if (routeIsMultipath(attempt.dstRoute)) return end(VERDICT_UNKNOWN, REASON_MULTIPATH);
  walk.outInterface = kind == ROUTE_LOCAL ? loopbackInterface() : routeInterface(attempt.dstRoute);
  walk.outUnknown = kind == ROUTE_MISSING;
  return true;
}

// > The loopback device hands it back; it keeps its connection, and nat was asked already.
function comeBack(): bool {
  attempt.confirmed = true;
  walk.inInterface = walk.outInterface;
  attempt.inInterface = walk.inInterface;
  walk.outInterface = 0;
  takeNewSource();
  if (staysCut()) return walk.family == 6 ? runPieces(true) : runPieces(false) && comeIntoInput();
  return comeThroughPrerouting() && !isPutTogether() && comeIntoInput();
}

function comeThroughPrerouting(): bool {
  walk.hook = HOOK_PREROUTING;
  // > xt_CT leaves alone what has a connection or is not to have one; what is INVALID begins anew.
  walk.templated = walk.ctState != CT_INVALID;
  walk.trackingUnknown = false;
  if (!runTable(TABLE_RAW)) return false;
  if (walk.trackingUnknown) return end(VERDICT_UNKNOWN, REASON_NOT_MODELLED);
  return runTable(TABLE_MANGLE);
}

function comeIntoInput(): bool {
  walk.hook = HOOK_INPUT;
  return runTable(TABLE_MANGLE) && runTable(TABLE_FILTER) && runTable(TABLE_SECURITY);
}

// > A datagram that was put together is cut again before it leaves, where it came, and what comes back is put
// together only if it has no connection, or (IPv4, where there is NAT) is tracked. IPv6 leaves one in a piece
// that is no longer than the longest fragment was.
// Source: Linux, ip6_finish_output(), ipv6_defrag(), ipv4_conntrack_defrag().
function staysCut(): bool {
  if ((walk.flags & PACKET_REASSEMBLED) == 0) return false;
  if (walk.family == 4) return walk.ctState == CT_UNTRACKED;
  return walk.ctState != CT_INVALID && walk.packet.ipLength > longestFragment();
}

// Every fragment meets the rules by itself; behind them the datagram is put together. What becomes of its
// fragments where they fare differently has no place in one verdict.
function runPieces(intoInput: bool): bool {
  keepWalk();
  let mark: u32 = 0;
  let markUnknown: u32 = 0;
  let passed: u32 = 0;
  let dropped: u32 = 0;
  let fragment = nextPiece(0);
  for (let offset: u32 = 0; fragment != FRAGMENT_NONE; fragment = nextPiece(offset)) {
    walkAsFragment(packetOf(fragment));
    if (comeThroughPrerouting() && (!intoInput || comeIntoInput())) passed++;
    else dropped++;
    if (offset == 0) {
      mark = walk.mark;
      markUnknown = walk.markUnknown;
    }
    offset = piece.more ? piece.end & ~7 : piece.end;
  }
  if (dropped > 0) return passed > 0 && end(VERDICT_UNKNOWN, REASON_NOT_MODELLED);
  walkAsWhole();
  walk.mark = mark;
  walk.markUnknown = markUnknown;
  return true;
}

// Source: Linux, ip_route_input_slow() and fib_validate_source().
function isMartian4(kind: u32): bool {
  const src = walk.src0;
  const dst = walk.dst0;
  if (src >> 28 == 0xe || src == 0xffffffff) return true;
  if (dst == 0xffffffff || (src | dst) == 0) return src >> 24 != 0 && !isValidSource();
  const toGroup = dst >> 28 == 0xe;
  // > 0.0.0.0 may ask its link-local neighbours.
  if (src >> 24 == 0 && !(toGroup && dst >> 8 == 0xe00000)) return true;
  if (dst >> 24 == 0) return true;
  const looped = src >> 24 == 127 || dst >> 24 == 127;
  if (looped && !routesLocalnet() && !isLoopback(inInterfaceFor(RULE_NONE))) return true;
  return src >> 24 != 0 && !isValidSource();
}

// Source: Linux, ip6_rcv_core().
function isMartian6(): bool {
  const loopbackSrc = (walk.src0 | walk.src1 | walk.src2) == 0 && walk.src3 == 1;
  const loopbackDst = (walk.dst0 | walk.dst1 | walk.dst2) == 0 && walk.dst3 == 1;
  if (walk.src0 >> 24 == 0xff) return true;
  if ((loopbackSrc || loopbackDst) && !isLoopback(walk.inInterface)) return !walk.generated;
  // > Interface-local groups and the reserved scope never come over a wire.
  const scope = (walk.dst0 >> 16) & 0xf;
  if (walk.dst0 >> 24 == 0xff && scope <= 1) return true;
  return (walk.src0 | walk.src1) == 0 && walk.src2 == 0xffff;
}

// Source: Linux, ip6_forward(): such sources are not forwarded to another link.
function isConfined6(): bool {
  if (routeInterface(attempt.dstRoute) == inInterfaceFor(RULE_NONE)) return false;
  const unspecified = (walk.src0 | walk.src1 | walk.src2 | walk.src3) == 0;
  return unspecified || walk.src0 >> 22 == 0x3fa;
}

// The first bit on the wire tells one host from several.
function isToGroup(packet: Packet): bool {
  return packet.linkType == LINK_ETHERNET && (packet.dstMac & 1) != 0;
}

function isMulticast(): bool {
  return walk.family == 4 ? walk.dst0 >> 28 == 0xe : walk.dst0 >> 24 == 0xff;
}

function isBroadcast(kind: u32): bool {
  if (kind == ROUTE_BROADCAST || kind == ROUTE_MULTICAST) return true;
  return walk.family == 4 && (walk.dst0 == 0xffffffff || (walk.dst0 | walk.src0) == 0);
}

// Groups that every host joins, and an IPv6 router; of others nobody told.
function hasJoined(): bool {
  const joined = walk.family == 4 ? walk.dst0 == 0xe0000001 : isOwnGroup6();
  return joined || endBefore(0, REASON_MULTICAST);
}

// > All hosts' group, all routers' (of the link, and of the site), and those at which addresses are asked for.
function isOwnGroup6(): bool {
  const ofLink = walk.dst0 == 0xff020000;
  if (walk.dst1 != 0) return false;
  if (walk.dst2 == 0 && walk.dst3 == 2) return (ofLink || walk.dst0 == 0xff050000) && forwards();
  if (walk.dst2 == 0) return ofLink && walk.dst3 == 1;
  if (!ofLink || walk.dst2 != 1 || walk.dst3 >> 24 != 0xff) return false;
  return isSolicitedAt(inInterfaceFor(RULE_NONE), walk.dst3 & 0xffffff, forwards());
}
