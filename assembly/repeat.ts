// The short way of a packet: its connection moves on, and what was said of an earlier packet is said again,
// when nothing that the walk of that one looked at is different. Everything else goes the long way.
import { findAlike, isMetAgain, placeForAlike, WAY_FIRST } from "./alike";
import { isPerhapsBehindHooks, SEEN_LEAVING, whereSeen } from "./arrival";
import { copyBytes } from "./bytes";
import { track } from "./conntrack";
import { beginsPlainly } from "./conntrack-first";
import { isAlive } from "./deadline";
import {
  Entry,
  ENTRY_ASSURED,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_MARK_DOUBTED,
  ENTRY_MASQUERADED,
  ENTRY_PERHAPS,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SEEN_REPLY,
  ENTRY_SNAT,
  ENTRY_STATE,
  ENTRY_STATE_DOUBTED,
  ENTRY_STATE_SIZE,
  ENTRY_UNDECIDED,
} from "./entry";
import { refresh, refusedBefore } from "./entry-life";
import { entryAt } from "./entry-list";
import { answersItself, nodeEntry, nodeKind } from "./entry-tuples";
import { isHelperGiven } from "./expectation";
import { consultedCount, startForks } from "./fork";
import { areHalfKnown, arePerhapsTaken, findFirst, lookUpSights } from "./half-known";
import { hear, rowHeard, saidOf, whereOf } from "./heard";
import { TTL_ENOUGH } from "./hops-left";
import { rollBack, startJournal } from "./journal";
import { count, countedLength, countTotals, decideAtOnce, walkedPlainly } from "./judge";
import { knownConnections } from "./known-connection";
import {
  CT_ESTABLISHED,
  CT_INVALID,
  CT_NEW,
  CT_UNTRACKED,
  KNOWN_PORTS,
  KNOWN_TCP_FLAGS,
  KNOWN_TTL,
  MALFORMED_NONE,
  PACKET_DECODED,
  PACKET_FRAGMENT,
  PACKET_FRAGMENT_HEADER,
  PACKET_INBOUND,
  SHOWN_OPTIONS_NONE,
  VERDICT_ALLOW,
  VERDICT_DROP,
  VERDICT_SIZE,
} from "./layout";
import { mannerOf } from "./manner";
import { findMemo, hearMemo, Memo, placeFor } from "./memo";
import { confirm } from "./new-connection";
import { verdictOfOutcome } from "./outcome";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./protocol";
import { Packet } from "./records";
import { isRealNode } from "./route";
import { countRow, isFirstOfRow } from "./row";
import { logRow } from "./row-log";
import { conntrackActive } from "./rule";
import { Saying, sayingOf } from "./saying";
import { isSeenOnce, recallSight, rememberSight } from "./sights";
import { moveTcp, TCP_BELONGS } from "./tcp-track";
import { DIRECTION_ORIGINAL, DIRECTION_REPLY, ENTRY_NONE, keyOfPacket, tracking } from "./tracking";
import { markOf } from "./tuples";
import { Verdict } from "./verdict";
import { Walk, walk } from "./walk";
import { startWorlds } from "./worlds";

// Of entries that have one of these it is not known what they are.
const ENTRY_UNCERTAIN: u32 =
  ENTRY_GUESSED | ENTRY_MASQUERADED | ENTRY_PERHAPS | ENTRY_PORT_UNKNOWN | ENTRY_UNDECIDED;
const ENTRY_TRANSLATED: u32 = ENTRY_DNAT | ENTRY_SNAT;
const PACKET_ODD: u32 = PACKET_FRAGMENT | PACKET_FRAGMENT_HEADER;
const IPV4_SIZE: u32 = 20;
const IPV6_SIZE: u32 = 40;

const before: usize = memory.data(256, 16);

let allowed: bool = true;
let repeats: u64 = 0;

/** Says whether packets may take the short way at all; those that walk are the reference. */
export function setUpRepeat(may: bool): void {
  allowed = may;
}

/** Packets may take the short way. */
export function mayRepeat(): bool {
  return allowed && !refusedBefore();
}

/** Counts packets that repeat what was said. */
export function countRepeats(packets: u32): void {
  repeats += packets;
}

/** How many packets have taken the short way. */
export function repeatCount(): u64 {
  return repeats;
}

/**
 * Says of a decoded packet what was said of one like it; false: it has to walk.
 *
 * @param isRead somebody reads the verdict; else it is only counted
 */
