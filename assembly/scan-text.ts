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
  PACKET_RELATIVE_SEQ,
  PACKET_LOCAL_TIME,
  PACKET_TIME_OF_DAY,
  TEXT_TIME_CALENDAR,
  TEXT_TIME_DAY,
  TEXT_TIME_EPOCH,
  TEXT_TIME_NONE,
  TEXT_TIME_RISING,
  TEXT_TIME_SUMMED,
} from "./layout";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./protocol";
import { Packet } from "./records";
import { decideScanned, isCut, mayScan, nextPacket, scannedLatest, setScannedTime } from "./scan";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "./tcp";

const TCP_PSH: u32 = 0x08;
const TCP_URG: u32 = 0x20;
const TCP_ECE: u32 = 0x40;
const TCP_CWR: u32 = 0x80;

const LINE_FEED: u32 = 10;
// Longer lines are left to the reader.
const LINE_MAX: usize = 512;
// So much of a line tells that it begins a packet: the longest time, or two addresses.
const START_SIZE: usize = 64;
const HALF_DAY: u32 = 43200;
const DAY: u64 = 86400;
// The reader counts the time since the first packet in numbers that are exact up to here.
const SUM_MAX: u64 = 1 << 53;
// The reader takes less for a number that another program prints.
const EPOCH_MIN: u64 = 100000000;
const SECOND: u64 = 1000000000;

// The place in the line under way, and whether it was as expected so far.
let at: usize = 0;
let plain: bool = true;

// What a line says. The seconds are those of the day or, where the line tells the day, since 1970.
let seconds: u64 = 0;
let nanoseconds: u32 = 0;
let family: u32 = 0;
let sport: u32 = 0;
let dport: u32 = 0;
let protocol: u32 = 0;
let tcpFlags: u32 = 0;
let seq: u32 = 0;
let ack: u32 = 0;
let window: u32 = 0;
let payload: u32 = 0;
let payloadShown: bool = false;
let seqShown: bool = false;
let ackShown: bool = false;

// The words of the line's two addresses, of which IPv4 takes one.
const source: usize = memory.data(16, 16);
const destination: usize = memory.data(16, 16);
// An address under way: what stands in front of `::`, and what behind.
const groups: usize = memory.data(16, 16);

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
  at = line;
  plain = true;
  if (timing != TEXT_TIME_NONE) {
    readStamp(timing);
    return plain;
  }
  readFamily();
  const address = at;
  const limit = line + START_SIZE - 2;
  while (plain && at < limit && isOfAddress(load<u8>(at))) at++;
  if (at == address) plain = false;
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
  at = line;
  plain = true;
  seconds = 0;
  nanoseconds = 0;
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

function readStamp(timing: u32): void {
  switch (timing) {
    case TEXT_TIME_DAY: {
      seconds = readClock();
      break;
    }
    case TEXT_TIME_RISING:
    case TEXT_TIME_SUMMED: {
      if (load<u8>(at) == 0x20) at++;
      seconds = readClock();
      break;
    }
    case TEXT_TIME_EPOCH: {
      seconds = readNumber(10);
      if (seconds < EPOCH_MIN) plain = false;
      break;
    }
    case TEXT_TIME_CALENDAR: {
      const days = readDate();
      seconds = days * DAY + readClock();
      break;
    }
    default:
      return;
  }
  expect(0x2e);
  nanoseconds = (readTwo() * 10000 + readTwo() * 100 + readTwo()) * 1000;
  if (plain && isDigit(load<u8>(at))) {
    nanoseconds += readTwo() * 10;
    const last: u32 = load<u8>(at) - 0x30;
    if (last > 9) plain = false;
    else at++;
    nanoseconds += last;
  }
  expect(0x20);
}

// "hh:mm:ss": seconds.
function readClock(): u32 {
  const hours = readTwo();
  expect(0x3a);
  const minutes = readTwo();
  expect(0x3a);
  const rest = readTwo();
  if (hours > 23 || minutes > 59 || rest > 59) plain = false;
  return hours * 3600 + minutes * 60 + rest;
}

// "yyyy-mm-dd ": days since 1970.
function readDate(): u64 {
  const year = readTwo() * 100 + readTwo();
  expect(0x2d);
  const month = readTwo();
  expect(0x2d);
  const day = readTwo();
  expect(0x20);
  if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31) plain = false;
  if (!plain) return 0;
  // Years that begin in March: the leap day is their last.
  const years: u32 = month < 3 ? year - 1 : year;
  const months: u32 = month < 3 ? month + 9 : month - 3;
  const leaps = years / 4 - years / 100 + years / 400;
  // Of the year 0, March 1 was 719468 days before 1970.
  return <u64>(years * 365 + leaps + (153 * months + 2) / 5 + day - 1 - 719468);
}

// "IP " or "IP6 ".
function readFamily(): void {
  expect(0x49);
  expect(0x50);
  family = 4;
  if (load<u8>(at) == 0x36) {
    family = 6;
    at++;
  }
  expect(0x20);
}

// What the reader takes for an address or a name: letters, digits, and "_:.-".
function isOfAddress(letter: u32): bool {
  const lower = letter | 0x20;
  if (isDigit(letter) || (lower >= 0x61 && lower <= 0x7a)) return true;
  return letter == 0x3a || letter == 0x2e || letter == 0x2d || letter == 0x5f;
}

// An address, and the dot in front of its port.
function readAddress(words: usize): void {
  if (family == 4) store<u32>(words, readDotted());
  else readGroups(words);
  expect(0x2e);
}

