// Connection tracking: which entry a packet belongs to and which state its rules see. Confirmed entries
// change when they are looked up, before any rule; a new entry enters the table only when the packet got
// through its last hook. The clock is packet time.
// Source: Linux, net/netfilter/nf_conntrack_core.c; semantics.md section 9.
import { attempt } from "./attempt";
import { sameAddress } from "./bytes";
import { now } from "./clock";
import { assumesMidstream, trackFirst } from "./conntrack-first";
import {
  addEntry,
  Entry,
  ENTRY_ASSURED,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_MASQUERADED,
  ENTRY_MIDSTREAM,
  ENTRY_OPEN,
  ENTRY_PERHAPS,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SEEN_REPLY,
  ENTRY_SNAT,
  ENTRY_UNBOUND,
  ENTRY_UNCOUNTED,
  ENTRY_UNDECIDED,
  entryAt,
  hasTuples,
  leaveEntryUndecided,
  setMaker,
  setMissing,
  setStarted,
  Tuples,
  tuplesOf,
} from "./entry";
import {
  hasRoom,
  hideTranslation,
  linkEntry,
  openEntry,
  refresh,
  refreshFor,
  refusedBefore,
} from "./entry-life";
import { isPod } from "./entry-node";
import {
  inverseIcmp,
  NODE_ORIGINAL,
  NODE_ORIGINAL_SEEN,
  NODE_REPLY,
  NODE_REPLY_SEEN,
  nodeEntry,
  nodeKind,
  nodeOf,
} from "./entry-tuples";
import { flowSeen } from "./flow-rows";
import { findNode, nextNode, removeExpired } from "./flow-table";
import { ask } from "./fork";
import {
  ANSWERS_SOME,
  findLive,
  findMasqueraded,
  findPortUnknown,
  leadsToBackend,
} from "./half-known";
import { key } from "./key";
import {
  CT_DNAT,
  CT_ESTABLISHED,
  CT_NEW,
  CT_RELATED,
  CT_SNAT,
  CT_UNTRACKED,
  KNOWN_ICMP,
  KNOWN_QUOTE,
  KNOWN_TCP_FLAGS,
  MALFORMED_NONE,
  PACKET_DEEP_QUOTE,
  PACKET_DST,
  PACKET_LATER_FRAGMENT,
  PACKET_QUOTED_SRC,
  REASON_WINDOW,
  RULE_NONE,
  VERDICT_ALLOW,
} from "./layout";
import { countsConnections } from "./match/connbytes";
import { hasPorts } from "./protocol";
import { ICMP_HEADER, isIcmpError, quotedHeader } from "./quote";
import { Packet } from "./records";
import { isRealNode, severalNodes } from "./route";
import { natLoaded } from "./rule";
import {
  assumeSctp,
  moveSctp,
  SCTP_BELONGS,
  SCTP_IS_INVALID,
  SCTP_IS_LOST,
  SCTP_MAY_BE_INVALID,
  SCTP_UNKNOWN,
} from "./sctp";
import { TCP_ESTABLISHED, TCP_SYN_SENT } from "./tcp";
import { tcpTimeoutSeconds } from "./tcp-lifetime";
import {
  assumeTcp,
  closeTcp,
  moveTcp,
  startTcp,
  TCP_BELONGS,
  TCP_IS_LOST,
  TCP_MAY_BE_INVALID,
  TCP_REOPENS,
} from "./tcp-track";
import {
  DIRECTION_ORIGINAL,
  DIRECTION_REPLY,
  ENTRY_NONE,
  keyOfPacket,
  tracking,
  trackNothing,
} from "./tracking";
import { startWalk, Walk, walk } from "./walk";
import {
  changedCount,
  changedEntry,
  enterBeginning,
  enterWorld,
  isCertainWorld,
  isGuessedWorld,
  joinWorld,
  keepWorld,
  leaveWorlds,
  settleChanges,
  touchEntry,
  worldCount,
  worldsIncomplete,
} from "./worlds";

