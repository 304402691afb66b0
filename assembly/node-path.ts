// The way of a packet through a real node: hooks in the kernel's order, the routing decision between
// them, and what the IP stack itself discards.
// Source: Linux, ip_input.c, ip_forward.c, ip_output.c, route.c and their IPv6 twins; semantics.md H-1 to H-6.
import { arrive, inInterfaceFor, SEEN_BRIDGED, whereSeen } from "./arrival";
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
import { decidedBefore, inheritState, stateOfPacket, takeFirstTuple } from "./connection-state";
import { track, wasSeen } from "./conntrack";
import { FRAGMENT_NONE, packetOf } from "./fragment";
import { deliveredMark, deliveredMarkUnknown, longestFragment, nextPiece } from "./fragments";
import { isPerhapsLocal } from "./departure";
import { ask } from "./fork";
import { isConfined6, martian4, martian6 } from "./martian";
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
  REASON_BRIDGE_CALLS,
  REASON_MARTIAN,
  REASON_MULTICAST,
  REASON_MULTIPATH,
  REASON_NO_FORWARDING,
  REASON_NO_ROUTE,
  REASON_OTHER_HOST,
  REASON_NO_ROUTES,
  REASON_NO_SOCKET,
  REASON_NOT_MODELLED,
  REASON_OPTIONS,
  REASON_OPTIONS_UNKNOWN,
  REASON_TOO_LONG,
  REASON_TTL,
  ROUTE_ANYCAST,
  ROUTE_BLACKHOLE,
  ROUTE_BROADCAST,
  ROUTE_LOCAL,
  ROUTE_MISSING,
  ROUTE_NONE,
  ROUTE_UNICAST,
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
import {
  addressesTold,
  hasLinkLocal,
  isLoopback,
  isOwnAddress6,
  isSolicitedAt,
  LINK_LOCAL,
  loopbackInterface,
} from "./node-interface";
import { fateByOptions, OPTIONS_BAD, OPTIONS_FINE } from "./ip-options";
import { isTooLong } from "./path-mtu";
import { piece } from "./piece";
import { Packet } from "./records";
import { routeInterface, routeIsMultipath, routeKind, routeOf } from "./route";
import { conntrackActive } from "./rule";
import { runTable, runTableOf } from "./run-table";
import { forwards } from "./switches";
import { callsOf, CALLS_NO, CALLS_YES } from "./stack";
import { tracking, trackNothing } from "./tracking";
import { walk } from "./walk";