export function repeatVerdict(packet: Packet, verdict: Verdict, isRead: bool): bool {
  if (!mayRepeat() || !isPlain(packet) || isHelperGiven(packet.number)) return false;
  const seen = whereSeen(packet);
  lookUpSights(isPerhapsBehindHooks(seen));
  const inbound = (packet.flags & PACKET_INBOUND) != 0;
  keyOfPacket(packet);
  const node = findFirst();
  let entry = node < 0 ? ENTRY_NONE : nodeEntry(node);
  if (!isSeenOnce(packet.captureInterface, inbound, seen)) {
    if (node < 0 ? areHalfKnown() : !isCertain(entryAt(entry))) return false;
    // What needs no rules has no part in where the capture shows packets.
    if (decideAtOnce(packet, verdict)) return false;
    if (recallSight(packet, entry, verdict)) {
      count(packet, verdict);
      return true;
    }
  }
  const manner = mannerOf(packet, seen);
  if (manner == 0) return false;
  let mayHear = false;
  let saying: Saying | null = null;
  let row: usize = 0;
  if (node >= 0) {
    const known = entryAt(entry);
    const kind = nodeKind(node);
    const where = whereOf(manner, kind);
    saying = sayingOfConnection(known, saidOf(known, kind & 1), where, packet, kind & 1);
    if (saying == null) {
      saying = sayingOfAlike(known, manner, kind, packet);
      mayHear = true;
    } else row = rowHeard(known, kind & 1);
  }
  if (saying == null) {
    entry = ENTRY_NONE;
    mayHear = false;
    const memo = findMemo(manner);
    if (memo != null) {
      saying =
        memo.tracked != 0
          ? sayingWithoutConnection(memo, manner, packet)
          : like(memo.sayingFirst, packet);
      row = memo.row;
    }
  }
  if (saying == null && node < 0) {
    saying = sayingOfFirst(manner, packet);
    entry = tracking.entry;
    row = 0;
  }
  if (saying == null) return false;
  const repeated = changetype<Verdict>(verdictOfOutcome(saying.outcome));
  if (isRead) copyBytes(changetype<usize>(verdict), changetype<usize>(repeated), VERDICT_SIZE);
  countRepeats(1);
  saying.count(countedLength(packet));
  rememberSight(packet, repeated, entry, true);
  if (row == 0) {
    row = count(packet, repeated);
    if (mayHear && row != 0)
      hear(entryAt(entry), nodeKind(node) & 1, changetype<usize>(saying), row);
    return true;
  }
  countTotals(packet, saying.verdict, saying.verdictFlags);
  countRow(row, packet.originalLength);
  logRow(packet.number, row);
  return true;
}

/**
 * Keeps what was said of a packet for others like it, if all that its walk looked at is the same for them.
 *
 * @param row address of its flow's row; 0 without one
 */
export function keepVerdict(packet: Packet, verdict: Verdict, row: usize): void {
  if (!allowed || !walkedPlainly() || walk.volatile || row == 0 || verdict.duplicateOf != 0) return;
  if (verdict.verdict != VERDICT_ALLOW && verdict.verdict != VERDICT_DROP) return;
  if (!isPlain(packet)) return;
  keyOfPacket(packet);
  const again = isLikeOthers(packet, verdict) && isMetAgain(WAY_FIRST);
  // Most that come to nothing come once: what is kept is a good part of a walk's time.
  const once = tracking.entry == ENTRY_NONE && isFirstOfRow(row);
  const lasts = !once && isLasting(packet, verdict);
  if (!again && !lasts) return;
  const manner = mannerOf(packet, whereSeen(packet));
  if (manner == 0) return;
  if (again) {
    const where = whereOf(manner, DIRECTION_ORIGINAL);
    keepForAlike(manner, WAY_FIRST, sayOf(packet, verdict, where, 0, 0));
  }
  if (!lasts) return;
  if (tracking.entry != ENTRY_NONE) keepForConnection(packet, verdict, row, manner);
  else keepWithoutConnection(packet, verdict, row, manner);
}

function keepForConnection(packet: Packet, verdict: Verdict, row: usize, manner: u32): void {
  const node = findFirst();
  if (node < 0 || nodeEntry(node) != tracking.entry) return;
  const entry = entryAt(tracking.entry);
  // > Where both tuples are equal it is the reply's that counts, but for a first packet.
  if (tracking.direction != (nodeKind(node) & 1) || answersItself(entry)) return;
  const flags = lookedAt(entry.flags);
  const way = nodeKind(node);
  const saying = sayOf(packet, verdict, whereOf(manner, way), markOf(entry), flags);
  hear(entry, tracking.direction, changetype<usize>(saying), row);
  if ((entry.flags & ENTRY_TRANSLATED) != 0 || isClientPortLookedAt(way & 1)) return;
  if (isMetAgain(way)) keepForAlike(manner, way, saying);
}