function readDotted(): u32 {
  let address: u32 = 0;
  for (let part: u32 = 0; part < 4; part++) {
    if (part > 0) expect(0x2e);
    const value = readNumber(3);
    if (value > 255) plain = false;
    address = (address << 8) | (<u32>value);
  }
  return address;
}

// "fd00::1:2": eight groups, or fewer with a gap.
function readGroups(words: usize): void {
  let count: u32 = 0;
  // Groups in front of the gap; 8: there is none.
  let front: u32 = 8;
  if (load<u8>(at) == 0x3a && load<u8>(at, 1) == 0x3a) {
    front = 0;
    at += 2;
  }
  while (plain && count < 8) {
    const digits = at;
    const value = readHexadecimal();
    if (at == digits) {
      // Behind the gap there may be none.
      if (count != front) plain = false;
      break;
    }
    store<u16>(groups + ((<usize>count) << 1), <u16>value);
    count++;
    if (load<u8>(at) != 0x3a) break;
    at++;
    if (load<u8>(at) != 0x3a) {
      // A colon with nothing behind.
      if (!isHexadecimal(load<u8>(at))) plain = false;
      continue;
    }
    if (front != 8) plain = false;
    front = count;
    at++;
  }
  if (front == 8 ? count != 8 : count > 7) plain = false;
  if (!plain) return;
  store<u64>(words, 0);
  store<u64>(words, 0, 8);
  const gap: u32 = 8 - count;
  for (let index: u32 = 0; index < count; index++) {
    const place = index < front ? index : index + gap;
    // Words are numbers: of their two groups the first is the upper half.
    const half = words + (((<usize>place) ^ 1) << 1);
    store<u16>(half, load<u16>(groups + ((<usize>index) << 1)));
  }
}

// One to four digits; without one nothing is read.
function readHexadecimal(): u32 {
  let value: u32 = 0;
  for (let digits: u32 = 0; digits < 4; digits++) {
    const letter: u32 = load<u8>(at);
    if (!isHexadecimal(letter)) break;
    value = (value << 4) | (isDigit(letter) ? letter - 0x30 : (letter | 0x20) - 0x57);
    at++;
  }
  return value;
}

function isHexadecimal(letter: u32): bool {
  const lower = letter | 0x20;
  return isDigit(letter) || (lower >= 0x61 && lower <= 0x66);
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
  payloadShown = true;
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
  payloadShown = true;
}

// "domain [length 6 < 12] (invalid)", or a message: "4660+ A? db.svc. (32)", "4660 1/0/0 A 10.1.0.1 (48)". How long it
// is the reader does not take from it.
function readDomain(): void {
  protocol = PROTOCOL_UDP;
  payload = 0;
  payloadShown = false;
  if (take(DOMAIN)) {
    readNumber(5);
    if (!take(BELOW)) plain = false;
    readNumber(5);
    if (!take(INVALID)) plain = false;
    return;
  }
  readNumber(5);
  skipMarks();
  expect(0x20);
  if (plain && load<u8>(at) == 0x5b) skipExtras();
  if (!plain) return;
  if (isDigit(load<u8>(at))) readCounts();
  else readQuestion();
  skipMessage();
}

// Flags of a message.
function skipMarks(): void {
  for (let marks: u32 = 0; marks < 4; marks++) {
    const letter: u32 = load<u8>(at);
    // "+", "-", "%", "|", "$", "*"; two "*" have another meaning.
    const mark = letter == 0x2b || letter == 0x2d || letter == 0x25 || letter == 0x7c;
    if (!mark && letter != 0x24 && (letter != 0x2a || load<u8>(at, 1) == 0x2a)) return;
    at++;
  }
}

// "[1au] "
function skipExtras(): void {
  at++;
  let letters: u32 = 0;
  while (letters < 20 && (isDigit(load<u8>(at)) || isLower(load<u8>(at)))) {
    at++;
    letters++;
  }
  if (letters == 0) plain = false;
  expect(0x5d);
  expect(0x20);
}

// "1/0/0 "
function readCounts(): void {
  readNumber(5);
  expect(0x2f);
  readNumber(5);
  expect(0x2f);
  readNumber(5);
  expect(0x20);
}

// "AAAA? ": no other protocol has words that begin so.
function readQuestion(): void {
  let letters: u32 = 0;
  while (letters < 20 && isUpper(load<u8>(at))) {
    at++;
    letters++;
  }
  if (letters == 0) plain = false;
  expect(0x3f);
  expect(0x20);
}

// The rest of a line, with nothing in it that the reader would change or take for more.
function skipMessage(): void {
  while (plain) {
    const letter: u32 = load<u8>(at);
    if (letter == LINE_FEED) return;
    // "&", "*", "[", "`".
    const odd = letter == 0x26 || letter == 0x2a || letter == 0x5b || letter == 0x60;
    if (letter < 0x20 || letter > 0x7e || odd) plain = false;
    at++;
  }
}

function isLower(letter: u32): bool {
  return letter - 0x61 < 26;
}

function isUpper(letter: u32): bool {
  return letter - 0x41 < 26;
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
const DOMAIN: usize = memory.data<u8>([
  15, 0x64, 0x6f, 0x6d, 0x61, 0x69, 0x6e, 0x20, 0x5b, 0x6c, 0x65, 0x6e, 0x67, 0x74, 0x68, 0x20,
]);
const BELOW: usize = memory.data<u8>([3, 0x20, 0x3c, 0x20]);
const INVALID: usize = memory.data<u8>([
  11, 0x5d, 0x20, 0x28, 0x69, 0x6e, 0x76, 0x61, 0x6c, 0x69, 0x64, 0x29,
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
