// Records of captures, one frame each: those of pcap files, and Enhanced Packet Blocks of pcapng without options.
// Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
import { Gathered } from "./gathered";
import { FRAME_MAX, SCAN_SOURCE_LINK_TYPE, SCAN_SOURCE_SIZE } from "./layout";

/** There is something odd about a record. */
export const RECORD_ODD: usize = 0;
/** Not all of a record is there. */
export const RECORD_CUT: usize = 1;

const SECOND: u64 = 1000000000;

// What is the same for all records.
let bigEndian: bool = false;
// Which bytes make four words that lie in that order; nothing before it is set.
const wordBytes: usize = memory.data(16, 16);
let inBlocks: bool = false;

/** Sets the byte order of records. */
export function setRecordOrder(big: bool): void {
  bigEndian = big;
  const flip = select<u32>(0x03030303, 0, big);
  v128.store(
    wordBytes,
    v128.xor(i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), i32x4.splat(flip)),
  );
}

/**
 * Reads the record at an address.
 *
 * @param end behind the last byte that is there
 * @returns address behind it; RECORD_ODD and RECORD_CUT: it is not read
 */
export function readRecord(one: Gathered, at: usize, end: usize): usize {
  return inBlocks ? readBlock(one, at, end) : readPlain(one, at, end);
}

// Four words.
function wordsAt(at: usize): v128 {
  return v128.swizzle(v128.load(at), v128.load(wordBytes));
}

function wordAt(at: usize): u32 {
  const word = load<u32>(at);
  return bigEndian ? bswap(word) : word;
}

// ── pcap ───────────────────────────────────────────────────────────────────────────────────────────────

/** Seconds, their fraction, bytes captured, bytes of the frame. */
const RECORD_SIZE: u32 = 16;

// Bytes in front of a frame, at least RECORD_SIZE.
let headerSize: u32 = 0;
// Nanoseconds in one unit of a timestamp's fraction.
let fractionUnit: u32 = 0;
let capturedMax: u32 = 0;
let fileLinkType: u16 = 0;
let fileInterface: u16 = 0;

/** Records are those of a pcap file. `unit`: nanoseconds in one of a timestamp's fraction. */
export function setPcapRecords(
  header: u32,
  unit: u32,
  snapLength: u32,
  linkType: u32,
  captureInterface: u32,
): void {
  inBlocks = false;
  headerSize = header;
  fractionUnit = unit;
  capturedMax = min(snapLength, <u32>FRAME_MAX);
  fileLinkType = <u16>linkType;
  fileInterface = <u16>captureInterface;
}

function readPlain(one: Gathered, at: usize, end: usize): usize {
  if (end - at < headerSize) return RECORD_CUT;
  const words = wordsAt(at);
  const captured: u32 = i32x4.extract_lane(words, 2);
  const original: u32 = i32x4.extract_lane(words, 3);
  if (captured > original || captured > capturedMax) return RECORD_ODD;
  const fraction = <u64>(<u32>i32x4.extract_lane(words, 1)) * fractionUnit;
  if (fraction >= SECOND) return RECORD_ODD;
  const frame = at + headerSize;
  if (captured > <u32>(end - frame)) return RECORD_CUT;
  one.time = <u64>(<u32>i32x4.extract_lane(words, 0)) * SECOND + fraction;
  one.frame = <u32>frame;
  one.captured = captured;
  one.original = original;
  one.linkType = fileLinkType;
  one.captureInterface = fileInterface;
  return frame + captured;
}

// ── pcapng ─────────────────────────────────────────────────────────────────────────────────────────────

const ENHANCED_PACKET: u32 = 6;
/** Type, length, interface, upper half of the time, its lower half, bytes captured, bytes of the frame. */
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

let sources: usize = 0;
let sourceCount: u32 = 0;
let firstInterface: u32 = 0;

/** Records are those of a pcapng section. `first`: the number that interface 0 has over the whole capture. */
export function setPcapngRecords(at: usize, count: u32, first: u32): void {
  inBlocks = true;
  sources = at;
  sourceCount = count;
  firstInterface = first;
}

function readBlock(one: Gathered, at: usize, end: usize): usize {
  if (end - at < BLOCK_SIZE) return RECORD_CUT;
  const head = wordsAt(at);
  if (i32x4.extract_lane(head, 0) != ENHANCED_PACKET) return RECORD_ODD;
  const rest = wordsAt(at + 16);
  const captured: u32 = i32x4.extract_lane(rest, 1);
  const original: u32 = i32x4.extract_lane(rest, 2);
  if (captured > original || captured > <u32>FRAME_MAX) return RECORD_ODD;
  const total = BLOCK_SIZE + ((captured + 3) & ~3);
  if (i32x4.extract_lane(head, 1) != total) return RECORD_ODD;
  if (total > <u32>(end - at)) return RECORD_CUT;
  const index: u32 = i32x4.extract_lane(head, 2);
  const behind = at + total;
  if (wordAt(behind - 4) != total || index >= sourceCount) return RECORD_ODD;
  const source = changetype<Source>(sources + <usize>index * SCAN_SOURCE_SIZE);
  const scale: u64 = source.scale;
  const low = <u64>(<u32>i32x4.extract_lane(rest, 0)) * scale;
  const high = <u64>(<u32>i32x4.extract_lane(head, 3)) * scale + (low >> 32);
  if (scale == 0 || high >> 32 != 0) return RECORD_ODD;
  one.time = (high << 32) | (low & 0xffffffff);
  one.frame = <u32>(at + BLOCK_FRAME);
  one.captured = captured;
  one.original = original;
  one.linkType = <u16>source.linkType;
  one.captureInterface = <u16>(firstInterface + index);
  return behind;
}
