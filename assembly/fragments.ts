// The datagrams of which fragments have come and others are missing. A fragment waits here; the one that
// completes its datagram has it judged as a whole, and all get its verdict.
// Source: Linux, nf_defrag_ipv4.c, nf_defrag_ipv6_hooks.c; semantics.md F-1 and F-2.
import { zeros } from "./bytes";
import { now } from "./clock";
import {
  Datagram,
  PIECE_COMPLETES,
  PIECE_DISCARDS_ALL,
  PIECE_IS_DISCARDED,
  PIECE_STANDS_ALONE,
  placePiece,
} from "./datagram";
import { FRAGMENT_NONE, fragmentAt, keepFragment, letGo, packetOf } from "./fragment";
import { DATAGRAMS_MAX, FRAGMENT_REACH, MALFORMED_TRANSPORT, PACKET_SRC } from "./layout";
import { isCutFirst, piece, readPiece } from "./piece";
import { keepBytes, reassemble } from "./reassembly";
import { Packet } from "./records";
import { mix } from "./set";
import { Verdict } from "./verdict";

// What became of a fragment.
/** It waits. */
export const FRAGMENT_WAITS: u32 = 0;
/** It completed its datagram, which is `whole`. */
export const FRAGMENT_COMPLETES: u32 = 1;
/** It is discarded; others of its datagram wait on. */
export const FRAGMENT_IS_DISCARDED: u32 = 2;
/** Its datagram is discarded with all its fragments. */
export const FRAGMENT_DISCARDS_ALL: u32 = 3;
/** The kernel leaves it as it is, and discards what waited for it. */
export const FRAGMENT_STANDS_ALONE: u32 = 4;
/** The capture does not show its place. */
export const FRAGMENT_IS_UNREADABLE: u32 = 5;
/** As many wait as are followed. */
export const FRAGMENT_HAS_NO_ROOM: u32 = 6;

/** No datagram. */
export const DATAGRAM_NONE: u32 = 0xffffffff;

const SECOND: u64 = 1000000000;
// > ip_frag_time and ip6frag_time.
const LIFETIME_4: u64 = 30 * SECOND;
const LIFETIME_6: u64 = 60 * SECOND;
const NEVER: u64 = 0xffffffffffffffff;

const BUCKETS: u32 = 1024;
const RECORD_SIZE: usize = (offsetof<Datagram>() + 15) & ~15;

// Address of the buckets, u32 each: a datagram's number plus one.
let buckets: usize = 0;
let datagrams: usize = 0;
let made: u32 = 0;
let free: u32 = DATAGRAM_NONE;
let waiting: u32 = 0;
// Nothing is due before both.
let nextDeadline: u64 = NEVER;
let nextNumber: u64 = NEVER;

/** Prepares an empty table. */
export function setUpFragments(): void {
  buckets = zeros((<usize>BUCKETS) << 2);
}

/**
 * Puts a fragment to the others of its datagram.
 *
 * @param seen    SEEN_* of the packet: before and behind the hooks datagrams are put together apart
 * @param atInput the datagram is put together for the node itself, behind PREROUTING
 */
export function takeFragment(packet: Packet, verdict: Verdict, seen: u32, atInput: bool): u32 {
  if (!readPiece(packet)) return FRAGMENT_IS_UNREADABLE;
  current = DATAGRAM_NONE;
  if (isCutFirst(packet)) {
    packet.malformed = <u8>MALFORMED_TRANSPORT;
    return FRAGMENT_STANDS_ALONE;
  }
  const found = findOrMake(packet, seen, atInput);
  if (found == DATAGRAM_NONE) return FRAGMENT_HAS_NO_ROOM;
  const number = keepFragment(packet, verdict);
  if (number == FRAGMENT_NONE) return FRAGMENT_HAS_NO_ROOM;
  current = found;
  const datagram = datagramAt(found);
  const outcome = placePiece(datagram, packet, number);
  if (outcome == PIECE_IS_DISCARDED || outcome == PIECE_STANDS_ALONE) {
    letGo(number);
    return outcome == PIECE_IS_DISCARDED ? FRAGMENT_IS_DISCARDED : FRAGMENT_STANDS_ALONE;
  }
  append(datagram, number);
  if (outcome == PIECE_DISCARDS_ALL) return FRAGMENT_DISCARDS_ALL;
  keepBytes(datagram, packet);
  if (outcome != PIECE_COMPLETES) return FRAGMENT_WAITS;
  reassemble(datagram, packet);
  return FRAGMENT_COMPLETES;
}

