// The short way of a packet: its connection moves on, and what was said of an earlier packet is said again,
// when nothing that the walk of that one looked at is different. Everything else goes the long way.
import { SEEN_ARRIVING, SEEN_LEAVING, whereSeen } from "./arrival";
import { refresh, refusedBefore } from "./entry-life";
import { isHelperGiven } from "./expectation";
import { knownConnections } from "./known-connection";
import { countRow } from "./flow-rows";
import {
  Entry,
  ENTRY_ASSURED,
  ENTRY_GUESSED,
  ENTRY_MASQUERADED,
  ENTRY_PERHAPS,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SEEN_REPLY,
  ENTRY_UNDECIDED,
  entryAt,
  isEntryAlive,
} from "./flow-table";
import { consultedCount, startForks } from "./fork";
import { lookUpSights } from "./half-known";
import { rollBack, startJournal } from "./journal";
import { track } from "./conntrack";
import { startWorlds } from "./worlds";
import { countTotals, walkedPlainly } from "./judge";
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
  VERDICT_ALLOW,
  VERDICT_DROP,
  VERDICT_SIZE,
} from "./layout";
import {
  findMemo,
  Memo,
  MEMO_UNCONNECTED,
  MEMO_UNTRACKED,
  nameMemo,
  placeFor,
  Saying,
  sayingOf,
} from "./memo";
import { Outcome, outcomeOf, verdictOfOutcome } from "./outcome";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./protocol";
import { Packet } from "./records";
import { isRealNode } from "./route";
import { conntrackActive } from "./rule";
import { rememberSight, severalSights } from "./sights";
import { moveTcp, TCP_BELONGS } from "./tcp-track";
import { DIRECTION_REPLY, ENTRY_NONE, tracking } from "./tracking";
import { Verdict } from "./verdict";
import { walk } from "./walk";

// Of entries that have one of these it is not known what they are.
const ENTRY_UNCERTAIN: u32 =
  ENTRY_GUESSED | ENTRY_MASQUERADED | ENTRY_PERHAPS | ENTRY_PORT_UNKNOWN | ENTRY_UNDECIDED;
const PACKET_ODD: u32 = PACKET_FRAGMENT | PACKET_FRAGMENT_HEADER;
const IPV4_SIZE: u32 = 20;
const IPV6_SIZE: u32 = 40;

// What of an entry changes, in pieces of eight bytes.
const ENTRY_STATE: usize = offsetof<Entry>("flags") & ~7;
const ENTRY_STATE_SIZE: usize = offsetof<Entry>() - ENTRY_STATE;
const before: usize = memory.data(256, 8);

if (ENTRY_STATE_SIZE % 8 != 0 || ENTRY_STATE_SIZE > 256) ERROR("what of an Entry changes");

let allowed: bool = true;
let repeats: u64 = 0;

/** Says whether packets may take the short way at all; those that walk are the reference. */
export function setUpRepeat(may: bool): void {
  allowed = may;
}

/** How many packets have taken the short way. */
export function repeatCount(): u64 {
  return repeats;
}

/** Says of a decoded packet what was said of one like it; false: it has to walk. */
export function repeatVerdict(packet: Packet, verdict: Verdict): bool {
  if (!allowed || !isPlain(packet) || refusedBefore() || isHelperGiven(packet)) return false;
  const memo = findMemo(packet);
  // What needs no rules has no part in where the capture shows packets: it is kept nowhere.
  if (memo == null || !isSeenOnce(packet)) return false;
  const saying = sayingFor(memo, packet);
  if (saying == null) return false;
  const outcome = changetype<Outcome>(saying.outcome);
  const said = verdictOfOutcome(outcome);
  for (let at: usize = 0; at < <usize>VERDICT_SIZE; at += 16)
    v128.store(changetype<usize>(verdict) + at, v128.load(said + at));
  repeats++;
  outcome.packets++;
  outcome.bytes += packet.ipLength;
  rememberSight(packet, verdict, memo.entry);
  countTotals(packet, verdict);
  countRow(saying.row, packet);
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
  if (!isPlain(packet) || !isLasting(packet, verdict)) return;
  const memo = placeFor(packet);
  const entry = tracking.entry;
  const untracked = verdict.ctState == CT_UNTRACKED;
  let stamp = untracked ? MEMO_UNTRACKED : MEMO_UNCONNECTED;
  if (entry != ENTRY_NONE) stamp = entryAt(entry).stamp;
  nameMemo(memo, entry, stamp, tracking.direction);
  const flags: u16 = entry == ENTRY_NONE ? 0 : lookedAt(entryAt(entry).flags);
  const invalid = entry == ENTRY_NONE && !tracking.fresh && !untracked;
  const saying = sayingOf(memo, invalid || (flags & ENTRY_SEEN_REPLY) != 0);
  saying.outcome = <u32>changetype<usize>(outcomeOf(verdict));
  saying.row = <u32>row;
  saying.mark = entry == ENTRY_NONE ? 0 : entryAt(entry).mark;
  saying.flags = flags;
  saying.tcpFlags = packet.tcpFlags;
  saying.looksAtTcpFlags = walk.looksAtTcpFlags ? 1 : 0;
}