/** Tries the way; true when the packet got through its last hook. */
export function tryNodePath(packet: Packet): bool {
  arrive(packet);
  // For raw, which comes before connections are looked up.
  trackNothing();
  const bridged = whereSeen(packet) == SEEN_BRIDGED;
  const martian = walk.family == 6 && !bridged ? martian6() : 0;
  if (martian != 0) return end(VERDICT_DROP, martian);
  if ((packet.flags & PACKET_AT_INPUT) != 0) return comeIn(packet);
  if (walk.generated) return goOut(packet);
  attempt.inInterface = walk.inInterface;
  walk.hook = HOOK_PREROUTING;
  return (
    runTable(TABLE_RAW) &&
    connect(packet) &&
    runTable(TABLE_MANGLE) &&
    translateDestination() &&
    (bridged || isHandedBack() ? crossBridge() : routeIn())
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
  if (walk.generated) inheritState(packet);
  if ((walk.ctState & CT_NEW) != 0 && isPerhapsExpected()) walk.ctState ^= CT_NEW | CT_RELATED;
  return decidedBefore();
}

// The routing decision for a packet that came in.
function routeIn(): bool {
  if (walk.proxied) return endBefore(AT_INPUT, REASON_NO_SOCKET);
  attempt.dstRoute = routeOf(walk.family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  const kind = routeKind(attempt.dstRoute);
  const martian = walk.family == 4 ? martian4(attempt.dstRoute) : 0;
  if (martian != 0) return end(VERDICT_DROP, martian);
  if (walk.family == 4) {
    const options = fateByOptions(walk.packet);
    if (options == OPTIONS_BAD) return end(VERDICT_DROP, REASON_OPTIONS);
    if (options != OPTIONS_FINE)
      return endBefore(AT_INPUT | AT_FORWARD | AT_POSTROUTING, REASON_OPTIONS_UNKNOWN);
  }
  if (isMulticast()) return deliver() && hasJoined();
  const link = linkLocalInterface();
  if (link != 0 && !isOwnAddress6(link, walk.dst0, walk.dst1, walk.dst2, walk.dst3))
    return forward(link);
  if (isBroadcast(kind) || kind == ROUTE_LOCAL || kind == ROUTE_ANYCAST) return deliver();
  if (attempt.dstRoute == ROUTE_NONE) return end(VERDICT_DROP, REASON_NO_ROUTE);
  if (kind == ROUTE_BLACKHOLE) return end(VERDICT_DROP, REASON_BLACKHOLE);
  if (kind == ROUTE_MISSING && !addressesTold() && isPerhapsLocal(RULE_NONE)) return deliver();
  return forward(routeInterface(attempt.dstRoute));
}

// > A link-local address is one of the link by which the packet came, whatever other links have.
// The interface that reaches it; 0: it is no such address, or nothing tells.
function linkLocalInterface(): u32 {
  if (walk.family != 6 || walk.dst0 != LINK_LOCAL || walk.dst1 != 0) return 0;
  // The subnet's routers' own address is among the routes.
  if ((walk.dst2 | walk.dst3) == 0 || !addressesTold()) return 0;
  const number = inInterfaceFor(RULE_NONE);
  return hasLinkLocal(number) ? number : 0;
}

// > What goes from port to port of a bridge meets the rules as if it were forwarded there, but is not routed: no TTL,
// no source is looked at unless it is translated. What is translated to somebody elsewhere goes up.
// Source: Linux, br_netfilter_hooks.c, br_nf_pre_routing_finish(); kernel lab.
function crossBridge(): bool {
  if (hasDestinationOf(walk.packet)) return passForward(walk.inInterface);
  if (!leadsBack()) return routeIn();
  attempt.dstRoute = routeOf(walk.family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  // > The route to where it is translated is looked up with its source.
  const martian = walk.family == 4 ? martian4(attempt.dstRoute) : 0;
  return martian != 0 ? end(VERDICT_DROP, martian) : passForward(walk.inInterface);
}

// > What is for the bridge itself, and translated to somebody behind it, never goes up, either.
function isHandedBack(): bool {
  if (walk.inUnknown || hasDestinationOf(walk.packet)) return false;
  const calls = callsOf(walk.inInterface, walk.family);
  if (calls == CALLS_NO || !leadsBack()) return false;
  return calls == CALLS_YES || ask(QUESTION_CALLS, REASON_BRIDGE_CALLS, RULE_NONE);
}

// The destination is reached by the interface where the packet came.
function leadsBack(): bool {
  const route = routeOf(walk.family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  if (routeKind(route) != ROUTE_UNICAST || routeIsMultipath(route)) return false;
  return routeInterface(route) == walk.inInterface;
}

const QUESTION_CALLS: u64 = 1 << 43;

function hasDestinationOf(packet: Packet): bool {
  return (
    walk.dst0 == packet.dst0 &&
    walk.dst1 == packet.dst1 &&
    walk.dst2 == packet.dst2 &&
    walk.dst3 == packet.dst3
  );
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

function forward(out: u32): bool {
  if (!forwards()) return end(VERDICT_DROP, REASON_NO_FORWARDING);
  // > ip_forward() looks at the TTL before the hook, and decrements it.
  if ((walk.known & KNOWN_TTL) != 0) {
    if (walk.ttl <= 1) return end(VERDICT_DROP, REASON_TTL);
    walk.ttl--;
  }
  if (walk.family == 6 && isConfined6(out)) return end(VERDICT_DROP, REASON_MARTIAN);
  // > Only what was sent to this host alone is forwarded, wherever a translation has it go.
  if (isToGroup(walk.packet)) return end(VERDICT_DROP, REASON_OTHER_HOST);
  if (routeIsMultipath(attempt.dstRoute))
    return endBefore(AT_FORWARD | AT_POSTROUTING, REASON_MULTIPATH);
  if (isTooLong(attempt.dstRoute, out)) return end(VERDICT_DROP, REASON_TOO_LONG);
  return passForward(out);
}

function passForward(out: u32): bool {
  walk.outInterface = out;
  walk.outUnknown = out == 0;
  attempt.outInterface = out;
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

// The first bit on the wire tells one host from several.
function isToGroup(packet: Packet): bool {
  return packet.linkType == LINK_ETHERNET && (packet.dstMac & 1) != 0;
}

function isMulticast(): bool {
  return walk.family == 4 ? walk.dst0 >> 28 == 0xe : walk.dst0 >> 24 == 0xff;
}

function isBroadcast(kind: u32): bool {
  if (kind == ROUTE_BROADCAST) return true;
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
