// The straight way of a plain frame, which needs no record: its connection moves on by what the frame tells, or it begins
// none, as before, and what was said of an earlier packet is said again. It is the short way (repeat.ts) where that is shortest; at anything
// unusual nothing has changed but the clock, and the packet goes one of the other ways.
import { isOthers } from "./ahead";
import { SEEN_ARRIVING, whereSeen } from "./arrival";
import { now, passTime, refresh } from "./entry-life";
import { isHelperGiven } from "./expectation";
import { DIRECTION_NEITHER, Entry, ENTRY_SEEN_REPLY, heardOf } from "./flow-table";
import { countRow, lagRows } from "./flow-rows";
import { anyFragments } from "./fragments";
import { Gathered } from "./gathered";
import { countHeard, whereOf } from "./heard";
import { isUnknown } from "./half-known";
import { captureInterfaceNumber } from "./interface";
import { countPlain } from "./judge";
import { isMannerValid, mannerOf } from "./manner";
import { findPlainMemo } from "./memo";
import { hasMac } from "./node-interface";
import { ETHERNET, IP_SIZE, lengthOf, protocolOf, TCP_SIZE, tcpOf, ttlOf } from "./plain-frame";
import { PROTOCOL_TCP } from "./protocol";
import { Packet } from "./records";
import { countRepeat, lookedAt, mayRepeat } from "./repeat";
import { isRealNode } from "./route";
import { logRow } from "./row-log";
import { Saying } from "./saying";
import { isShared } from "./share";
import { rememberLater, severalSights } from "./sights";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG } from "./tcp";
import { moveEstablished } from "./tcp-track";
import { DIRECTION_ORIGINAL, DIRECTION_REPLY } from "./tracking";

// Of these flags a packet has SYN alone, or another way is taken.
const TCP_BEGINNING: u32 = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG;

// Frames may go the straight way at all.
let isOpen: bool = false;

/** Looks whether frames may go the straight way: before the first, and behind each that went another. */
export function startStraight(number: u64): void {
  lagRows();
  isOpen = mayRepeat() && !anyFragments() && !isHelperGiven(number);
}

/** Decides a plain frame, whose node is found if it has one; false: it goes another way. */
export function goStraight(one: Gathered, number: u64): bool {
  const frame: usize = one.frame;
  if (!isOpen || ttlOf(frame) <= 1) return false;
  if (isShared() && isOthers(frame)) return false;
  const seen = seenLike(one);
  if (!isMannerValid(seen.manner) || !isSeenOnce(seen)) return false;
  // The frame by which it is known how others are seen has started the clock.
  passTime(one.time);
  return one.node != 0 ? goOn(one, number, seen.manner) : comeAgain(one, number, seen.manner);
}

// The frame's connection moves on.
function goOn(one: Gathered, number: u64, manner: u32): bool {
  const entry = changetype<Entry>(one.entry);
  const direction = one.direction;
  if (direction == DIRECTION_NEITHER || entry.deadline <= now()) return false;
  const heard = heardOf(entry, direction);
  if (heard.where != whereOf(manner, direction)) return false;
  const answered = select<u16>(ENTRY_SEEN_REPLY, 0, direction == DIRECTION_REPLY);
  const said: usize = heard.saying;
  if (said == 0) return false;
  const saying = changetype<Saying>(said);
  if (saying.flags != lookedAt(entry.flags | answered) || saying.mark != entry.mark) return false;
  if ((entry.markDoubted | entry.stateDoubted) != 0 || !moveOn(entry, one, direction, saying)) {
    return false;
  }
  entry.flags |= answered;
  say(one, number, saying);
  countHeard(heard, one.original);
  logRow(number, heard.row);
  return true;
}

// The frame would begin a connection as one before it, of which none came: it is certain that there is none now.
function comeAgain(one: Gathered, number: u64, manner: u32): bool {
  if (!isUnknown(one.hash)) return false;
  const memo = findPlainMemo(one.hash, one.ends, one.ports, manner);
  if (memo == null || memo.tracked == 0 || memo.where != whereOf(manner, DIRECTION_ORIGINAL)) {
    return false;
  }
  const said: usize = memo.sayingFirst;
  if (said == 0) return false;
  const saying = changetype<Saying>(said);
  if (protocolOf(one.frame) == PROTOCOL_TCP) {
    const flags = flagsOf(tcpOf(one.frame));
    if ((flags & TCP_BEGINNING) != TCP_SYN || !isSaidOf(saying, flags)) return false;
  }
  say(one, number, saying);
  countRow(memo.row, one.original);
  logRow(number, memo.row);
  return true;
}

