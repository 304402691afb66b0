// Walks tcpdump's text where it lies: lines of TCP and UDP over IPv4 as `tcpdump -n` prints them, a time of
// day in front. At any other line the scan ends, and the reader in TypeScript takes it.
// Source: tcpdump(8); print-tcp.c and print-udp.c for the forms.
import {
  KNOWN_DST,
  KNOWN_PAYLOAD_LENGTH,
  KNOWN_PORTS,
  KNOWN_PROTOCOL,
  KNOWN_SRC,
  KNOWN_TCP_FLAGS,
  KNOWN_TCP_SEQ,
  LINK_RAW,
  PACKET_DECODED,
  PACKET_HAS_TIME,
  PACKET_RELATIVE_SEQ,
  PACKET_TIME_OF_DAY,
} from "./layout";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./protocol";
import { Packet } from "./records";
import { decideScanned, isCut, mayScan, nextPacket, setScannedTime } from "./scan";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "./tcp";

const TCP_PSH: u32 = 0x08;
const TCP_URG: u32 = 0x20;
const TCP_ECE: u32 = 0x40;
const TCP_CWR: u32 = 0x80;

const LINE_FEED: u32 = 10;
// Longer lines are left to the reader.
const LINE_MAX: usize = 512;
/** "hh:mm:ss.ffffff " */
const STAMP_SIZE: usize = 16;
const HALF_DAY: u32 = 43200;
const SECOND: u64 = 1000000000;

// The place in the line under way, and whether it was as expected so far.
let at: usize = 0;
let plain: bool = true;

// What a line says.
let seconds: u32 = 0;
let microseconds: u32 = 0;
let srcAddress: u32 = 0;
let dstAddress: u32 = 0;
let sport: u32 = 0;
let dport: u32 = 0;
let protocol: u32 = 0;
let tcpFlags: u32 = 0;
let seq: u32 = 0;
let ack: u32 = 0;
let window: u32 = 0;
let payload: u32 = 0;
let seqShown: bool = false;
let ackShown: bool = false;

/**
 * Decides packets of a text. A line is a packet's only when the next one begins another.
 *
 * @param days             since the first time of day, u64
 * @param before           seconds of the last packet's time of day
 * @returns address behind the last line that was taken
 */