let current: u32 = DATAGRAM_NONE;

/** The datagram of the last fragment taken; DATAGRAM_NONE where it belongs to none. */
export function currentDatagram(): u32 {
  return current;
}

/** Remembers the mark that the fragment under way came out of PREROUTING with. */
export function keepMark(mark: u32, unknown: u32): void {
  if (piece.offset != 0 || current == DATAGRAM_NONE) return;
  const datagram = datagramAt(current);
  datagram.mark = mark;
  datagram.markUnknown = unknown;
}

/** That mark of the datagram under way, and the bits of it that are not known. */
export function deliveredMark(): u32 {
  return datagramAt(current).mark;
}

export function deliveredMarkUnknown(): u32 {
  return datagramAt(current).markUnknown;
}

/** Bytes of the longest fragment of the datagram under way, IP headers included. */
export function longestFragment(): u32 {
  let longest: u32 = 0;
  let number = firstFragment(current);
  while (number != FRAGMENT_NONE) {
    const length = packetOf(number).ipLength;
    if (length > longest) longest = length;
    number = fragmentAt(number).next;
  }
  return longest;
}

/** The fragment of the datagram under way that begins at this byte, which `piece` is; FRAGMENT_NONE: no more. */
export function nextPiece(offset: u32): u32 {
  let number = firstFragment(current);
  while (number != FRAGMENT_NONE) {
    // Of several the first one counted.
    if (readPiece(packetOf(number)) && piece.offset == offset) return number;
    number = fragmentAt(number).next;
  }
  return FRAGMENT_NONE;
}

/** A datagram that waits no longer; DATAGRAM_NONE: there is none. */
export function dueDatagram(packetNumber: u64): u32 {
  if (now() < nextDeadline && packetNumber < nextNumber) return DATAGRAM_NONE;
  nextDeadline = NEVER;
  nextNumber = NEVER;
  for (let number: u32 = 0; number < made; number++) {
    const datagram = datagramAt(number);
    if (!datagram.used) continue;
    if (datagram.deadline <= now() || datagram.lastNumber <= packetNumber) {
      // There may be more of them.
      nextDeadline = 0;
      return number;
    }
    if (datagram.deadline < nextDeadline) nextDeadline = datagram.deadline;
    if (datagram.lastNumber < nextNumber) nextNumber = datagram.lastNumber;
  }
  return DATAGRAM_NONE;
}

/** Some datagram waits. */
export function anyFragments(): bool {
  return waiting > 0;
}

/** Any datagram that waits; DATAGRAM_NONE: there is none. */
export function anyDatagram(): u32 {
  for (let number: u32 = 0; waiting > 0 && number < made; number++) {
    if (datagramAt(number).used) return number;
  }
  return DATAGRAM_NONE;
}

/** Whether the kernel has given it up, or only its verdict could not be waited for. */
export function isTimedOut(number: u32): bool {
  return datagramAt(number).deadline <= now();
}

/** First of its fragments; the others follow by `next`. */
export function firstFragment(number: u32): u32 {
  return datagramAt(number).fragments;
}

/** Forgets a datagram and lets its fragments go, whose verdicts stand. */
export function removeDatagram(number: u32): void {
  const datagram = datagramAt(number);
  let fragment = datagram.fragments;
  while (fragment != FRAGMENT_NONE) {
    const next = fragmentAt(fragment).next;
    letGo(fragment);
    fragment = next;
  }
  unlink(number);
  datagram.used = false;
  datagram.next = free;
  free = number;
  waiting--;
}

