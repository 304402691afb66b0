// What becomes of a packet for the options in its IPv4 header.
// Source: RFC 791, section 3.1; RFC 781; Linux, ip_options_compile() and ip_rcv_options().
import {
  SHOWN_OPTIONS_BAD,
  SHOWN_OPTIONS_NONE,
  SHOWN_OPTIONS_ROUTE,
  SHOWN_OPTIONS_SOUND,
} from "./layout";
import { Packet } from "./records";
import { takesSourceRoutes } from "./switches";

/** There are none, or none that anything is wrong with. */
export const OPTIONS_FINE: u32 = 0;
/** For them the packet is discarded behind PREROUTING. */
export const OPTIONS_BAD: u32 = 1;
/** They were not captured, or not told, or lead the packet where nobody follows it. */
export const OPTIONS_UNKNOWN: u32 = 2;

const HEADER: u32 = 20;

const TYPE: usize = 0;
const LENGTH: usize = 1;
/** Where the next address or time is written, from the option's first byte, which is 1. */
const POINTER: usize = 2;
const TIMESTAMP_FLAGS: usize = 3;

const END: u32 = 0;
const NO_OPERATION: u32 = 1;
const RECORD_ROUTE: u32 = 7;
const TIMESTAMP: u32 = 68;
const LOOSE_ROUTE: u32 = 131;
/** CIPSO, a security label. */
const LABEL: u32 = 134;
const STRICT_ROUTE: u32 = 137;
const ROUTER_ALERT: u32 = 148;

// Flags of a timestamp option: a time alone; with its address; of addresses that are there already.
const TIMES: u32 = 0;
const TIMES_WITH_ADDRESSES: u32 = 1;
const TIMES_OF_ADDRESSES: u32 = 3;

// What the options that were looked at have been: of these there is one at most.
let routed: bool = false;
let recorded: bool = false;
let timed: bool = false;
let labelled: bool = false;

/** What the options say: one of OPTIONS_*. Precondition: an IPv4 packet. */
export function fateByOptions(packet: Packet): u32 {
  const header: usize = packet.network;
  if (header == 0) return fateByWords(packet.shownOptions);
  if (packet.end - packet.network < HEADER) return OPTIONS_FINE;
  const size = ((<u32>load<u8>(header)) & 0xf) << 2;
  if (size <= HEADER) return OPTIONS_FINE;
  if (packet.end - packet.network < size) return OPTIONS_UNKNOWN;
  routed = recorded = timed = labelled = false;
  if (!areSound(header + HEADER, header + size)) return OPTIONS_BAD;
  // > A source route is discarded unless asked for, be it used up or not.
  if (routed && !takesSourceRoutes()) return OPTIONS_BAD;
  return routed || labelled ? OPTIONS_UNKNOWN : OPTIONS_FINE;
}

// Of a text.
function fateByWords(shown: u32): u32 {
  switch (<i32>shown) {
    case SHOWN_OPTIONS_NONE:
    case SHOWN_OPTIONS_SOUND:
      return OPTIONS_FINE;
    case SHOWN_OPTIONS_BAD:
      return OPTIONS_BAD;
    case SHOWN_OPTIONS_ROUTE:
      return takesSourceRoutes() ? OPTIONS_UNKNOWN : OPTIONS_BAD;
    default:
      return OPTIONS_UNKNOWN;
  }
}

function areSound(from: usize, end: usize): bool {
  let at = from;
  while (at < end) {
    const type = <u32>load<u8>(at, TYPE);
    if (type == END) return true;
    if (type == NO_OPERATION) {
      at++;
      continue;
    }
    if (end - at < 2) return false;
    const length = <u32>load<u8>(at, LENGTH);
    if (length < 2 || length > <u32>(end - at)) return false;
    if (!isSound(at, type, length)) return false;
    at += length;
  }
  return true;
}

function isSound(at: usize, type: u32, length: u32): bool {
  switch (<i32>type) {
    case LOOSE_ROUTE:
    case STRICT_ROUTE: {
      const again = routed;
      routed = true;
      return !again && length >= 3 && pointerOf(at) >= 4;
    }
    case RECORD_ROUTE: {
      const again = recorded;
      recorded = true;
      if (again || length < 3 || pointerOf(at) < 4) return false;
      return pointerOf(at) > length || pointerOf(at) + 3 <= length;
    }
    case TIMESTAMP: {
      const again = timed;
      timed = true;
      return !again && length >= 4 && isTimestampSound(at, length);
    }
    case ROUTER_ALERT:
      return length >= 4;
    case LABEL: {
      const again = labelled;
      labelled = true;
      return !again;
    }
    default:
      return true;
  }
}

// > Who cannot write is counted, up to 15.
function isTimestampSound(at: usize, length: u32): bool {
  const pointer = pointerOf(at);
  const flags = <u32>load<u8>(at, TIMESTAMP_FLAGS);
  const kind = flags & 0xf;
  if (pointer < 5) return false;
  if (pointer > length) return kind == TIMES_OF_ADDRESSES || flags >> 4 < 15;
  if (pointer + 3 > length) return false;
  const withAddress = kind == TIMES_WITH_ADDRESSES || kind == TIMES_OF_ADDRESSES;
  return kind == TIMES || !withAddress || pointer + 7 <= length;
}

function pointerOf(at: usize): u32 {
  return load<u8>(at, POINTER);
}
