// Conditions on the connection: `-m conntrack`, `-m state`, `-m connmark`.
// Source: Linux, xt_conntrack.c, xt_state.c, xt_connmark.c; kernel lab.
import { attempt } from "../attempt";
import { now, SECOND } from "../clock";
import { firstTimeout } from "../conntrack-first";
import { latestOf } from "../deadline";
import { ENTRY_ASSURED, ENTRY_PORT_UNKNOWN, ENTRY_SEEN_REPLY, ENTRY_STATE_DOUBTED } from "../entry";
import { isPerhapsAssured } from "../entry-life";
import { entryAt } from "../entry-list";
import { inverseIcmp } from "../entry-tuples";
import { isHelperGiven } from "../expectation";
import { ask } from "../fork";
import {
  CONNTRACK_ADDRESSES,
  CONNTRACK_DIRECTION,
  CONNTRACK_EXPIRE,
  CONNTRACK_PORTS,
  CONNTRACK_PROTOCOL,
  CONNTRACK_SIDE_SIZE,
  CONNTRACK_STATE,
  CONNTRACK_STATUS,
  CT_INVALID,
  CT_UNTRACKED,
  MATCH_HEADER_SIZE,
  REASON_DEADLINE,
  REASON_NAT_PORT,
  REASON_NOT_MODELLED,
  REASON_STATE,
  STATUS_ASSURED,
  STATUS_CONFIRMED,
  STATUS_SEEN_REPLY,
} from "../layout";
import { hasPorts } from "../protocol";
import { DIRECTION_REPLY, ENTRY_NONE, tracking } from "../tracking";
import { Tuples, tuplesOf } from "../tuples";
import { Walk, walk } from "../walk";
import { isMasked } from "./address";
import { TICK_SLACK } from "./bucket";
import { isMark } from "./mark";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const SIDES: usize = PAYLOAD + 20;

/** `--ctstate` and whatever else is asked; without a connection only the state counts. */
export function matchConntrack(match: usize, rule: i32): bool {
  const wanted: u32 = load<u8>(match, PAYLOAD);
  const inverted: u32 = load<u8>(match, PAYLOAD + 1);
  if ((wanted & CONNTRACK_STATE) != 0) {
    const found = (walk.ctState & load<u8>(match, PAYLOAD + 2)) != 0;
    if (found == ((inverted & CONNTRACK_STATE) != 0)) return false;
  }
  if ((wanted & ~(<u32>CONNTRACK_STATE)) == 0) return true;
  if ((walk.ctState & (CT_INVALID | CT_UNTRACKED)) != 0) return (wanted & CONNTRACK_STATE) != 0;
  if ((wanted & CONNTRACK_DIRECTION) != 0) {
    const reply = tracking.direction == DIRECTION_REPLY;
    if (reply != (load<u8>(match, PAYLOAD + 5) != 0)) return false;
  }
  if ((wanted & CONNTRACK_PROTOCOL) != 0) {
    const found = connectionProtocol() == load<u8>(match, PAYLOAD + 3);
    if (found == ((inverted & CONNTRACK_PROTOCOL) != 0)) return false;
  }
  if ((wanted & CONNTRACK_ADDRESSES) != 0 && !addressesHold(match)) return false;
  if ((wanted & CONNTRACK_PORTS) != 0 && !portsHold(match, rule)) return false;
  if ((wanted & CONNTRACK_STATUS) != 0) {
    const bits: u32 = load<u8>(match, PAYLOAD + 4);
    if ((bits & STATUS_ASSURED) != 0) walk.volatile = true;
    // NONE is no bit at all: it never holds.
    let found: bool = (statusBits() & bits) != 0;
    if (isDoubted(bits)) found = ask(QUESTION_CONNECTION | rule, REASON_STATE, rule);
    else if (!found && (bits & STATUS_ASSURED) != 0 && isPerhapsStream())
      found = ask(QUESTION_CONNECTION | rule, REASON_DEADLINE, rule);
    if (found == ((inverted & CONNTRACK_STATUS) != 0)) return false;
  }
  if ((wanted & CONNTRACK_EXPIRE) == 0) return true;
  walk.volatile = true;
  lookAtSecondsLeft();
  const first = load<u32>(match, PAYLOAD + 12);
  const last = load<u32>(match, PAYLOAD + 16);
  const found = leastLeft >= first && mostLeft <= last;
  const perhaps = !found && mostLeft >= first && leastLeft <= last;
  if (stateIsDoubted()) return ask(QUESTION_CONNECTION | (1 << 32) | rule, REASON_STATE, rule);
  if (perhaps) return ask(QUESTION_CONNECTION | (1 << 32) | rule, REASON_DEADLINE, rule);
  return found != ((inverted & CONNTRACK_EXPIRE) != 0);
}