export function scanText(
  from: usize,
  end: usize,
  days: u32,
  before: u32,
  captureInterface: u32,
): usize {
  let line = from;
  while (mayScan()) {
    const next = lineEnd(line, end);
    if (next == 0) return end - line < LINE_MAX ? isCut(line) : line;
    if (end - next < STAMP_SIZE) return isCut(line);
    if (!readLine(line) || at + 1 != next) return line;
    const own = seconds;
    // Midnight, or another capture.
    if (before > own + HALF_DAY) return line;
    const time = (<u64>days * 86400 + own) * SECOND + <u64>microseconds * 1000;
    at = next;
    plain = true;
    readStamp();
    if (!plain) return line;
    before = own;
    fill(nextPacket(time), captureInterface);
    setScannedTime(time);
    decideScanned();
    line = next;
  }
  return line;
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
function readLine(line: usize): bool {
  at = line;
  plain = true;
  readStamp();
  expect(0x49);
  expect(0x50);
  expect(0x20);
  srcAddress = readAddress();
  sport = readPort();
  expect(0x20);
  expect(0x3e);
  expect(0x20);
  dstAddress = readAddress();
  dport = readPort();
  expect(0x3a);
  expect(0x20);
  if (!plain) return false;
  if (load<u8>(at) == 0x46) readTcp();
  else readUdp();
  return plain && load<u8>(at) == LINE_FEED;
}

function readStamp(): void {
  const hours = readTwo();
  expect(0x3a);
  const minutes = readTwo();
  expect(0x3a);
  const rest = readTwo();
  expect(0x2e);
  if (hours > 23 || minutes > 59 || rest > 59) plain = false;
  seconds = hours * 3600 + minutes * 60 + rest;
  microseconds = readTwo() * 10000 + readTwo() * 100 + readTwo();
  expect(0x20);
}

function readAddress(): u32 {
  let address: u32 = 0;
  for (let part: u32 = 0; part < 4; part++) {
    const value = readNumber(3);
    if (value > 255) plain = false;
    address = (address << 8) | (<u32>value);
    expect(0x2e);
  }
  return address;
}

function readPort(): u32 {
  const port = readNumber(5);
  if (port > 0xffff) plain = false;
  return <u32>port;
}

// "Flags [S.], seq 1:2, ack 3, win 4, options [...], length 5"
function readTcp(): void {
  protocol = PROTOCOL_TCP;
  if (!take(FLAGS)) plain = false;
  readFlags();
  seqShown = take(SEQ);
  if (seqShown) {
    seq = <u32>readNumber(10);
    if (load<u8>(at) == 0x3a) {
      at++;
      readNumber(10);
    }
  }
  ackShown = take(ACK);
  ack = ackShown ? <u32>readNumber(10) : 0;
  if (!take(WINDOW)) plain = false;
  window = <u32>readNumber(5);
  if (take(OPTIONS)) skipOptions();
  if (!take(LENGTH)) plain = false;
  payload = <u32>readNumber(5);
  if (!ackShown && (tcpFlags & TCP_ACK) != 0) plain = false;
  if (plain && ackShown && load<u8>(at) == 0x3a) skipPayload();
}

// ": HTTP: GET / HTTP/1.1", up to the line's end: nothing in it that the reader would take for more.
function skipPayload(): void {
  at++;
  while (true) {
    const letter: u32 = load<u8>(at);
    if (letter == LINE_FEED) return;
    const lower = letter | 0x20;
    const word = (lower >= 0x61 && lower <= 0x7a) || (letter >= 0x2c && letter <= 0x3a);
    if (!word && letter != 0x20) {
      plain = false;
      return;
    }
    at++;
  }
}

function readFlags(): void {
  tcpFlags = 0;
  if (take(NONE)) return;
  let count: u32 = 0;
  while (plain) {
    const letter: u32 = load<u8>(at);
    at++;
    if (letter == 0x5d && count > 0) return;
    count++;
    const bit = flagBit(letter);
    if (bit == 0 || count > 9) {
      plain = false;
      at--;
    }
    tcpFlags |= bit;
  }
}

function flagBit(letter: u32): u32 {
  switch (<i32>letter) {
    case 0x46:
      return TCP_FIN;
    case 0x53:
      return TCP_SYN;
    case 0x52:
      return TCP_RST;
    case 0x50:
      return TCP_PSH;
    case 0x2e:
      return TCP_ACK;
    case 0x55:
      return TCP_URG;
    case 0x45:
      return TCP_ECE;
    case 0x57:
      return TCP_CWR;
    default:
      return 0;
  }
}

// Letters, digits, commas and blanks up to the bracket.
function skipOptions(): void {
  while (true) {
    const letter: u32 = load<u8>(at);
    if (letter == 0x5d) break;
    const lower = letter | 0x20;
    const word = (lower >= 0x61 && lower <= 0x7a) || isDigit(letter);
    if (!word && letter != 0x2c && letter != 0x20) {
      plain = false;
      return;
    }
    at++;
  }
  at++;
}

function readUdp(): void {
  protocol = PROTOCOL_UDP;
  if (!take(UDP)) plain = false;
  payload = <u32>readNumber(5);
}

function fill(packet: Packet, captureInterface: u32): void {
  packet.linkType = <u16>LINK_RAW;
  packet.captureInterface = <u16>captureInterface;
  packet.flags = PACKET_DECODED | PACKET_HAS_TIME | PACKET_TIME_OF_DAY;
  packet.known = KNOWN_SRC | KNOWN_DST | KNOWN_PROTOCOL | KNOWN_PORTS | KNOWN_PAYLOAD_LENGTH;
  packet.family = 4;
  packet.protocol = <u8>protocol;
  packet.src0 = srcAddress;
  packet.dst0 = dstAddress;
  packet.sport = <u16>sport;
  packet.dport = <u16>dport;
  packet.payloadLength = payload;
  if (protocol != PROTOCOL_TCP) return;
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

function expect(letter: u32): void {
  if (load<u8>(at) == letter) at++;
  else plain = false;
}

function readTwo(): u32 {
  const tens: u32 = load<u8>(at);
  if (!plain || !isDigit(tens)) {
    plain = false;
    return 0;
  }
  const ones: u32 = load<u8>(at, 1);
  if (!isDigit(ones)) {
    plain = false;
    return 0;
  }
  at += 2;
  return (tens - 0x30) * 10 + ones - 0x30;
}

// A number of one to so many digits.
function readNumber(most: u32): u64 {
  let value: u64 = 0;
  let digits: u32 = 0;
  while (isDigit(load<u8>(at))) {
    value = value * 10 + load<u8>(at) - 0x30;
    at++;
    digits++;
    if (digits > most) break;
  }
  if (digits == 0 || digits > most) plain = false;
  return value;
}

function isDigit(letter: u32): bool {
  return letter - 0x30 < 10;
}

// Words that a line may have, each behind its length.
const FLAGS: usize = memory.data<u8>([7, 0x46, 0x6c, 0x61, 0x67, 0x73, 0x20, 0x5b]);
const NONE: usize = memory.data<u8>([5, 0x6e, 0x6f, 0x6e, 0x65, 0x5d]);
const SEQ: usize = memory.data<u8>([6, 0x2c, 0x20, 0x73, 0x65, 0x71, 0x20]);
const ACK: usize = memory.data<u8>([6, 0x2c, 0x20, 0x61, 0x63, 0x6b, 0x20]);
const WINDOW: usize = memory.data<u8>([6, 0x2c, 0x20, 0x77, 0x69, 0x6e, 0x20]);
const OPTIONS: usize = memory.data<u8>([
  11, 0x2c, 0x20, 0x6f, 0x70, 0x74, 0x69, 0x6f, 0x6e, 0x73, 0x20, 0x5b,
]);
const LENGTH: usize = memory.data<u8>([9, 0x2c, 0x20, 0x6c, 0x65, 0x6e, 0x67, 0x74, 0x68, 0x20]);
const UDP: usize = memory.data<u8>([
  12, 0x55, 0x44, 0x50, 0x2c, 0x20, 0x6c, 0x65, 0x6e, 0x67, 0x74, 0x68, 0x20,
]);

// Steps over a word, if it is there.
function take(word: usize): bool {
  const size: usize = load<u8>(word);
  for (let index: usize = 0; index < size; index++) {
    if (load<u8>(at + index) != load<u8>(word + index, 1)) return false;
  }
  at += size;
  return true;
}
