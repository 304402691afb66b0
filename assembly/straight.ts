// The straight way of a plain frame, which needs no record: its connection moves on by what the frame tells, or it begins
// none, as before, and what was said of an earlier packet is said again. It is the short way (repeat.ts) where that is shortest; at anything
// unusual nothing has changed but the clock, and the packet goes one of the other ways.
import { isOthers } from "./ahead";
import { whereSeen } from "./arrival";
import { passTime } from "./clock";
import { isAlive } from "./deadline";
import { Entry, ENTRY_SEEN_REPLY } from "./entry";
import { refresh } from "./entry-life";
import { DIRECTION_NEITHER } from "./entry-tuples";
import { isHelperGiven } from "./expectation";
import { lagRows } from "./flow-rows";
import { anyFragments } from "./fragments";
import { Gathered } from "./gathered";
import { isUnknown } from "./half-known";
import { countHeard, rowHeard, saidOf, whereOf } from "./heard";
import { TTL_ENOUGH } from "./hops-left";
import { captureInterfaceNumber } from "./interface";
import { countPackets, countWord } from "./judge";
import { isMannerValid, mannerOf } from "./manner";
import { findPlainMemo } from "./memo";
import { hasMac } from "./node-interface";
import { ETHERNET, IP_SIZE, lengthOf, protocolOf, TCP_SIZE, tcpOf, ttlOf } from "./plain-frame";
import { PROTOCOL_TCP } from "./protocol";
import { Packet } from "./records";
import { countRepeats, lookedAt, mayRepeat } from "./repeat";
import { isRealNode } from "./route";
import { countRow } from "./row";
import { isRowLogged, logRow } from "./row-log";
import { Saying } from "./saying";
import { isShared } from "./share";
import { isSeenOnce, rememberLater, severalSights } from "./sights";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG } from "./tcp";
import { moveEstablished } from "./tcp-track";
import { DIRECTION_ORIGINAL, DIRECTION_REPLY } from "./tracking";
import { markOf } from "./tuples";

// Of these flags a packet has SYN alone, or another way is taken.
const TCP_BEGINNING: u32 = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG;

// Frames may go the straight way at all.
let isOpen: bool = false;

/** Looks whether frames may go the straight way: before the first, and behind each that went another. */
export function startStraight(number: u64): void {
  lagRows();
  if (severalSights() != several) forgetWhereSeen();
  isOpen = mayRepeat() && !anyFragments() && !isHelperGiven(number);
}

/** Decides a plain frame, whose node is found if it has one; false: it goes another way. */
export function goStraight(one: Gathered, number: u64): bool {
  const frame: usize = one.frame;
  if (!isOpen || ttlOf(frame) <= <u8>TTL_ENOUGH) return false;
  if (isShared() && isOthers(frame)) return false;
  const manner = mannerLike(one);
  if (!isMannerValid(manner)) return false;
  // The frame by which it is known how others are seen has started the clock.
  passTime(one.time);
  return one.node != 0 ? goOn(one, number, manner) : comeAgain(one, number, manner);
}

let straight: u64 = 0;

/** How many frames have gone the straight way. */
export function straightCount(): u64 {
  return straight;
}

/** Counts frames that have gone the straight way since the last that were counted, all that was gathered last. */
export function countStraight(frames: u32, bytes: u64, truncated: u32): void {
  straight += frames;
  countRepeats(frames);
  countPackets(frames, bytes, truncated);
  rememberLater(frames);
}