function say(one: Gathered, number: u64, saying: Saying): void {
  countRepeat(saying, lengthOf(one.frame));
  one.number = number;
  one.saying = <u32>changetype<usize>(saying);
  rememberLater();
  countPlain(one.original, one.captured < one.original, saying.verdict, saying.verdictFlags);
}

function moveOn(entry: Entry, one: Gathered, direction: u32, saying: Saying): bool {
  if (entry.protocol != <u8>PROTOCOL_TCP) {
    refresh(entry);
    return true;
  }
  const frame: usize = one.frame;
  if (one.captured < ETHERNET + IP_SIZE + TCP_SIZE) return false;
  const header = tcpOf(frame);
  const seq = i32x4.extract_lane(header, 0);
  const ack = i32x4.extract_lane(header, 1);
  const rest: u32 = i32x4.extract_lane(header, 2);
  const flags = flagsOf(header);
  if (!isSaidOf(saying, flags)) return false;
  if ((rest >> 28) << 2 != TCP_SIZE) return false;
  const payload = lengthOf(frame) - IP_SIZE - TCP_SIZE;
  return moveEstablished(entry, direction, flags, seq, ack, seq + payload, rest & 0xffff);
}

function flagsOf(header: v128): u32 {
  return ((<u32>i32x4.extract_lane(header, 2)) >> 16) & 0xff;
}

// It was said of packets with such flags.
function isSaidOf(saying: Saying, flags: u32): bool {
  return (flags & saying.tcpFlagsLookedAt) == saying.tcpFlags;
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

const nothing: SeenLike = changetype<SeenLike>(memory.data(24, 8));

/** Forgets where frames are seen: interfaces may have got other names. */
export function forgetWhereSeen(): void {
  memory.fill(kept, 0, KEPT * offsetof<SeenLike>());
}

/** Keeps where a frame was seen, whose record is filled. */
export function keepWhereSeen(one: Gathered, packet: Packet): void {
  const number = captureInterfaceNumber(one.captureInterface);
  if (isRealNode() && number != 0 && !hasMac(number)) return;
  const rest = restOf(one);
  const macs0 = firstMacs(one);
  const macs1 = lastMacs(one);
  const place = placeOf(macs0, macs1, rest);
  if (isAlike(place, macs0, macs1, rest) && isMannerValid(place.manner)) return;
  const seen = whereSeen(packet);
  const manner = mannerOf(packet, seen);
  place.macs0 = macs0;
  place.macs1 = macs1;
  place.rest = rest;
  place.manner = manner;
  place.seen = seen;
}

function seenLike(one: Gathered): SeenLike {
  const rest = restOf(one);
  const macs0 = firstMacs(one);
  const macs1 = lastMacs(one);
  const place = placeOf(macs0, macs1, rest);
  return isAlike(place, macs0, macs1, rest) ? place : nothing;
}

function isAlike(place: SeenLike, macs0: u64, macs1: u32, rest: u32): bool {
  return ((place.macs0 ^ macs0) | (place.macs1 ^ macs1) | (place.rest ^ rest)) == 0;
}

function restOf(one: Gathered): u32 {
  return ((<u32>protocolOf(one.frame)) << 16) | (<u32>one.captureInterface);
}

function firstMacs(one: Gathered): u64 {
  return isRealNode() ? load<u64>(one.frame) : 0;
}

function lastMacs(one: Gathered): u32 {
  return isRealNode() ? load<u32>(one.frame, 8) : 0;
}

// The only place for such a frame.
function placeOf(macs0: u64, macs1: u32, rest: u32): SeenLike {
  const mixed = (macs0 ^ ((<u64>macs1) << 20) ^ rest) * 0x9e3779b97f4a7c15;
  return changetype<SeenLike>(kept + <usize>(<u32>(mixed >> 56)) * offsetof<SeenLike>());
}

// As in repeat.ts.
function isSeenOnce(seen: SeenLike): bool {
  return !severalSights() || (isRealNode() && seen.seen == SEEN_ARRIVING);
}