/** > No connection: never, negated or not. */
export function matchConnmark(match: usize, rule: i32, invert: bool): bool {
  if ((walk.ctState & (CT_INVALID | CT_UNTRACKED)) != 0) return false;
  const value = load<u32>(match, PAYLOAD);
  const mask = load<u32>(match, PAYLOAD + 4);
  const differing = (walk.connectionMark & mask) ^ value;
  return isMark(match, rule, differing, walk.connectionMarkUnknown & mask) != invert;
}

/** > No connection, or none that was expected: only `!` matches. Which are, nobody reads. */
export function matchHelper(match: usize, rule: i32, invert: bool): bool {
  const none = (walk.ctState & (CT_INVALID | CT_UNTRACKED)) != 0;
  if (none || !isHelperGiven(walk.packet.number)) return invert;
  return ask(<u64>match, REASON_NOT_MODELLED, rule);
}

function addressesHold(match: usize): bool {
  const sides: u32 = load<u8>(match, PAYLOAD + 6);
  const inverted: u32 = load<u8>(match, PAYLOAD + 7);
  for (let side: u32 = 0; side < 4; side++) {
    if ((sides & (1 << side)) == 0) continue;
    const at = match + SIDES + <usize>side * CONNTRACK_SIDE_SIZE;
    const found = isMasked(connectionAddress(side), at, at + 16);
    if (found == ((inverted & (1 << side)) != 0)) return false;
  }
  return true;
}

function portsHold(match: usize, rule: i32): bool {
  walk.sportLookedAt = true;
  walk.dportLookedAt = true;
  const sides: u32 = load<u8>(match, PAYLOAD + 8);
  const inverted: u32 = load<u8>(match, PAYLOAD + 9);
  for (let side: u32 = 0; side < 4; side++) {
    if ((sides & (1 << side)) == 0) continue;
    const at = match + SIDES + <usize>side * CONNTRACK_SIDE_SIZE;
    const port = connectionPort(side);
    const first: u32 = load<u16>(at, 32);
    const last: u32 = load<u16>(at, 34);
    const found =
      side == 3 && isPortUnknown()
        ? unknownPortHolds(first, last, rule)
        : port >= first && port <= last;
    if (found == ((inverted & (1 << side)) != 0)) return false;
  }
  return true;
}

// The node chose the port itself, from a range.
function isPortUnknown(): bool {
  if (tracking.entry == ENTRY_NONE) return walk.sportUnknown;
  return (entryAt(tracking.entry).flags & ENTRY_PORT_UNKNOWN) != 0;
}

function unknownPortHolds(first: u32, last: u32, rule: i32): bool {
  const none = tracking.entry == ENTRY_NONE;
  const least = none ? walk.portFirst : tuplesOf(entryAt(tracking.entry)).portFirst;
  const most = none ? walk.portLast : tuplesOf(entryAt(tracking.entry)).portLast;
  if (least >= first && most <= last) return true;
  if (least > last || most < first) return false;
  return ask(QUESTION_CONNECTION | (1 << 33) | rule, REASON_NAT_PORT, rule);
}

const QUESTION_CONNECTION: u64 = 1 << 50;

function stateIsDoubted(): bool {
  return tracking.entry != ENTRY_NONE && (entryAt(tracking.entry).flags & ENTRY_STATE_DOUBTED) != 0;
}

function isDoubted(bits: u32): bool {
  return stateIsDoubted() && (bits & (STATUS_SEEN_REPLY | STATUS_ASSURED)) != 0;
}

function isPerhapsStream(): bool {
  return tracking.entry != ENTRY_NONE && isPerhapsAssured(entryAt(tracking.entry));
}