// The frame's connection moves on.
function goOn(one: Gathered, number: u64, manner: u32): bool {
  const entry = changetype<Entry>(one.known);
  const direction = one.direction;
  if (direction == DIRECTION_NEITHER || !isAlive(entry)) return false;
  const said = saidOf(entry, direction);
  if (said == 0) return false;
  const saying = changetype<Saying>(said);
  if (saying.where != whereOf(manner, direction)) return false;
  if (lengthOf(one.frame) > saying.longest) return false;
  const answered = select<u16>(ENTRY_SEEN_REPLY, 0, direction == DIRECTION_REPLY);
  if (saying.flags != lookedAt(entry.flags | answered) || saying.mark != markOf(entry))
    return false;
  if (!moveOn(entry, one, direction, saying)) return false;
  entry.flags |= answered;
  say(one, number, saying);
  countHeard(entry, direction, one.original);
  if (isRowLogged()) logRow(number, rowHeard(entry, direction));
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
  if (lengthOf(one.frame) > saying.longest) return false;
  if (protocolOf(one.frame) == PROTOCOL_TCP) {
    const flags = flagsOf(tcpOf(one.frame));
    if ((flags & TCP_BEGINNING) != TCP_SYN || !isSaidOf(saying, flags)) return false;
  }
  say(one, number, saying);
  countRow(memo.row, one.original);
  if (isRowLogged()) logRow(number, memo.row);
  return true;
}

function say(one: Gathered, number: u64, saying: Saying): void {
  saying.count(lengthOf(one.frame));
  one.number = number;
  one.saying = <u32>changetype<usize>(saying);
  countWord(saying.verdict, saying.verdictFlags);
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
  /** The frame's MAC addresses, as far as they fit; of a cluster nothing. */
  macs: u64;
  /** The rest of them; protocol << 32, the capture's interface << 40. */
  rest: u64;
  /** 0: nothing is known. */
  manner: u32;
  unused: u32;
}

const KEPT: u32 = 256;
const kept: usize = memory.data(256 * 24, 8);

if (offsetof<SeenLike>() != 24) ERROR("SeenLike records have 24 bytes");

// Frames may be seen twice: it hangs on where they are whether one goes the straight way.
let several: bool = false;

/** Forgets where frames are seen: interfaces may have got other names. */
export function forgetWhereSeen(): void {
  memory.fill(kept, 0, KEPT * offsetof<SeenLike>());
  several = severalSights();
}

/** Keeps where a frame was seen, whose record is filled. */
export function keepWhereSeen(one: Gathered, packet: Packet): void {
  const number = captureInterfaceNumber(one.captureInterface);
  if (isRealNode() && number != 0 && !hasMac(number)) return;
  const macs = macsOf(one);
  const rest = restOf(one);
  const place = placeOf(macs, rest);
  if (isAlike(place, macs, rest) && isMannerValid(place.manner)) return;
  const seen = whereSeen(packet);
  place.macs = macs;
  place.rest = rest;
  const once = isSeenOnce(one.captureInterface, false, seen);
  place.manner = once ? mannerOf(packet, seen) : 0;
}

// Number of the frame's manner; 0: it is not known.
function mannerLike(one: Gathered): u32 {
  const macs = macsOf(one);
  const rest = restOf(one);
  const place = placeOf(macs, rest);
  return select<u32>(place.manner, 0, isAlike(place, macs, rest));
}

function isAlike(place: SeenLike, macs: u64, rest: u64): bool {
  return ((place.macs ^ macs) | (place.rest ^ rest)) == 0;
}

function macsOf(one: Gathered): u64 {
  return select<u64>(load<u64>(one.frame), 0, isRealNode());
}

function restOf(one: Gathered): u64 {
  const macs = select<u32>(load<u32>(one.frame, 8), 0, isRealNode());
  const seen = (<u32>protocolOf(one.frame)) | ((<u32>one.captureInterface) << 8);
  return (<u64>macs) | ((<u64>seen) << 32);
}

// The only place for such a frame.
function placeOf(macs: u64, rest: u64): SeenLike {
  const mixed = (macs ^ rotl<u64>(rest, 20)) * 0x9e3779b97f4a7c15;
  return changetype<SeenLike>(kept + <usize>(mixed >> 56) * offsetof<SeenLike>());
}