/** What `track` is told of a packet: it is only looked up where it makes a difference. */
export function wasSeen(packet: Packet): bool {
  return (assumesMidstream() || refusedBefore()) && flowSeen(packet);
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
  if (isOddGre(packet)) return;
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

/** > GRE of version 1 that carries no PPP has no tuple. Source: Linux, gre_pkt_to_tuple(). */
export function isOddGre(packet: Packet): bool {
  const header: usize = packet.transport;
  if (packet.protocol != 47 || header == 0 || packet.end - packet.transport < 8) return false;
  const version = load<u8>(header, 1) & 7;
  return version == 1 && bswap<u16>(load<u16>(header, 2)) != GRE_PPP;
}

const GRE_PPP: u16 = 0x880b;

// The same of the header that an error quotes, where that was captured.
function quotesOddGre(packet: Packet): bool {
  if (packet.transport == 0) return false;
  const header: usize = packet.transport + ICMP_HEADER + quotedHeader(packet);
  if (<usize>packet.end < header + 8) return false;
  const version = load<u8>(header, 1) & 7;
  return version == 1 && bswap<u16>(load<u16>(header, 2)) != GRE_PPP;
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

/** Takes up the entry for a new connection whose packet got through, or whose verdict is unknown. */
export function confirm(packet: Packet, walk: Walk, guessed: bool): bool {
  if (!tracking.fresh) return true;
  if (!hasRoom()) return false;
  keyOfPacket(packet);
  removeExpired();
  const number = addEntry();
  const entry = entryAt(number);
  setStarted(entry, now());
  setMaker(entry, packet.number);
  if (walk.translated) {
    entry.flags |= ENTRY_DNAT;
    tuplesOf(entry).to0 = walk.dst0;
    tuplesOf(entry).to1 = walk.dst1;
    tuplesOf(entry).to2 = walk.dst2;
    tuplesOf(entry).to3 = walk.dst3;
    if (hasPorts(entry.protocol)) tuplesOf(entry).toPort = <u16>walk.dport;
  }
  if (walk.movedId) tuplesOf(entry).fromPort = <u16>walk.newSport;
  if (walk.srcTranslated) {
    entry.flags |= ENTRY_SNAT;
    tuplesOf(entry).from0 = walk.newSrc0;
    tuplesOf(entry).from1 = walk.newSrc1;
    tuplesOf(entry).from2 = walk.newSrc2;
    tuplesOf(entry).from3 = walk.newSrc3;
    tuplesOf(entry).fromPort = <u16>walk.newSport;
    if (walk.sportUnknown) {
      entry.flags |= ENTRY_PORT_UNKNOWN;
      tuplesOf(entry).portFirst = <u16>walk.portFirst;
      tuplesOf(entry).portLast = <u16>walk.portLast;
      tuplesOf(entry).draw = walk.draw != 0 ? walk.draw : nextDraw();
    }
  }
  entry.mark = walk.connectionMark;
  entry.markDoubted = walk.connectionMarkUnknown == 0 ? 0 : 1;
  if (guessed) entry.flags |= ENTRY_GUESSED;
  if (isRealNode() && !natLoaded(entry.family)) entry.flags |= ENTRY_UNBOUND;
  if (!countsConnections()) entry.flags |= ENTRY_UNCOUNTED;
  // Only answers of backends are looked up by it.
  const backend = walk.masqueraded && leadsToBackend();
  if (backend) entry.flags |= ENTRY_MASQUERADED;
  if (walk.masqueraded && severalNodes() && (guessed || !backend)) entry.flags |= ENTRY_OPEN;
  linkEntry(number);
  if (entry.protocol == 132) {
    const word = moveSctp(entry, packet, DIRECTION_ORIGINAL, true);
    if (word == SCTP_UNKNOWN) assumeSctp(entry);
    if (word != SCTP_BELONGS) refresh(entry);
  } else if (entry.protocol != 6) refresh(entry);
  else if ((packet.known & KNOWN_TCP_FLAGS) != 0) startTcp(entry, packet);
  else assumeTcp(entry, tracking.tcpState);
  if (walk.answeredByReset) closeTcp(number, packet);
  tracking.entry = number;
  return true;
}

let draws: u32 = 0;

function nextDraw(): u32 {
  draws++;
  return draws;
}

/**
 * Takes up what the tries of a packet made of connections. A new one on which they do not agree exists
 * perhaps; the reason and rule are those of the fact that was missing.
 *
 * @param doubted the connections from before may be in any state
 */
export function confirmWorlds(packet: Packet, reason: u32, rule: i32, doubted: bool): bool {
  if (doubted) doubtConnections(packet, reason, rule);
  else settleChanges(reason, rule);
  keepWorld();
  let room: bool = true;
  let first = ENTRY_NONE;
  if (worldsIncomplete()) room = leavePerhapsUndecided(packet, reason, rule);
  for (let index: u32 = 0; index < worldCount(); index++) {
    enterWorld(index);
    const like = entryLikeWalk(packet);
    if (like != ENTRY_NONE) {
      joinWorld(index, like);
      refreshDoubted(entryAt(like));
      continue;
    }
    if (!confirm(packet, walk, false)) {
      room = false;
      continue;
    }
    if (index == 0) first = tracking.entry;
    if (isCertainWorld(index)) continue;
    const entry = entryAt(tracking.entry);
    entry.flags |= ENTRY_PERHAPS;
    if (isGuessedWorld(index)) entry.flags |= ENTRY_GUESSED;
    setMissing(entry, reason, rule);
  }
  leaveWorlds();
  const through = attempt.verdict == VERDICT_ALLOW || attempt.confirmed;
  if (tracking.fresh && through) tracking.entry = first;
  return room;
}

// The new connection may be yet another one than those that the tries made. It is linked before them, and so
// met behind them.
function leavePerhapsUndecided(packet: Packet, reason: u32, rule: i32): bool {
  if (!enterBeginning() && !beginAnew(packet)) return true;
  keyOfPacket(packet);
  for (let node = findNode(1 << NODE_ORIGINAL); node >= 0; node = nextNode(node)) {
    const entry = entryAt(nodeEntry(node));
    if ((entry.flags & ENTRY_UNDECIDED) == 0) continue;
    refreshDoubted(entry);
    return true;
  }
  forgetTranslation();
  if (!confirm(packet, walk, false)) return false;
  const entry = entryAt(tracking.entry);
  entry.flags |= ENTRY_PERHAPS;
  leaveEntryUndecided(entry, reason, rule);
  if (natLoaded(entry.family)) hideTranslation(tracking.entry);
  return true;
}

// One that is translated in a way that was tried is a world of its own.
function forgetTranslation(): void {
  walk.translated = false;
  walk.srcTranslated = false;
  walk.sportUnknown = false;
  walk.movedId = false;
  walk.masqueraded = false;
}

// What no try did, because not all were made: the connection that the packet belongs to may be over or not
// be there, and the packet then begins another.
function beginAnew(packet: Packet): bool {
  keyOfPacket(packet);
  const node = findNode((1 << NODE_ORIGINAL) | (1 << NODE_REPLY));
  if (node < 0) return false;
  const entry = entryAt(nodeEntry(node));
  if (entry.stateDoubted == 0 && (entry.flags & ENTRY_PERHAPS) == 0) return false;
  trackNothing();
  startWalk(packet);
  trackFirst(packet, true);
  return tracking.fresh;
}

// A connection that exists perhaps, and that the walk's new one is like.
function entryLikeWalk(packet: Packet): u32 {
  keyOfPacket(packet);
  for (let node = findNode(1 << NODE_ORIGINAL); node >= 0; node = nextNode(node)) {
    const entry = entryAt(nodeEntry(node));
    if ((entry.flags & ENTRY_PERHAPS) != 0 && isLikeWalk(entry)) return nodeEntry(node);
  }
  return ENTRY_NONE;
}

function isLikeWalk(entry: Entry): bool {
  const dnat = (entry.flags & ENTRY_DNAT) != 0;
  const snat = (entry.flags & ENTRY_SNAT) != 0;
  if (dnat != walk.translated || snat != walk.srcTranslated) return false;
  const at = changetype<usize>(tuplesOf(entry));
  const here = changetype<usize>(walk);
  if (dnat) {
    if (hasPorts(entry.protocol) && tuplesOf(entry).toPort != walk.dport) return false;
    if (memory.compare(at + offsetof<Tuples>("to0"), here + offsetof<Walk>("dst0"), 16) != 0)
      return false;
  }
  if (!snat) return true;
  const portUnknown = (entry.flags & ENTRY_PORT_UNKNOWN) != 0;
  return (
    portUnknown == walk.sportUnknown &&
    tuplesOf(entry).fromPort == walk.newSport &&
    memory.compare(at + offsetof<Tuples>("from0"), here + offsetof<Walk>("newSrc0"), 16) == 0
  );
}

/**
 * Says that a packet's connection, and those that its tries changed, may be in any state: not all tries
 * were made.
 */
export function doubtConnections(packet: Packet, reason: u32, rule: i32): void {
  settleChanges(reason, rule);
  for (let index: u32 = 0; index < changedCount(); index++) {
    doubtState(changedEntry(index), reason, rule);
  }
  keyOfPacket(packet);
  const seen: u32 = (1 << NODE_ORIGINAL_SEEN) | (1 << NODE_REPLY_SEEN);
  const node = findNode((1 << NODE_ORIGINAL) | (1 << NODE_REPLY) | seen);
  if (node >= 0) doubtState(nodeEntry(node), reason, rule);
}

function doubtState(number: u32, reason: u32, rule: i32): void {
  const entry = entryAt(number);
  entry.stateDoubted = 1;
  entry.markDoubted = 1;
  refreshDoubted(entry);
  if ((entry.flags & ENTRY_UNDECIDED) != 0) return;
  if (entry.protocol == 6 || entry.protocol == 132) entry.flags |= ENTRY_PERHAPS;
  setMissing(entry, reason, rule);
}

/**
 * Remembers that the flow of the packet under way has no verdict, and why.
 *
 * @param drawn only the backend is not known: the packet that shows it settles the flow
 */
export function leaveUndecided(packet: Packet, reason: u32, rule: i32, drawn: bool): void {
  if (tracking.entry == ENTRY_NONE && !confirm(packet, walk, drawn)) return;
  if (tracking.entry == ENTRY_NONE) return;
  const entry = entryAt(tracking.entry);
  leaveEntryUndecided(entry, reason, rule);
  if (severalNodes() && (!isPod(attempt.dstRoute) || walk.translated))
    openEntry(tracking.entry, walk.masqueraded);
  if (drawn) entry.markDoubted = 1;
  else if (isRealNode() && natLoaded(entry.family)) hideTranslation(tracking.entry);
}

// > ICMPv6 130 to 136 and 143 are never tracked. Source: nf_conntrack_proto_icmpv6.c.
function isNeighbourDiscovery(packet: Packet): bool {
  if (packet.protocol != 58 || (packet.known & KNOWN_ICMP) == 0) return false;
  return (packet.icmpType >= 130 && packet.icmpType <= 136) || packet.icmpType == 143;
}

function trackKnown(packet: Packet, node: i64, seenBefore: bool): void {
  const number = nodeEntry(node);
  const kind = nodeKind(node);
  const entry = entryAt(number);
  touchEntry(number);
  const replies = kind == NODE_REPLY || kind == NODE_REPLY_SEEN || answersItself(entry);
  const direction = replies ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
  tracking.direction = direction;
  tracking.deadlineBefore = entry.deadline;
  if (entry.stateDoubted != 0) {
    if (isRealNode()) trackDoubted(packet, number, kind, seenBefore);
    else trackPerhapsAnswered(number, kind);
    return;
  }
  if (entry.protocol == 6) {
    if ((packet.known & KNOWN_TCP_FLAGS) != 0) {
      const word = moveTcp(entry, packet, direction);
      if (word == TCP_REOPENS) {
        tracking.direction = DIRECTION_ORIGINAL;
        trackFirst(packet, seenBefore);
        return;
      }
      if (word == TCP_IS_LOST) leaveEntryUndecided(entry, REASON_WINDOW, RULE_NONE);
      else if (word == TCP_MAY_BE_INVALID) tracking.perhapsInvalid = true;
      else if (word != TCP_BELONGS) return doubtInvalid(number);
    }
  }
  if (entry.protocol == 132 && !trackSctp(entry, packet, direction)) return doubtInvalid(number);
  belongTo(number, kind);
  if (entry.protocol != 6 && entry.protocol != 132) refresh(entry);
  if (direction == DIRECTION_REPLY) entry.flags |= ENTRY_SEEN_REPLY;
  const answered = (entry.flags & ENTRY_SEEN_REPLY) != 0;
  tracking.state = (answered ? CT_ESTABLISHED : CT_NEW) | translationBits(entry);
}

// What tries left in different states may take a packet as any of them would.
function trackDoubted(packet: Packet, number: u32, kind: u32, seenBefore: bool): void {
  const entry = entryAt(number);
  const question = QUESTION_DOUBT | ((<u64>number) << 2);
  const reason: u32 = entry.reason;
  const undecidedRule = tuplesOf(entry).undecidedRule;
  const follows = entry.protocol == 6 || entry.protocol == 132;
  if (follows && !ask(question, reason, undecidedRule)) {
    // It is over, and the packet is a first one; or the packet does not fit.
    if (!ask(question | 1, reason, undecidedRule)) return;
    entry.deadline = 0;
    tracking.direction = DIRECTION_ORIGINAL;
    trackFirst(packet, seenBefore);
    return;
  }
  belongTo(number, kind);
  refreshDoubted(entry);
  const replies = tracking.direction == DIRECTION_REPLY;
  const answered =
    replies || (entry.flags & ENTRY_SEEN_REPLY) != 0 || ask(question | 2, reason, undecidedRule);
  tracking.state = (answered ? CT_ESTABLISHED : CT_NEW) | translationBits(entry);
  if (follows || !replies) return;
  // From here on all are alike.
  entry.flags |= ENTRY_SEEN_REPLY;
  entry.stateDoubted = 0;
}

// One of several of a cluster with masqueraded sources, of which some were answered. It may stand in for another where
// the backend answers, but not where its own client does hear it.
function trackPerhapsAnswered(number: u32, kind: u32): void {
  const entry = entryAt(number);
  belongTo(number, kind);
  refreshDoubted(entry);
  tracking.state = CT_ESTABLISHED | translationBits(entry);
  tracking.perhapsAnswered = tracking.direction == DIRECTION_ORIGINAL;
  if (kind != NODE_REPLY_SEEN) return;
  entry.flags |= ENTRY_SEEN_REPLY;
  entry.stateDoubted = 0;
}

const QUESTION_DOUBT: u64 = 1 << 52;

// As long as in the state in which it lives longest.
function refreshDoubted(entry: Entry): void {
  if (entry.protocol == 6 || entry.protocol == 132)
    refreshFor(entry, tcpTimeoutSeconds(TCP_ESTABLISHED));
  else refresh(entry);
}

function belongTo(number: u32, kind: u32): void {
  const entry = entryAt(number);
  tracking.entry = number;
  tracking.seenAfter = kind == NODE_ORIGINAL_SEEN || kind == NODE_REPLY_SEEN;
  tracking.midstream = (entry.flags & ENTRY_MIDSTREAM) != 0;
}

/**
 * > Where both tuples are equal (to itself, at the same port or none), the reply's is found: it was put in
 * front. Source: nf_conntrack_core.c, __nf_conntrack_hash_insert().
 */
export function answersItself(entry: Entry): bool {
  if (entry.protocol == 1 || entry.protocol == 58) return false;
  if (!hasTuples(entry))
    return entry.ends == rotl<u64>(entry.ends, 32) && entry.ports == rotl<u32>(entry.ports, 16);
  const src = changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("src0");
  const to = changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("to0");
  // Source and destination lie behind each other, and so do what they became.
  return (
    sameAddress(src, to) &&
    sameAddress(src + 16, to + 16) &&
    tuplesOf(entry).sport == tuplesOf(entry).toPort &&
    tuplesOf(entry).dport == tuplesOf(entry).fromPort
  );
}

// > `--ctstate SNAT` and `DNAT` look at the connection, of which errors about it are, too.
function translationBits(entry: Entry): u32 {
  const dnat: u32 = (entry.flags & ENTRY_DNAT) != 0 ? CT_DNAT : 0;
  const snat: u32 = (entry.flags & ENTRY_SNAT) != 0 ? CT_SNAT : 0;
  return dnat | snat;
}

// What an undecided connection has no place for is only INVALID if the kernel has that connection at all; where the
// source was masqueraded, answers that the capture shows elsewhere may have moved it on.
function doubtInvalid(number: u32): void {
  const flags = entryAt(number).flags;
  if ((flags & ENTRY_UNDECIDED) != 0) tracking.entry = number;
  const answered = (flags & ENTRY_SEEN_REPLY) != 0;
  if (!answered && severalNodes() && (flags & (ENTRY_MASQUERADED | ENTRY_OPEN)) != 0) {
    tracking.answersSome = true;
  }
}

// Connections whose tags nobody saw, and packets whose chunks were not captured, are taken as they are.
function trackSctp(entry: Entry, packet: Packet, direction: u32): bool {
  if ((entry.flags & ENTRY_MIDSTREAM) != 0) {
    refresh(entry);
    return true;
  }
  const word = moveSctp(entry, packet, direction, false);
  if (word == SCTP_UNKNOWN) refresh(entry);
  if (word == SCTP_MAY_BE_INVALID) tracking.perhapsInvalid = true;
  if (word == SCTP_IS_LOST) leaveEntryUndecided(entry, REASON_WINDOW, RULE_NONE);
  return word != SCTP_IS_INVALID;
}

// > An error is RELATED when it quotes a known connection and goes to the quoted source.
// Source: nf_conntrack_proto_icmp.c, nf_conntrack_inet_error().
function trackError(packet: Packet): void {
  if ((packet.known & KNOWN_QUOTE) == 0) {
    const deep = (packet.flags & PACKET_DEEP_QUOTE) != 0;
    tracking.quoteMissing = deep || !isWhole(packet) || isRedirect6(packet);
    return;
  }
  memory.copy(changetype<usize>(key), changetype<usize>(packet) + PACKET_QUOTED_SRC, 32);
  key.family = packet.family;
  key.protocol = packet.quotedProtocol;
  key.unused = 0;
  if (hasPorts(packet.quotedProtocol)) {
    key.sport = packet.quotedSport;
    key.dport = packet.quotedDport;
  } else if (packet.quotedProtocol == 1 || packet.quotedProtocol == 58) {
    key.sport = packet.quotedIcmpId;
    key.dport = (<u16>packet.quotedIcmpType) << 8;
  } else {
    key.sport = 0;
    key.dport = 0;
    if (packet.quotedProtocol == 47 && quotesOddGre(packet)) return;
  }
  // > The quoted packet is looked up by what answers it: translated connections are found so, too.
  if (isRealNode()) invertKey();
  let node = findLive();
  if (node < 0 && isRealNode()) node = findPortUnknown();
  if (node < 0 && severalNodes()) {
    invertKey();
    node = findMasqueraded(packet);
    if (node == ANSWERS_SOME) tracking.answersSome = true;
    if (node >= 0) node = nodeOf(nodeEntry(node), NODE_ORIGINAL_SEEN);
  }
  if (node < 0) return;
  const toQuotedSource =
    memory.compare(
      changetype<usize>(packet) + PACKET_DST,
      changetype<usize>(packet) + PACKET_QUOTED_SRC,
      16,
    ) == 0;
  if (!toQuotedSource) return;
  const kind = nodeKind(node);
  tracking.entry = nodeEntry(node);
  const entry = entryAt(tracking.entry);
  tracking.state = CT_RELATED | translationBits(entry);
  tracking.midstream = (entry.flags & ENTRY_MIDSTREAM) != 0;
  const replies = kind == NODE_REPLY || kind == NODE_REPLY_SEEN;
  tracking.direction =
    replies == isRealNode() || answersItself(entry) ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
}

// All of it was captured: what it does not quote, the kernel does not see either.
function isWhole(packet: Packet): bool {
  return packet.network != 0 && packet.end - packet.network >= packet.ipLength;
}

// Its quote is in an option.
function isRedirect6(packet: Packet): bool {
  return packet.protocol == 58 && packet.icmpType == 137;
}

// The tuple of answers to what `key` holds.
function invertKey(): void {
  const at = changetype<usize>(key);
  for (let word: usize = 0; word < 16; word += 4) {
    const src = load<u32>(at + word);
    store<u32>(at + word, load<u32>(at + word, 16));
    store<u32>(at + word, src, 16);
  }
  if (key.protocol == 1 || key.protocol == 58) {
    key.dport = inverseIcmp(key.protocol, key.dport);
    return;
  }
  const sport = key.sport;
  key.sport = key.dport;
  key.dport = sport;
}