// Four words of a side: original source and destination, reply source and destination. A connection
// that is just being made has its packet's, and what nat has made of them.
function connectionAddress(side: u32): usize {
  if (tracking.entry == ENTRY_NONE) {
    if (side == 0) return changetype<usize>(walk) + offsetof<Walk>("firstSrc0");
    if (side == 1) return changetype<usize>(walk) + offsetof<Walk>("firstDst0");
    if (side == 2) return changetype<usize>(walk) + offsetof<Walk>("dst0");
    return changetype<usize>(walk) + offsetof<Walk>("newSrc0");
  }
  const tuples = changetype<usize>(tuplesOf(entryAt(tracking.entry)));
  if (side == 0) return tuples + offsetof<Tuples>("src0");
  if (side == 1) return tuples + offsetof<Tuples>("dst0");
  return tuples + (side == 2 ? offsetof<Tuples>("to0") : offsetof<Tuples>("from0"));
}

// > ICMP has its id in place of the source port, type and code in place of the destination's.
function connectionPort(side: u32): u32 {
  const protocol = connectionProtocol();
  if (protocol == 1 || protocol == 58) return connectionIcmp(side, protocol);
  if (tracking.entry == ENTRY_NONE) {
    if (!hasPorts(protocol)) return 0;
    if (side == 0) return walk.packet.sport;
    if (side == 1) return walk.packet.dport;
    return side == 2 ? walk.dport : walk.newSport;
  }
  const tuples = tuplesOf(entryAt(tracking.entry));
  if (side == 0) return tuples.sport;
  if (side == 1) return tuples.dport;
  return side == 2 ? tuples.toPort : tuples.fromPort;
}

function connectionIcmp(side: u32, protocol: u32): u32 {
  if (tracking.entry == ENTRY_NONE) {
    const kind = <u16>((walk.icmpType << 8) | walk.icmpCode);
    if (side == 0) return walk.packet.icmpId;
    if (side == 1) return kind;
    return side == 2 ? walk.newSport : inverseIcmp(protocol, kind);
  }
  const tuples = tuplesOf(entryAt(tracking.entry));
  if (side == 0) return tuples.sport;
  if (side == 1) return tuples.dport;
  return side == 2 ? tuples.fromPort : inverseIcmp(protocol, tuples.dport);
}

function connectionProtocol(): u32 {
  return tracking.entry == ENTRY_NONE ? walk.protocol : entryAt(tracking.entry).protocol;
}

// > A connection is confirmed once its first packet got through the last hook: one that the node sends to
// itself comes back with it.
function statusBits(): u32 {
  if (tracking.entry == ENTRY_NONE) return attempt.confirmed ? STATUS_CONFIRMED : 0;
  const flags = entryAt(tracking.entry).flags;
  let bits: u32 = STATUS_CONFIRMED;
  if ((flags & ENTRY_SEEN_REPLY) != 0) bits |= STATUS_SEEN_REPLY;
  if ((flags & ENTRY_ASSURED) != 0) bits |= STATUS_ASSURED;
  return bits;
}

let leastLeft: u32 = 0;
let mostLeft: u32 = 0;

// > Ticks that are left, in whole seconds. A packet that renews it leaves whole ones.
function lookAtSecondsLeft(): void {
  leastLeft = 0;
  if (tracking.entry == ENTRY_NONE) {
    leastLeft = attempt.confirmed ? firstTimeout() : 0;
    mostLeft = leastLeft;
    return;
  }
  let deadline = entryAt(tracking.entry).deadline;
  // > What ends a connection at once leaves its time as it was.
  const ended = deadline == 0;
  if (ended) deadline = tracking.deadlineBefore;
  const renewed = !ended && tracking.deadlineBefore != 0 && deadline != tracking.deadlineBefore;
  const slack: u64 = renewed ? 0 : TICK_SLACK;
  leastLeft = secondsUntil(deadline - min(slack, deadline));
  mostLeft = secondsUntil(latestOf(deadline) + slack);
}

function secondsUntil(time: u64): u32 {
  return time <= now() ? 0 : <u32>((time - now()) / SECOND);
}
