// One datagram that comes in fragments: where each of them belongs, what is put together and what is
// discarded, by the kernel's rules.
// Source: Linux, inet_fragment.c, inet_frag_queue_insert(); ip_fragment.c, ip_frag_queue() and
// ip_frag_reasm(); nf_conntrack_reasm.c, nf_ct_frag6_queue(); semantics.md section 10.
import { Fragment, fragmentAt, FRAGMENT_NONE } from "./fragment";
import { Packet } from "./records";
import { piece } from "./piece";

@unmanaged
export class Datagram {
  /** What tells datagrams apart, with `ipId`, `family`, `protocol` (IPv4), `seen` and `atInput`. */
  src: v128;
  dst: v128;
  ipId: u32;
  family: u8;
  protocol: u8;
  /** One of SEEN_*. */
  seen: u8;
  /** Put together for the node itself, behind PREROUTING. */
  atInput: bool;
  /** The next of its bucket or of the free ones, plus one. */
  next: u32;
  used: bool;
  /** The fragments with the first and the last byte are there. */
  hasFirst: bool;
  hasLast: bool;
  /** A bit for each of the four ECN codes that its fragments have. */
  ecn: u8;
  /** When the kernel gives it up, and behind which packet its verdict cannot be waited for. */
  deadline: u64;
  lastNumber: u64;
  /** Its fragments, in the order in which they came; FRAGMENT_NONE: none. */
  fragments: u32;
  lastFragment: u32;
  /** The fragment with the first byte. */
  first: u32;
  /** Ranges that came in one piece after the other; the last of them by place. */
  runs: u32;
  lastRun: u32;
  /** How long it is as far as known, and how much of that is there. */
  length: u32;
  gathered: u32;
  /** Bytes from the start that the capture shows without a gap. */
  captured: u32;
  /** IP headers in front of the first fragment's bytes. */
  headers: u32;
  /** The longest fragment, and the longest one that may not be fragmented further. */
  longest: u32;
  longestWhole: u32;
  /** Room for the frame that it becomes (reassembly.ts); 0 until it is first needed. */
  room: u32;
  /** The mark that its first fragment came with. */
  mark: u32;
  markUnknown: u32;
}

/** The fragment waits for others. */
export const PIECE_WAITS: u32 = 0;
/** The datagram is complete. */
export const PIECE_COMPLETES: u32 = 1;
/** Its bytes are there already. */
export const PIECE_REPEATS: u32 = 2;
/** The fragment is discarded; the others wait on. */
export const PIECE_IS_DISCARDED: u32 = 3;
/** All of the datagram's fragments are discarded. */
export const PIECE_DISCARDS_ALL: u32 = 4;
/** The fragment is left as it is; the others are discarded. */
export const PIECE_STANDS_ALONE: u32 = 5;

const LENGTH_MAX: u32 = 65535;

/**
 * Puts the fragment of `piece` in its place; one of PIECE_*.
 *
 * @param number its record
 */
export function placePiece(datagram: Datagram, packet: Packet, number: u32): u32 {
  const six = packet.family == 6;
  if (six && piece.end > LENGTH_MAX) return PIECE_IS_DISCARDED;
  const wrong = six ? PIECE_IS_DISCARDED : PIECE_DISCARDS_ALL;
  let end = piece.end;
  if (!piece.more) {
    if (end < datagram.length) return wrong;
    if (datagram.hasLast && end != datagram.length) return wrong;
    datagram.hasLast = true;
    datagram.length = end;
  } else {
    if (six && (end & 7) != 0) return PIECE_STANDS_ALONE;
    end &= ~7;
    if (end > datagram.length) {
      if (datagram.hasLast) return wrong;
      datagram.length = end;
    }
  }
  if (end == piece.offset) return wrong;
  const fits = insert(datagram, number, piece.offset, end);
  if (fits != PIECE_WAITS) return fits;
  datagram.gathered += end - piece.offset;
  datagram.ecn |= <u8>(1 << (packet.tos & 3));
  if (piece.offset == 0) {
    datagram.hasFirst = true;
    datagram.first = number;
    datagram.headers = piece.headers;
  }
  const complete = datagram.hasFirst && datagram.hasLast && datagram.gathered == datagram.length;
  if (!complete) return PIECE_WAITS;
  return isSound(datagram) ? PIECE_COMPLETES : PIECE_DISCARDS_ALL;
}

// > Duplicates are ignored; an overlap discards the whole datagram (RFC 5722, section 4).
function insert(datagram: Datagram, number: u32, offset: u32, end: u32): u32 {
  const last = datagram.lastRun;
  if (last == FRAGMENT_NONE) return startRun(datagram, number, offset, end, true);
  const lastEnd = fragmentAt(last).runEnd;
  if (end > lastEnd) {
    if (offset < lastEnd) return PIECE_DISCARDS_ALL;
    if (offset > lastEnd) return startRun(datagram, number, offset, end, true);
    fragmentAt(last).runEnd = end;
    return PIECE_WAITS;
  }
  for (let at = datagram.runs; at != FRAGMENT_NONE; at = fragmentAt(at).nextRun) {
    const run = fragmentAt(at);
    if (end <= run.runStart || offset >= run.runEnd) continue;
    return offset >= run.runStart && end <= run.runEnd ? PIECE_REPEATS : PIECE_DISCARDS_ALL;
  }
  return startRun(datagram, number, offset, end, false);
}

function startRun(datagram: Datagram, number: u32, offset: u32, end: u32, last: bool): u32 {
  const run: Fragment = fragmentAt(number);
  run.runStart = offset;
  run.runEnd = end;
  run.nextRun = datagram.runs;
  datagram.runs = number;
  if (last) datagram.lastRun = number;
  return PIECE_WAITS;
}

// What is checked when all is there.
function isSound(datagram: Datagram): bool {
  // > In IPv6 the fragment header goes, and the payload is what is behind the IP header.
  const length = datagram.headers + datagram.length - (datagram.family == 6 ? 48 : 0);
  return length <= LENGTH_MAX && isEcnSound(datagram.ecn);
}

// > Fragments that are not ECN-capable do not go with others (RFC 3168, section 5.3).
function isEcnSound(ecn: u8): bool {
  return (ecn & 1) == 0 || ecn == 1;
}

/** What the type of service becomes: congestion that one fragment met, all have met. */
export function reassembledTos(datagram: Datagram, tos: u32): u32 {
  return (datagram.ecn & 8) != 0 ? tos | 3 : tos;
}
