// Walks the records of a capture where they lie, and decides each packet without a record of its own in a
// batch. Only plain records are walked: at anything odd the scan ends in front of it, and the reader in
// TypeScript says what it is.
import { hashFrame, isOthers, isPlain, lookAgain, lookAhead } from "./ahead";
import { clearBytes } from "./bytes";
import {
  readRecord,
  RECORD_CUT,
  RECORD_ODD,
  setPcapngRecords,
  setPcapRecords,
  setRecordOrder,
} from "./capture-record";
import { clockRuns } from "./clock";
import { decodePlain } from "./decode-plain";
import { advanceClock } from "./entry-life";
import { anyFragments } from "./fragments";
import { BATCH, Gathered, gatheredAt, gatheredBehind, nextBatch } from "./gathered";
import { PACKET_FRAGMENT, PACKET_HAS_TIME, PACKET_SIZE, VERDICT_SIZE } from "./layout";
import { Packet } from "./records";
import { replayDecoded, replayPacket, startReplay } from "./replay";
import { isShared } from "./share";
import { isNewSight, settleFrames } from "./sights";
import { takeStaleBack } from "./stale";
import {
  countStraight,
  forgetWhereSeen,
  goStraight,
  keepWhereSeen,
  startStraight,
} from "./straight";
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

// So many are decided at most.
let most: u32 = 0;

/**
 * Begins a scan: how many packets were decided before, the latest time among them, how many may follow, and
 * the byte order of the records.
 */
export function startScan(before: u64, time: u64, packetsMax: u32, big: bool): void {
  number = before;
  latest = time;
  most = packetsMax;
  setRecordOrder(big);
  count = 0;
  cut = false;
  startReplay(0);
  takeStaleBack();
  forgetWhereSeen();
}

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
  setPcapRecords(header, unit, snapLength, linkType, captureInterface);
  return scanRecords(at, end);
}

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
  setPcapngRecords(sources, sourceCount, first);
  return scanRecords(at, end);
}

function scanRecords(at: usize, end: usize): usize {
  do {
    setRoom();
    while (gathered < room) {
      const one = gatheredAt(first + gathered);
      const behind = readRecord(one, at, end);
      if (behind == RECORD_CUT) {
        cut = true;
        break;
      }
      if (behind == RECORD_ODD || isDisordered(one.time)) break;
      gather(one);
      at = behind;
    }
  } while (decideGathered());
  return at;
}

// The first of those that wait, how many they are, and how many they may become.
let first: u32 = 0;
let gathered: u32 = 0;
let room: u32 = 0;
// Not all that are gathered are plain: one may be a fragment.
let mixed: bool = false;
let passed: u32 = 0;
let passedTime: u64 = 0;

function setRoom(): void {
  room = min(BATCH, most - count);
}

function gather(one: Gathered): void {
  const plain = isPlain(one.frame, one.captured, one.original, one.linkType);
  one.hash = 0;
  one.node = 0;
  if (isShared()) {
    if (passOver(one, plain)) return;
    one.passed = passed;
    one.passedTime = passedTime;
    passed = 0;
  }
  if (plain) hashFrame(one);
  gathered++;
}

// Another worker decides it, and all that it does here is to let time pass, for which nothing waits.
function passOver(one: Gathered, plain: bool): bool {
  if (!plain) {
    mixed = true;
    return false;
  }
  if (mixed || !clockRuns() || anyFragments() || isNewSight(one.captureInterface)) return false;
  if (!isOthers(one.frame)) return false;
  passed++;
  count++;
  setRoom();
  if (one.time > passedTime) passedTime = one.time;
  return true;
}

// False: no more can be gathered.
function decideGathered(): bool {
  const full = gathered == BATCH;
  count += gathered;
  const from = gatheredAt(first);
  const end = first + gathered;
  lookAhead(from, gatheredBehind(from, gathered));
  startStraight(number + 1);
  // Another packet may have made or removed connections since they were found.
  let fresh = true;
  // What has gone the straight way since the last packet that has not.
  let straight: u32 = 0;
  let bytes: u64 = 0;
  let truncated: u32 = 0;
  let one = from;
  for (let index = first; index != end; index++, one = gatheredBehind(one, 1)) {
    pass(one.passed, one.passedTime);
    number++;
    if (one.hash != 0) {
      if (!fresh) lookAgain(one);
      if (goStraight(one, number)) {
        straight++;
        bytes += one.original;
        truncated += select<u32>(1, 0, one.captured < one.original);
        continue;
      }
    }
    countStraight(straight, bytes, truncated);
    straight = 0;
    bytes = 0;
    truncated = 0;
    settleFrames(index);
    decide(one);
    fresh = false;
    startStraight(number + 1);
  }
  countStraight(straight, bytes, truncated);
  if (!full) settleFrames(end);
  first = nextBatch(end);
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
