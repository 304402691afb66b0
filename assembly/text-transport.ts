// What a line of tcpdump's text says behind its two ends: of TCP and of UDP. Source: print-tcp.c, print-udp.c.
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./protocol";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "./tcp";
import {
  at,
  expect,
  isDigit,
  LINE_FEED,
  plain,
  readNumber,
  refuseLine,
  step,
  take,
} from "./text-cursor";
import { messageLength, skipDomain } from "./text-domain";

const TCP_PSH: u32 = 0x08;
const TCP_URG: u32 = 0x20;
const TCP_ECE: u32 = 0x40;
const TCP_CWR: u32 = 0x80;

/** What the line says: PROTOCOL_*, bytes of the payload, and of TCP the fields of its header. */
export let protocol: u32 = 0;
export let tcpFlags: u32 = 0;
export let seq: u32 = 0;
export let ack: u32 = 0;
export let window: u32 = 0;
export let payload: u32 = 0;
export let payloadShown: bool = false;
/** Bytes of the header and the payload; 0: they are not shown. */
export let length: u32 = 0;
/** They are as many, and not fewer. */
export let lengthSure: bool = false;
/** Of TCP: the segment size that is asked for; 0: none. */
export let segment: u32 = 0;
export let seqShown: bool = false;
let ackShown: bool = false;
// Bytes of TCP's options.
let options: u32 = 0;

const TCP_HEADER: u32 = 20;
const UDP_HEADER: u32 = 8;
const OPTIONS_MAX: u32 = 40;
// Two bytes of nothing, and two times.
const STAMPS_SIZE: u32 = 12;
const TIMES_SIZE: u32 = 10;

/** Reads "Flags [S.], seq 1:2, ack 3, win 4, options [...], length 5" */
export function readTcp(): void {
  protocol = PROTOCOL_TCP;
  if (!take(FLAGS)) refuseLine();
  readFlags();
  seqShown = take(SEQ);
  if (seqShown) {
    seq = <u32>readNumber(10);
    if (load<u8>(at) == 0x3a) {
      step();
      readNumber(10);
    }
  }
  ackShown = take(ACK);
  ack = ackShown ? <u32>readNumber(10) : 0;
  if (!take(WINDOW)) refuseLine();
  window = <u32>readNumber(5);
  segment = 0;
  options = 0;
  lengthSure = true;
  if (take(OPTIONS)) readOptions();
  if (!take(LENGTH)) refuseLine();
  payload = <u32>readNumber(5);
  payloadShown = true;
  length = TCP_HEADER + min(options, OPTIONS_MAX) + payload;
  if (!ackShown && (tcpFlags & TCP_ACK) != 0) refuseLine();
  if (plain && ackShown && load<u8>(at) == 0x3a) skipPayload();
}

// ": HTTP: GET / HTTP/1.1", up to the line's end: nothing in it that the reader in TypeScript would take for more.
function skipPayload(): void {
  step();
  while (true) {
    const letter: u32 = load<u8>(at);
    if (letter == LINE_FEED) return;
    const lower = letter | 0x20;
    const word = (lower >= 0x61 && lower <= 0x7a) || (letter >= 0x2c && letter <= 0x3a);
    if (!word && letter != 0x20) {
      refuseLine();
      return;
    }
    step();
  }
}

