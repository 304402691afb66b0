// What a line of tcpdump's text says behind its two ends: of TCP and of UDP. Source: print-tcp.c, print-udp.c.
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./protocol";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "./tcp";
import { at, isDigit, LINE_FEED, plain, readNumber, refuseLine, step, take } from "./text-cursor";
import { skipDomain } from "./text-domain";

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
export let seqShown: bool = false;
let ackShown: bool = false;

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
  if (take(OPTIONS)) skipOptions();
  if (!take(LENGTH)) refuseLine();
  payload = <u32>readNumber(5);
  payloadShown = true;
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

// Letters, digits, commas and blanks up to the bracket.
function skipOptions(): void {
  while (true) {
    const letter: u32 = load<u8>(at);
    if (letter == 0x5d) break;
    const lower = letter | 0x20;
    const word = (lower >= 0x61 && lower <= 0x7a) || isDigit(letter);
    if (!word && letter != 0x2c && letter != 0x20) {
      refuseLine();
      return;
    }
    step();
  }
  step();
}

/** Reads "UDP, length 5". */
export function readUdp(): void {
  protocol = PROTOCOL_UDP;
  if (!take(UDP)) refuseLine();
  payload = <u32>readNumber(5);
  payloadShown = true;
}

/** Reads a message of DNS over UDP. Its length is not taken from the line, as the reader in TypeScript takes none. */
export function readDomain(): void {
  protocol = PROTOCOL_UDP;
  payload = 0;
  payloadShown = false;
  skipDomain();
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
