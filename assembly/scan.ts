// Walks the records of a capture where they lie, and decides each packet without a record of its own in a
// batch. Only plain records are walked: at anything odd the scan ends in front of it, and the reader in
// TypeScript says what it is.
// Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
import {
  FRAME_MAX,
  PACKET_FRAGMENT,
  PACKET_HAS_TIME,
  SCAN_SOURCE_LINK_TYPE,
  PACKET_SIZE,
  SCAN_SOURCE_SIZE,
  VERDICT_SIZE,
} from "./layout";
import {
  findConnectionAgain,
  hashFrame,
  isOthers,
  isPlain,
  touchConnection,
  touchSaid,
} from "./ahead";
import { clearBytes } from "./bytes";
import { decodePlain } from "./decode-plain";
import { advanceClock, clockRuns } from "./entry-life";
import { anyFragments } from "./fragments";
import { Gathered, gatheredAt } from "./gathered";
import { Packet } from "./records";
import { replayDecoded, replayPacket, startReplay } from "./replay";
import { isShared } from "./share";
import { isNewSight, settleFrames } from "./sights";
import { forgetWhereSeen, goStraight, keepWhereSeen, startStraight } from "./straight";
import { Verdict } from "./verdict";

const packet: Packet = changetype<Packet>(memory.data(PACKET_SIZE, 16));
const verdict: Verdict = changetype<Verdict>(memory.data(VERDICT_SIZE, 16));

// Packets may be so many nanoseconds out of order without a word.
const DISORDER: u64 = 1000000000;

let count: u32 = 0;
let cut: bool = false;
let number: u64 = 0;
let latest: u64 = 0;

/** How many packets the last scan decided. */
export function scannedCount(): u32 {
  return count;
}

/** The last scan ended because the next record is not all there. */
export function scanWasCut(): bool {
  return cut;
}

/** Says when the last packet of a text was. */
export function setScannedTime(time: u64): void {
  latest = time;
}

/** The latest time of a packet so far, nanoseconds; of a text, that of the last one. */
export function scannedLatest(): u64 {
  return latest;
}

// What is the same for all records of one scan.
let most: u32 = 0;
let bigEndian: bool = false;

/**
 * Begins a scan: how many packets were decided before, the latest time among them, how many may follow, and
 * the byte order of the records.
 */
export function startScan(before: u64, time: u64, packetsMax: u32, big: bool): void {
  number = before;
  latest = time;
  most = packetsMax;
  bigEndian = big;
  count = 0;
  cut = false;
  startReplay(0);
  forgetWhereSeen();
}

// Record of a pcap file.
const RECORD_FRACTION: usize = 4;
const RECORD_CAPTURED: usize = 8;
const RECORD_ORIGINAL: usize = 12;

/**
 * Decides packets of a pcap file.
 *
 * @param at         address of the first record
 * @param end        behind the last byte that is there
 * @param header     size of a record's header
 * @param unit       nanoseconds in one unit of a timestamp's fraction
 * @param snapLength longest frame that the file says it has
 * @returns address behind the last packet that was decided
 */
export function scanPcap(
  at: usize,
  end: usize,
  header: u32,
  unit: u32,
  snapLength: u32,
  linkType: u32,
  captureInterface: u32,
): usize {
  // What is in a global is loaded anew for each field.
  const big = bigEndian;
  do {
    while (mayGather()) {
      if (end - at < header) {
        cut = true;
        break;
      }
      const captured = word(big, at + RECORD_CAPTURED);
      const original = word(big, at + RECORD_ORIGINAL);
      if (captured > original || captured > snapLength || captured > <u32>FRAME_MAX) break;
      const fraction = <u64>word(big, at + RECORD_FRACTION) * unit;
      const time = <u64>word(big, at) * DISORDER + fraction;
      if (fraction >= DISORDER) break;
      const frame = at + header;
      if (captured > <u32>(end - frame)) {
        cut = true;
        break;
      }
      if (isDisordered(time)) break;
      gather(frame, captured, original, time, linkType, captureInterface);
      at = frame + captured;
    }
  } while (decideGathered());
  return at;
}

const ENHANCED_PACKET: u32 = 6;
const BLOCK_LENGTH: usize = 4;
const BLOCK_SOURCE: usize = 8;
const BLOCK_TIME: usize = 12;
const BLOCK_CAPTURED: usize = 20;
const BLOCK_ORIGINAL: usize = 24;
const BLOCK_FRAME: usize = 28;
/** Without frame and options. */
const BLOCK_SIZE: u32 = 32;

/** The interfaces of a pcapng section, one after the other. */
@unmanaged
class Source {
  /** Nanoseconds in one of its ticks; 0: its clock is unusual. */
  scale: u32;
  linkType: u32;
}

if (offsetof<Source>("linkType") != SCAN_SOURCE_LINK_TYPE) ERROR("SCAN_SOURCE_LINK_TYPE");
if (offsetof<Source>() != SCAN_SOURCE_SIZE) ERROR("SCAN_SOURCE_SIZE");

/**
 * Decides packets of a pcapng section: Enhanced Packet Blocks without options.
 *
 * @param sources its interfaces, `sourceCount` of them
 * @param first   the number that interface 0 has over the whole capture
 * @returns address behind the last packet that was decided
 */