function readFlags(): void {
  tcpFlags = 0;
  if (take(NONE)) return;
  let count: u32 = 0;
  while (plain) {
    const letter: u32 = load<u8>(at);
    step();
    if (letter == 0x5d && count > 0) return;
    count++;
    const bit = flagBit(letter);
    if (bit == 0 || count > 9) {
      refuseLine();
      step(-1);
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

// Options and commas between them, up to the bracket.
function readOptions(): void {
  // What most segments have.
  options = optionSize(take(STAMPS) ? readTimes(STAMPS_SIZE) : readOption());
  while (true) {
    const letter = skipWords();
    if (letter == 0x5d) break;
    if (letter != 0x2c) return refuseLine();
    step();
    options += optionSize(readOption());
  }
  options = (options + 3) & ~3;
  step();
}

// Returns the letter behind letters, digits and blanks.
function skipWords(): u32 {
  while (true) {
    const letter: u32 = load<u8>(at);
    const lower = letter | 0x20;
    const word = (lower >= 0x61 && lower <= 0x7a) || isDigit(letter);
    if (!word && letter != 0x20) return letter;
    step();
  }
}

// Of one whose words go on it is not told, as of none that is known.
function optionSize(size: u32): u32 {
  if (size != 0 && isOptionEnd()) return size;
  lengthSure = false;
  return OPTIONS_MAX;
}

function isOptionEnd(): bool {
  const letter: u32 = load<u8>(at);
  return letter == 0x2c || letter == 0x5d;
}

// Steps over the words that the reader in TypeScript knows, too, and returns the option's bytes; 0: there are none.
function readOption(): u32 {
  switch (<i32>(<u32>load<u8>(at))) {
    case 0x6e:
      return take(NOP) ? 1 : 0;
    case 0x54:
      return take(TIMES) ? readTimes(TIMES_SIZE) : 0;
    case 0x73:
      return take(SACK_OK) ? 2 : readBlocks();
    case 0x77:
      return take(SCALE) ? readValue(3, 3) : 0;
    case 0x6d:
      return readSegment();
    default:
      return 0;
  }
}

// "1 ecr 2"
function readTimes(size: u32): u32 {
  readNumber(10);
  return take(ECHO) ? readValue(10, size) : 0;
}

function readValue(digits: u32, size: u32): u32 {
  readNumber(digits);
  return size;
}

// "sack 0 ", which has no blocks; those that have some have braces.
function readBlocks(): u32 {
  if (!take(SACK)) return 0;
  readNumber(1);
  expect(0x20);
  return 2;
}

function readSegment(): u32 {
  if (!take(SEGMENT)) return 0;
  const size = <u32>readNumber(5);
  if ((tcpFlags & TCP_SYN) != 0 && isOptionEnd()) segment = max(segment, size);
  return 4;
}

/** Reads "UDP, length 5". */
export function readUdp(): void {
  protocol = PROTOCOL_UDP;
  if (!take(UDP)) refuseLine();
  payload = <u32>readNumber(5);
  payloadShown = true;
  length = UDP_HEADER + payload;
  lengthSure = true;
}

/** Reads a message of DNS over UDP; its length counts for the packet's alone, as with the reader in TypeScript. */
export function readDomain(): void {
  protocol = PROTOCOL_UDP;
  payload = 0;
  payloadShown = false;
  skipDomain();
  const message = messageLength();
  length = message == 0 ? 0 : UDP_HEADER + message;
  lengthSure = true;
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
const STAMPS: usize = memory.data<u8>([
  15, 0x6e, 0x6f, 0x70, 0x2c, 0x6e, 0x6f, 0x70, 0x2c, 0x54, 0x53, 0x20, 0x76, 0x61, 0x6c, 0x20,
]);
const NOP: usize = memory.data<u8>([3, 0x6e, 0x6f, 0x70]);
const TIMES: usize = memory.data<u8>([7, 0x54, 0x53, 0x20, 0x76, 0x61, 0x6c, 0x20]);
const ECHO: usize = memory.data<u8>([5, 0x20, 0x65, 0x63, 0x72, 0x20]);
const SACK_OK: usize = memory.data<u8>([6, 0x73, 0x61, 0x63, 0x6b, 0x4f, 0x4b]);
const SACK: usize = memory.data<u8>([5, 0x73, 0x61, 0x63, 0x6b, 0x20]);
const SCALE: usize = memory.data<u8>([7, 0x77, 0x73, 0x63, 0x61, 0x6c, 0x65, 0x20]);
const SEGMENT: usize = memory.data<u8>([4, 0x6d, 0x73, 0x73, 0x20]);
const LENGTH: usize = memory.data<u8>([9, 0x2c, 0x20, 0x6c, 0x65, 0x6e, 0x67, 0x74, 0x68, 0x20]);
const UDP: usize = memory.data<u8>([
  12, 0x55, 0x44, 0x50, 0x2c, 0x20, 0x6c, 0x65, 0x6e, 0x67, 0x74, 0x68, 0x20,
]);
