// Walks tcpdump's text where it lies: lines of TCP and UDP as `tcpdump -n` prints them, with whatever time in
// front. At any other line the scan ends, and the reader in TypeScript takes it.
// Source: tcpdump(8); print-tcp.c, print-udp.c and print-domain.c for the forms.
import {
  KNOWN_DST,
  KNOWN_FRAGMENT,
  KNOWN_PAYLOAD_LENGTH,
  KNOWN_PORTS,
  KNOWN_PROTOCOL,
  KNOWN_SRC,
  KNOWN_TCP_FLAGS,
  KNOWN_TCP_SEQ,
  LINK_RAW,
  PACKET_DECODED,
  PACKET_HAS_TIME,
  PACKET_LEAST_LENGTH,
  PACKET_LOCAL_TIME,
  PACKET_RELATIVE_SEQ,
  PACKET_TIME_OF_DAY,
  TEXT_TIME_CALENDAR,
  TEXT_TIME_DAY,
  TEXT_TIME_NONE,
  TEXT_TIME_RISING,
  TEXT_TIME_SUMMED,
} from "./layout";
import { PROTOCOL_TCP } from "./protocol";
import { Packet } from "./records";
import { decideScanned, isCut, mayScan, nextPacket, scannedLatest, setScannedTime } from "./scan";
import { TCP_ACK, TCP_SYN } from "./tcp";
import { DAY, forgetStamp, nanoseconds, readStamp, seconds } from "./text-clock";
import { at, expect, LINE_FEED, plain, refuseLine, startLine, step } from "./text-cursor";
import {
  destination,
  family,
  isOfAddress,
  readAddress,
  readFamily,
  readPort,
  source,
} from "./text-endpoint";
import {
  ack,
  length,
  lengthSure,
  payload,
  payloadShown,
  protocol,
  readDomain,
  readTcp,
  readUdp,
  segment,
  seq,
  seqShown,
  tcpFlags,
  window,
} from "./text-transport";

// Longer lines are left to the reader.
const LINE_MAX: usize = 512;
// So much of a line tells that it begins a packet: the longest time, or two addresses.
const START_SIZE: usize = 64;
const HALF_DAY: u32 = 43200;
// The reader counts the time since the first packet in numbers that are exact up to here.
const SUM_MAX: u64 = 1 << 53;
const SECOND: u64 = 1000000000;

const IPV4_SIZE: u32 = 20;
const IPV6_SIZE: u32 = 40;

// The ports that the line under way names.
let sport: u32 = 0;
let dport: u32 = 0;

/**
 * Decides packets of a text. A line is a packet's only when the next one begins another. Of TEXT_TIME_RISING and
 * TEXT_TIME_SUMMED the time that `startScan` was told is that of the last packet.
 *
 * @param timing           TEXT_TIME_* of its lines; others are odd
 * @param days             TEXT_TIME_DAY: since the first time of day
 * @param before           TEXT_TIME_DAY: seconds of the last packet's time of day
 * @returns address behind the last line that was taken
 */
export function scanText(
  from: usize,
  end: usize,
  timing: u32,
  days: u32,
  before: u32,
  captureInterface: u32,
): usize {
  let line = from;
  while (mayScan()) {
    const next = lineEnd(line, end);
    if (next == 0) return end - line < LINE_MAX ? isCut(line) : line;
    if (end - next < START_SIZE) return isCut(line);
    if (!beginsAnother(next, timing)) return line;
    if (!readLine(line, timing) || at + 1 != next) return line;
    let time = seconds;
    if (timing == TEXT_TIME_DAY) {
      // Midnight, or another capture.
      if (before > seconds + HALF_DAY) return line;
      before = <u32>seconds;
      time += days * DAY;
    }
    time = time * SECOND + nanoseconds;
    if (timing == TEXT_TIME_SUMMED) time += scannedLatest();
    // Times that fall are not what they were taken for.
    if (timing == TEXT_TIME_RISING && time < scannedLatest()) return line;
    if (isSince(timing) && time >= SUM_MAX) return line;
    fill(nextPacket(time), timing, captureInterface);
    setScannedTime(time);
    decideScanned();
    line = next;
  }
  return line;
}