// What holds for any port of the client.
function keepForAlike(manner: u32, way: u32, saying: Saying): void {
  const alike = placeForAlike(manner, way);
  alike.saying = <u32>changetype<usize>(saying);
  alike.ifFree = walk.staysIfFree ? 1 : 0;
}

// The kernel's own tuples tell all that there is to know of it.
function isCertain(entry: Entry): bool {
  return (entry.flags & ENTRY_UNCERTAIN) == 0 && isAlive(entry);
}

// Whoever answers, answers to the client's port.
function isClientPortLookedAt(direction: u32): bool {
  return direction == DIRECTION_REPLY ? walk.dportLookedAt : walk.sportLookedAt;
}

// The packet begins a connection as others would that are alike: it is not translated, and comes into being if the
// packet gets through.
function isLikeOthers(packet: Packet, verdict: Verdict): bool {
  if (!tracking.fresh || !beginsPlainly(packet) || isPlacedByConnections(packet)) return false;
  if (isClientPortLookedAt(DIRECTION_ORIGINAL) || walk.sportDrawn) return false;
  if (walk.translated || walk.srcTranslated || walk.masqueraded) return false;
  const allowed = verdict.verdict == VERDICT_ALLOW;
  if (!allowed || tracking.entry == ENTRY_NONE) return !allowed && tracking.entry == ENTRY_NONE;
  const entry = entryAt(tracking.entry);
  return (
    (entry.flags & ENTRY_UNCERTAIN) == 0 &&
    markOf(entry) == 0 &&
    (entry.flags & ENTRY_MARK_DOUBTED) == 0
  );
}

function keepWithoutConnection(packet: Packet, verdict: Verdict, row: usize, manner: u32): void {
  const memo = placeFor(manner);
  const tracked: u32 = verdict.ctState == CT_UNTRACKED ? 0 : 1;
  if (memo.tracked != tracked) {
    memo.tracked = tracked;
    memo.where = 0;
  }
  // INVALID packets, too, may come from either side of a connection.
  const where = whereOf(manner, tracking.direction);
  const saying = changetype<usize>(sayOf(packet, verdict, where, 0, 0));
  hearMemo(memo, where, tracked != 0 && !tracking.fresh, saying, row);
}

function sayOf(packet: Packet, verdict: Verdict, where: u32, mark: u32, flags: u16): Saying {
  const asked = walk.tcpFlagsLookedAt;
  return sayingOf(verdict, where, mark, flags, asked, packet.tcpFlags, walk.longest);
}

// The connection is certain, or it is certain that there is none.
function isLasting(packet: Packet, verdict: Verdict): bool {
  if (tracking.entry == ENTRY_NONE) {
    if (isPlacedByConnections(packet) || walk.staysIfFree) return false;
    if (tracking.fresh) return verdict.verdict == VERDICT_DROP;
    return (verdict.ctState & (CT_UNTRACKED | CT_INVALID)) != 0;
  }
  if (tracking.fresh) return false;
  if ((verdict.ctState & (CT_NEW | CT_ESTABLISHED)) == 0) return false;
  const entry = entryAt(tracking.entry);
  if ((entry.flags & ENTRY_UNCERTAIN) != 0 || (entry.flags & ENTRY_MARK_DOUBTED) != 0) return false;
  // On a real node another connection's own tuple comes before what the capture shows behind the last hook.
  return (entry.flags & ENTRY_STATE_DOUBTED) == 0 && !(isRealNode() && tracking.seenAfter);
}

// Where the node's own addresses are behind the last hook, its connections tell whether it sent the packet.
function isPlacedByConnections(packet: Packet): bool {
  if (!isRealNode() || whereSeen(packet) != SEEN_LEAVING) return false;
  return conntrackActive(packet.family) || knownConnections() > 0;
}

// A whole TCP or UDP packet whose headers have nothing that others of its connection have not.
function isPlain(packet: Packet): bool {
  if (packet.protocol != PROTOCOL_TCP && packet.protocol != PROTOCOL_UDP) return false;
  if (packet.malformed != MALFORMED_NONE || (packet.flags & PACKET_ODD) != 0) return false;
  const needed = packet.protocol == PROTOCOL_TCP ? KNOWN_PORTS | KNOWN_TCP_FLAGS : KNOWN_PORTS;
  if ((packet.known & needed) != needed) return false;
  if ((packet.known & KNOWN_TTL) != 0 && packet.ttl <= <u8>TTL_ENOUGH) return false;
  // Where it arrives hangs on its tag.
  if (packet.vlan > 1 && isRealNode()) return false;
  // A text shows no bytes; options and extension headers, it tells or nobody knows.
  if ((packet.flags & PACKET_DECODED) != 0)
    return packet.family == 4 && packet.shownOptions == SHOWN_OPTIONS_NONE;
  const size = packet.family == 4 ? IPV4_SIZE : IPV6_SIZE;
  return packet.transport - packet.network == size;
}