export function scanPcapng(
  at: usize,
  end: usize,
  sources: usize,
  sourceCount: u32,
  first: u32,
): usize {
  // What is in a global is loaded anew for each field.
  const big = bigEndian;
  do {
    while (mayGather()) {
      if (end - at < BLOCK_SIZE) {
        cut = true;
        break;
      }
      if (word(big, at) != ENHANCED_PACKET) break;
      const captured = word(big, at + BLOCK_CAPTURED);
      const original = word(big, at + BLOCK_ORIGINAL);
      if (captured > original || captured > <u32>FRAME_MAX) break;
      const total = BLOCK_SIZE + ((captured + 3) & ~3);
      if (word(big, at + BLOCK_LENGTH) != total) break;
      if (total > <u32>(end - at)) {
        cut = true;
        break;
      }
      const index = word(big, at + BLOCK_SOURCE);
      if (word(big, at + total - 4) != total || index >= sourceCount) break;
      const source = changetype<Source>(sources + <usize>index * SCAN_SOURCE_SIZE);
      const ticks = ((<u64>word(big, at + BLOCK_TIME)) << 32) | word(big, at + BLOCK_TIME + 4);
      if (source.scale == 0 || ticks > u64.MAX_VALUE / source.scale) break;
      const time = ticks * source.scale;
      if (isDisordered(time)) break;
      gather(at + BLOCK_FRAME, captured, original, time, source.linkType, first + index);
      at += total;
    }
  } while (decideGathered());
  return at;
}

// Memory is slow: packets are decided a few at a time, and what they will need is fetched before.
const GATHERED_MAX: u32 = 32;

// The first of those that wait, and how many they are.
let first: u32 = 0;
let gathered: u32 = 0;
// Not all that are gathered are plain: one may be a fragment.
let mixed: bool = false;
let passed: u32 = 0;
let passedTime: u64 = 0;

function mayGather(): bool {
  return gathered < GATHERED_MAX && count + gathered < most;
}

function gather(
  frame: usize,
  captured: u32,
  original: u32,
  time: u64,
  linkType: u32,
  captureInterface: u32,
): void {
  const plain = isPlain(frame, captured, original, linkType);
  if (isShared() && passOver(plain, frame, time, captureInterface)) return;
  const one = gatheredAt(first + gathered);
  one.time = time;
  one.frame = <u32>frame;
  one.captured = captured;
  one.original = original;
  one.linkType = <u16>linkType;
  one.captureInterface = <u16>captureInterface;
  one.hash = 0;
  one.node = 0;
  if (plain) hashFrame(one);
  one.passed = passed;
  one.passedTime = passedTime;
  passed = 0;
  gathered++;
}

// Another worker decides it, and all that it does here is to let time pass, for which nothing waits.
function passOver(plain: bool, frame: usize, time: u64, captureInterface: u32): bool {
  if (!plain) {
    mixed = true;
    return false;
  }
  if (mixed || !clockRuns() || anyFragments() || isNewSight(captureInterface)) return false;
  if (!isOthers(frame)) return false;
  passed++;
  count++;
  if (time > passedTime) passedTime = time;
  return true;
}

// False: no more can be gathered.
function decideGathered(): bool {
  const full = gathered == GATHERED_MAX;
  const end = first + gathered;
  for (let index = first; index != end; index++) touchConnection(gatheredAt(index));
  for (let index = first; index != end; index++) touchSaid(gatheredAt(index));
  startStraight(number + 1);
  // Another packet may have made or removed connections since they were found.
  let fresh = true;
  for (let index = first; index != end; index++) {
    const one = gatheredAt(index);
    pass(one.passed, one.passedTime);
    number++;
    count++;
    if (one.hash != 0) {
      if (!fresh) findConnectionAgain(one);
      if (goStraight(one, number)) continue;
    }
    settleFrames(index);
    decide(one);
    fresh = false;
    startStraight(number + 1);
  }
  first = end;
  if (!full) settleFrames(end);
  pass(passed, passedTime);
  passed = 0;
  gathered = 0;
  mixed = false;
  return full;
}

function pass(packets: u32, time: u64): void {
  if (packets == 0) return;
  number += packets;
  advanceClock(time);
}

/** Tells whether the scan may go on. */
export function mayScan(): bool {
  return count < most;
}

/** Ends the scan in front of a record that is not all there. @returns `at` */
export function isCut(at: usize): usize {
  cut = true;
  return at;
}

function isDisordered(time: u64): bool {
  if (time >= latest) {
    latest = time;
    return false;
  }
  return time + DISORDER < latest;
}

function word(big: bool, at: usize): u32 {
  const value = load<u32>(at);
  return big ? bswap(value) : value;
}

function decide(one: Gathered): void {
  if (one.hash != 0) {
    // Of a plain frame after another, all that the record had besides is zero.
    if (!wasPlain) clearBytes(changetype<usize>(packet), PACKET_SIZE);
    wasPlain = true;
    fill(one);
    decodePlain(packet);
    keepWhereSeen(one, packet);
    replayDecoded(packet, verdict, false);
    return;
  }
  clearBytes(changetype<usize>(packet), PACKET_SIZE);
  wasPlain = false;
  fill(one);
  decideAny();
}

function fill(one: Gathered): void {
  packet.number = number;
  packet.timestamp = one.time;
  packet.frame = one.frame;
  packet.capturedLength = one.captured;
  packet.originalLength = one.original;
  packet.linkType = one.linkType;
  packet.captureInterface = one.captureInterface;
  packet.flags = PACKET_HAS_TIME;
  packet.seen = 0;
}

// The record holds what `decodePlain` has filled, or nothing.
let wasPlain: bool = false;

/** The packet record, empty but for its number and time. */
export function nextPacket(time: u64): Packet {
  clearBytes(changetype<usize>(packet), PACKET_SIZE);
  wasPlain = false;
  number++;
  packet.number = number;
  packet.timestamp = time;
  return packet;
}

/** Decides the packet of the record. */
export function decideScanned(): void {
  count++;
  decideAny();
}

function decideAny(): void {
  replayPacket(packet, verdict);
  // A fragment that waits keeps copies: the next packet takes these records.
  if ((packet.flags & PACKET_FRAGMENT) != 0) startReplay(0);
}