// Times count from another packet.
function isSince(timing: u32): bool {
  return timing == TEXT_TIME_RISING || timing == TEXT_TIME_SUMMED;
}

// Whether the line is a packet's, of which the time, or `IP SOURCE >`, is proof enough.
function beginsAnother(line: usize, timing: u32): bool {
  startLine(line);
  if (timing != TEXT_TIME_NONE) {
    readStamp(timing);
    return plain;
  }
  readFamily();
  const address = at;
  const limit = line + START_SIZE - 2;
  while (plain && at < limit && isOfAddress(load<u8>(at))) step();
  if (at == address) refuseLine();
  expect(0x20);
  expect(0x3e);
  return plain;
}

// Address behind a line's end; 0 where that is not there, or far.
function lineEnd(from: usize, end: usize): usize {
  const limit = end - from > LINE_MAX ? from + LINE_MAX : end;
  for (let each = from; each < limit; each++) {
    if (load<u8>(each) == LINE_FEED) return each + 1;
  }
  return 0;
}

// Reads a line that ends in a line feed, which no step goes beyond.
function readLine(line: usize, timing: u32): bool {
  startLine(line);
  forgetStamp();
  readStamp(timing);
  readFamily();
  readAddress(source);
  sport = readPort();
  expect(0x20);
  expect(0x3e);
  expect(0x20);
  readAddress(destination);
  dport = readPort();
  expect(0x3a);
  expect(0x20);
  if (!plain) return false;
  const first: u32 = load<u8>(at);
  if (first == 0x46) readTcp();
  else if (first == 0x55) readUdp();
  else readDomain();
  return plain && load<u8>(at) == LINE_FEED;
}

function fill(packet: Packet, timing: u32, captureInterface: u32): void {
  packet.linkType = <u16>LINK_RAW;
  packet.captureInterface = <u16>captureInterface;
  packet.flags = PACKET_DECODED;
  if (timing != TEXT_TIME_NONE) packet.flags |= PACKET_HAS_TIME;
  if (timing == TEXT_TIME_DAY || isSince(timing)) packet.flags |= PACKET_TIME_OF_DAY;
  if (timing == TEXT_TIME_CALENDAR) packet.flags |= PACKET_LOCAL_TIME;
  packet.known = KNOWN_SRC | KNOWN_DST | KNOWN_PROTOCOL | KNOWN_PORTS;
  packet.family = <u8>family;
  packet.protocol = <u8>protocol;
  packet.src0 = load<u32>(source);
  packet.dst0 = load<u32>(destination);
  if (family == 6) {
    packet.src1 = load<u32>(source, 4);
    packet.src2 = load<u32>(source, 8);
    packet.src3 = load<u32>(source, 12);
    packet.dst1 = load<u32>(destination, 4);
    packet.dst2 = load<u32>(destination, 8);
    packet.dst3 = load<u32>(destination, 12);
    // A fragment header would have been printed.
    packet.known |= KNOWN_FRAGMENT;
  }
  packet.sport = <u16>sport;
  packet.dport = <u16>dport;
  if (payloadShown) {
    packet.payloadLength = payload;
    packet.known |= KNOWN_PAYLOAD_LENGTH;
  }
  if (length != 0) {
    packet.ipLength = (family == 4 ? IPV4_SIZE : IPV6_SIZE) + length;
    if (family == 6 && lengthSure) packet.flags |= PACKET_LEAST_LENGTH;
  }
  if (protocol != PROTOCOL_TCP) return;
  packet.tcpSegment = <u16>segment;
  packet.tcpFlags = <u8>tcpFlags;
  packet.known |= KNOWN_TCP_FLAGS;
  if (!seqShown) return;
  packet.tcpSeq = seq;
  packet.tcpAck = ack;
  packet.tcpWindow = <u16>window;
  packet.known |= KNOWN_TCP_SEQ;
  // The first of its flow may be in the text or not: such numbers count as relative.
  if ((tcpFlags & TCP_ACK) != 0 && (tcpFlags & TCP_SYN) == 0) packet.flags |= PACKET_RELATIVE_SEQ;
}