// What was said of packets like this one, whose connection moves on; null: nothing, and it stays as it is.
function sayingOfConnection(
  entry: Entry,
  said: usize,
  where: u32,
  packet: Packet,
  direction: u32,
): Saying | null {
  if ((entry.flags & ENTRY_STATE_DOUBTED) != 0 || !isAlive(entry)) return null;
  if (said == 0 || changetype<Saying>(said).where != where) return null;
  const state = changetype<usize>(entry) + ENTRY_STATE;
  copyBytes(before, state, ENTRY_STATE_SIZE);
  if (moveOn(entry, packet, direction)) {
    const saying = like(said, packet);
    if (saying != null && saying.flags == lookedAt(entry.flags) && saying.mark == markOf(entry))
      return saying;
  }
  copyBytes(state, before, ENTRY_STATE_SIZE);
  return null;
}

// The same of packets that are alike.
function sayingOfAlike(entry: Entry, manner: u32, kind: u32, packet: Packet): Saying | null {
  if ((entry.flags & (ENTRY_UNCERTAIN | ENTRY_TRANSLATED)) != 0) return null;
  const alike = findAlike(manner, kind);
  // What answers itself is no more like others.
  return alike == null || answersItself(entry)
    ? null
    : sayingOfConnection(entry, alike.saying, whereOf(manner, kind), packet, kind & 1);
}

// What was said of packets that began connections as this one does, whose connection comes into being if they got
// through; null: nothing, and everything stays as it is.
function sayingOfFirst(manner: u32, packet: Packet): Saying | null {
  const alike = findAlike(manner, WAY_FIRST);
  if (alike == null || !beginsPlainly(packet)) return null;
  const saying = like(alike.saying, packet);
  if (saying == null) return null;
  const consulted = consultedCount();
  startJournal();
  startForks();
  startWorlds();
  track(packet, true);
  const begins = tracking.fresh && !tracking.ambiguous && tracking.entry == ENTRY_NONE;
  const free = alike.ifFree == 0 || !arePerhapsTaken();
  if (begins && free && consultedCount() == consulted) {
    if (saying.verdict != VERDICT_ALLOW || confirm(packet, untouched, false)) return saying;
  }
  rollBack();
  return null;
}

// Of a connection that no rule has changed anything of.
const untouched: Walk = changetype<Walk>(memory.data(offsetof<Walk>()));

/** ENTRY_* bits that rules look at: those that look at others are walked every time. */
export function lookedAt(flags: u16): u16 {
  return flags & ~ENTRY_ASSURED;
}

// No connection that the packet would belong to may have come up since. Its flow was seen before: it is
// kept here.
function sayingWithoutConnection(memo: Memo, manner: u32, packet: Packet): Saying | null {
  const consulted = consultedCount();
  startJournal();
  startForks();
  startWorlds();
  track(packet, true);
  const clear = !tracking.ambiguous && !tracking.answersSome;
  if (consultedCount() == consulted && clear && tracking.entry == ENTRY_NONE) {
    const invalid = !tracking.fresh;
    const same = memo.where == whereOf(manner, tracking.direction);
    const saying = like(invalid ? memo.sayingInvalid : memo.sayingFirst, packet);
    if (saying != null && same && (!invalid || tracking.state == CT_INVALID)) return saying;
  }
  rollBack();
  return null;
}

// As conntrack does for a packet that its connection has a place for. False: it may have none.
function moveOn(entry: Entry, packet: Packet, direction: u32): bool {
  if (entry.protocol != PROTOCOL_TCP) refresh(entry);
  else if (moveTcp(entry, packet, direction) != TCP_BELONGS) return false;
  if (direction == DIRECTION_REPLY) entry.flags |= ENTRY_SEEN_REPLY;
  return true;
}

// Something was said, and of such a packet.
function like(saying: usize, packet: Packet): Saying | null {
  const one = changetype<Saying>(saying);
  if (saying == 0 || (packet.tcpFlags & one.tcpFlagsLookedAt) != one.tcpFlags) return null;
  return packet.ipLength > one.longest ? null : one;
}
