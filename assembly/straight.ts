// The straight way of a plain frame, which needs no record: its connection moves on by what the frame tells, and what
// was said of an earlier packet is said again. It is the short way (repeat.ts) where that is shortest; at anything
// unusual nothing has changed but the clock, and the packet goes one of the other ways.
import { isOthers } from "./ahead";
import { SEEN_ARRIVING, whereSeen } from "./arrival";
import { advanceClock, refresh } from "./entry-life";
import { isHelperGiven } from "./expectation";
import {
  Entry,
  ENTRY_SEEN_REPLY,
  entryAt,
  findPlain,
  heardOf,
  nodeEntry,
  nodeKind,
} from "./flow-table";
import { countRow } from "./flow-rows";
import { anyFragments } from "./fragments";
import { Gathered } from "./gathered";
import { whereOf } from "./heard";
import { captureInterfaceNumber } from "./interface";
import { countPlain } from "./judge";
import { isMannerValid, mannerOf } from "./manner";
import { hasMac } from "./node-interface";
import { verdictOfOutcome } from "./outcome";
import {
  destinationOf,
  ETHERNET,
  IP_SIZE,
  isPlainFrame,
  lengthOf,
  portsOf,
  protocolOf,
  sourceOf,
  TCP_SIZE,
  tcpAckOf,
  tcpFlagsOf,
  tcpHeaderOf,
  tcpSeqOf,
  tcpWindowOf,
  ttlOf,
} from "./plain-frame";
import { PROTOCOL_TCP } from "./protocol";
import { Packet } from "./records";
import { countRepeat, lookedAt, mayRepeat } from "./repeat";
import { isRealNode } from "./route";
import { logRow } from "./row-log";
import { Saying } from "./saying";
import { isShared } from "./share";
import { isNewSight, rememberFrame, severalSights } from "./sights";
import { moveEstablished } from "./tcp-track";
import { DIRECTION_REPLY } from "./tracking";

/** Decides a frame of which `isPortedFrame`; false: it goes another way. */
export function goStraight(one: Gathered, number: u64): bool {
  const frame: usize = one.frame;
  if (!mayRepeat() || anyFragments() || isNewSight(one.captureInterface)) return false;
  if (!isPlainFrame(frame, one.captured, one.original) || ttlOf(frame) <= 1) return false;
  if (isHelperGiven(number) || (isShared() && isOthers(frame))) return false;
  const seen = seenLike(one);
  if (!isMannerValid(seen.manner) || !isSeenOnce(seen)) return false;
  advanceClock(one.time);
  const found = findPlain(
    one.hash,
    sourceOf(frame),
    destinationOf(frame),
    portsOf(frame),
    protocolOf(frame),
  );
  if (found == 0) return false;
  const node: i64 = found - 1;
  const entry = entryAt(nodeEntry(node));
  // Both kinds that are found are as their directions.
  const direction = nodeKind(node);
  const heard = heardOf(entry, direction);
  if (heard.where != whereOf(seen.manner, direction)) return false;
  const answers = direction == DIRECTION_REPLY;
  const flags = answers ? entry.flags | ENTRY_SEEN_REPLY : entry.flags;
  const said: usize = (flags & ENTRY_SEEN_REPLY) != 0 ? heard.behind : heard.before;
  if (said == 0) return false;
  const saying = changetype<Saying>(said);
  if (saying.flags != lookedAt(flags) || saying.mark != entry.mark) return false;
  if ((entry.markDoubted | entry.stateDoubted) != 0 || !moveOn(entry, one, direction, saying)) {
    return false;
  }
  if (answers) entry.flags |= ENTRY_SEEN_REPLY;
  countRepeat(saying, lengthOf(frame));
  rememberFrame(one, number, verdictOfOutcome(saying.outcome), nodeEntry(node));
  countPlain(one.original, one.captured < one.original, saying.verdict, saying.verdictFlags);
  countRow(heard.row, one.original);
  logRow(number, heard.row);
  return true;
}

function moveOn(entry: Entry, one: Gathered, direction: u32, saying: Saying): bool {
  if (entry.protocol != <u8>PROTOCOL_TCP) {
    refresh(entry);
    return true;
  }
  const frame: usize = one.frame;
  const flags = tcpFlagsOf(frame);
  if ((flags & saying.tcpFlagsLookedAt) != saying.tcpFlags) return false;
  const payload = lengthOf(frame) - IP_SIZE - TCP_SIZE;
  if (tcpHeaderOf(frame) != TCP_SIZE || one.captured < ETHERNET + IP_SIZE + TCP_SIZE) return false;
  const seq = tcpSeqOf(frame);
  const ack = tcpAckOf(frame);
  return moveEstablished(entry, direction, flags, seq, ack, seq + payload, tcpWindowOf(frame));
}

// ── Where frames are seen ──────────────────────────────────────────────────────────────────────────────
// Of frames between the same interfaces, by one protocol, all that tells their manners is the same, where it does
// not hang on addresses.

@unmanaged
class SeenLike {
  /** The frame's MAC addresses; of a cluster nothing. */
  macs0: u64;
  macs1: u32;
  /** Protocol << 16 | the capture's interface. */
  rest: u32;
  /** 0: nothing is known. */
  manner: u32;
  /** One of SEEN_*. */
  seen: u32;
}

const KEPT: u32 = 256;
const kept: usize = memory.data(256 * 24, 8);

if (offsetof<SeenLike>() != 24) ERROR("SeenLike records have 24 bytes");

const wanted: SeenLike = changetype<SeenLike>(memory.data(24, 8));
const nothing: SeenLike = changetype<SeenLike>(memory.data(24, 8));

/** Forgets where frames are seen: interfaces may have got other names. */
export function forgetWhereSeen(): void {
  memory.fill(kept, 0, KEPT * offsetof<SeenLike>());
}

/** Keeps where a frame was seen, whose record is filled. */
export function keepWhereSeen(one: Gathered, packet: Packet): void {
  const number = captureInterfaceNumber(one.captureInterface);
  if (isRealNode() && number != 0 && !hasMac(number)) return;
  const place = placeOf(one);
  const seen = whereSeen(packet);
  const manner = mannerOf(packet, seen);
  place.macs0 = wanted.macs0;
  place.macs1 = wanted.macs1;
  place.rest = wanted.rest;
  place.manner = manner;
  place.seen = seen;
}

function seenLike(one: Gathered): SeenLike {
  const place = placeOf(one);
  const same =
    place.macs0 == wanted.macs0 && place.macs1 == wanted.macs1 && place.rest == wanted.rest;
  return same ? place : nothing;
}

// The only place for a frame; what it is looked up by is in `wanted`.
function placeOf(one: Gathered): SeenLike {
  const frame: usize = one.frame;
  wanted.rest = ((<u32>protocolOf(frame)) << 16) | (<u32>one.captureInterface);
  if (isRealNode()) {
    wanted.macs0 = load<u64>(frame);
    wanted.macs1 = load<u32>(frame, 8);
  }
  const mixed = (wanted.macs0 ^ ((<u64>wanted.macs1) << 20) ^ wanted.rest) * 0x9e3779b97f4a7c15;
  return changetype<SeenLike>(kept + <usize>(<u32>(mixed >> 56)) * offsetof<SeenLike>());
}

// As in repeat.ts.
function isSeenOnce(seen: SeenLike): bool {
  return !severalSights() || (isRealNode() && seen.seen == SEEN_ARRIVING);
}