// The connection is certain, or it is certain that there is none.
function isLasting(packet: Packet, verdict: Verdict): bool {
  if (tracking.entry == ENTRY_NONE) {
    if (isPlacedByConnections(packet)) return false;
    if (tracking.fresh) return verdict.verdict == VERDICT_DROP;
    return (verdict.ctState & (CT_UNTRACKED | CT_INVALID)) != 0;
  }
  if (tracking.fresh) return false;
  if ((verdict.ctState & (CT_NEW | CT_ESTABLISHED)) == 0) return false;
  const entry = entryAt(tracking.entry);
  if ((entry.flags & ENTRY_UNCERTAIN) != 0 || entry.markDoubted != 0) return false;
  // On a real node another connection's own tuple comes before what the capture shows behind the last hook.
  return entry.stateDoubted == 0 && !(isRealNode() && tracking.seenAfter);
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
  if ((packet.known & KNOWN_TTL) != 0 && packet.ttl <= 1) return false;
  // A text shows no bytes; options and extension headers, it tells or nobody knows.
  if ((packet.flags & PACKET_DECODED) != 0) return packet.family == 4;
  const size = packet.family == 4 ? IPV4_SIZE : IPV6_SIZE;
  return packet.transport - packet.network == size;
}

// It cannot be another's second sight. Where the capture shows more than one place, a packet that arrives
// at a real node is none.
function isSeenOnce(packet: Packet): bool {
  if (!severalSights(packet)) return true;
  if (!isRealNode()) return false;
  return (packet.flags & PACKET_INBOUND) != 0 || whereSeen(packet) == SEEN_ARRIVING;
}

// What was said of packets like this one, whose connection moves on; null: nothing, and it stays as it is.
function sayingFor(memo: Memo, packet: Packet): Saying | null {
  if (memo.entry != ENTRY_NONE) return sayingOfConnection(memo, packet);
  if (memo.stamp == MEMO_UNCONNECTED) return sayingWithoutConnection(memo, packet);
  return heard(sayingOf(memo, false), packet);
}

function sayingOfConnection(memo: Memo, packet: Packet): Saying | null {
  const entry = entryAt(memo.entry);
  if (!isEntryAlive(entry, memo.stamp) || entry.stateDoubted != 0) return null;
  const state = changetype<usize>(entry) + ENTRY_STATE;
  copyState(before, state);
  if (moveOn(entry, packet, memo.direction)) {
    const saying = heard(sayingOf(memo, (entry.flags & ENTRY_SEEN_REPLY) != 0), packet);
    const same =
      saying != null && saying.flags == lookedAt(entry.flags) && saying.mark == entry.mark;
    if (same && entry.markDoubted == 0) return saying;
  }
  copyState(state, before);
  return null;
}

function copyState(to: usize, from: usize): void {
  for (let at: usize = 0; at < ENTRY_STATE_SIZE; at += 8) store<u64>(to + at, load<u64>(from + at));
}

// ENTRY_* bits that rules look at: those that look at others are walked every time.
function lookedAt(flags: u16): u16 {
  return flags & ~ENTRY_ASSURED;
}

// No connection that the packet would belong to may have come up since. Its flow was seen before: it is
// kept here.
function sayingWithoutConnection(memo: Memo, packet: Packet): Saying | null {
  const consulted = consultedCount();
  startJournal();
  startForks();
  startWorlds();
  lookUpSights(!isRealNode() || whereSeen(packet) == SEEN_LEAVING);
  track(packet, true);
  if (consultedCount() == consulted && !tracking.ambiguous && tracking.entry == ENTRY_NONE) {
    const invalid = !tracking.fresh;
    // INVALID packets, too, may come from either side of a connection.
    const same = tracking.direction == memo.direction;
    const saying = heard(sayingOf(memo, invalid), packet);
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
function heard(saying: Saying, packet: Packet): Saying | null {
  const same = saying.looksAtTcpFlags == 0 || saying.tcpFlags == packet.tcpFlags;
  return saying.outcome != 0 && same ? saying : null;
}