export function datagramAt(number: u32): Datagram {
  return changetype<Datagram>(datagrams + <usize>number * RECORD_SIZE);
}

function findOrMake(packet: Packet, seen: u32, atInput: bool): u32 {
  const ends = changetype<usize>(packet) + PACKET_SRC;
  let number = load<u32>(bucketOf(ends, packet.ipId));
  while (number != 0) {
    const datagram = datagramAt(number - 1);
    if (isOf(datagram, packet, seen, atInput)) return number - 1;
    number = datagram.next;
  }
  return make(packet, seen, atInput);
}

// > IPv6 reassembly does not look at the protocol.
function isOf(datagram: Datagram, packet: Packet, seen: u32, atInput: bool): bool {
  return (
    datagram.ipId == packet.ipId &&
    datagram.family == packet.family &&
    (packet.family == 6 || datagram.protocol == packet.protocol) &&
    <u32>datagram.seen == seen &&
    datagram.atInput == atInput &&
    memory.compare(changetype<usize>(datagram), changetype<usize>(packet) + PACKET_SRC, 32) == 0
  );
}

function make(packet: Packet, seen: u32, atInput: bool): u32 {
  let number = free;
  if (number != DATAGRAM_NONE) free = datagramAt(number).next;
  else {
    if (made == DATAGRAMS_MAX) return DATAGRAM_NONE;
    if (datagrams == 0) {
      datagrams = zeros(<usize>DATAGRAMS_MAX * RECORD_SIZE);
    }
    number = made;
    made++;
  }
  const datagram = datagramAt(number);
  const room = datagram.room;
  memory.fill(changetype<usize>(datagram), 0, offsetof<Datagram>());
  memory.copy(changetype<usize>(datagram), changetype<usize>(packet) + PACKET_SRC, 32);
  datagram.room = room;
  datagram.used = true;
  datagram.ipId = packet.ipId;
  datagram.family = packet.family;
  datagram.protocol = packet.protocol;
  datagram.seen = <u8>seen;
  datagram.atInput = atInput;
  datagram.deadline = now() + (packet.family == 6 ? LIFETIME_6 : LIFETIME_4);
  datagram.lastNumber = packet.number + FRAGMENT_REACH;
  datagram.fragments = FRAGMENT_NONE;
  datagram.lastFragment = FRAGMENT_NONE;
  datagram.runs = FRAGMENT_NONE;
  datagram.lastRun = FRAGMENT_NONE;
  datagram.captured = 0xffffffff;
  if (datagram.deadline < nextDeadline) nextDeadline = datagram.deadline;
  if (datagram.lastNumber < nextNumber) nextNumber = datagram.lastNumber;
  const bucket = bucketOf(changetype<usize>(datagram), datagram.ipId);
  datagram.next = load<u32>(bucket);
  store<u32>(bucket, number + 1);
  waiting++;
  return number;
}

function append(datagram: Datagram, number: u32): void {
  if (datagram.fragments == FRAGMENT_NONE) datagram.fragments = number;
  else fragmentAt(datagram.lastFragment).next = number;
  datagram.lastFragment = number;
}

function unlink(number: u32): void {
  const datagram = datagramAt(number);
  let link = bucketOf(changetype<usize>(datagram), datagram.ipId);
  while (load<u32>(link) != number + 1) {
    link = changetype<usize>(datagramAt(load<u32>(link) - 1)) + offsetof<Datagram>("next");
  }
  store<u32>(link, datagram.next);
}

// By both addresses, which lie one behind the other.
function bucketOf(ends: usize, ipId: u32): usize {
  let hash = mix(ipId, load<u32>(ends) ^ load<u32>(ends, 12));
  hash = mix(hash, load<u32>(ends, 16) ^ load<u32>(ends, 28));
  return buckets + ((<usize>(hash % BUCKETS)) << 2);
}
