// SCTP and its connection: chunks move a table of states, verification tags say which side speaks.
// Source: RFC 9260; Linux, nf_conntrack_proto_sctp.c.
import { Entry, ENTRY_ASSURED, lastDirectionOf, setLast } from "./entry";
import { refreshFor } from "./entry-life";
import { Packet } from "./records";
import { sctpTimeout } from "./sctp-lifetime";

/** The packet belongs to its connection. */
export const SCTP_BELONGS: u32 = 0;
export const SCTP_IS_INVALID: u32 = 1;
/** The capture does not show all chunks. */
export const SCTP_UNKNOWN: u32 = 2;
/** It belongs to its connection or is invalid: the tags, which are not known, decide. */
export const SCTP_MAY_BE_INVALID: u32 = 3;
/** As before, and it would move the connection on. */
export const SCTP_IS_LOST: u32 = 4;

const CHUNK_DATA: u32 = 0;
const CHUNK_INIT: u32 = 1;
const CHUNK_INIT_ACK: u32 = 2;
const CHUNK_HEARTBEAT: u32 = 4;
const CHUNK_HEARTBEAT_ACK: u32 = 5;
const CHUNK_ABORT: u32 = 6;
const CHUNK_SHUTDOWN: u32 = 7;
const CHUNK_SHUTDOWN_ACK: u32 = 8;
const CHUNK_ERROR: u32 = 9;
const CHUNK_COOKIE_ECHO: u32 = 10;
const CHUNK_COOKIE_ACK: u32 = 11;
const CHUNK_SHUTDOWN_COMPLETE: u32 = 14;

const HEADER: u32 = 12;
const CHUNK_HEADER: u32 = 4;
const INIT_SIZE: u32 = 16;
/** T: the tag is the other side's. */
const FLAG_T: u8 = 1;

const STATE_NONE: u32 = 0;
const STATE_CLOSED: u32 = 1;
const STATE_ESTABLISHED: u32 = 4;
const STATE_INVALID: u32 = 9;
const STATES: u32 = 9;
const CLASSES: u32 = 11;
const CLASS_NONE: u32 = 255;

// u8[2][11][9]: next state by direction, class and state. Classes: init, init ack, abort, shutdown,
// shutdown ack, error, cookie echo, cookie ack, shutdown complete, heartbeat, heartbeat ack. States:
// none, closed, cookie wait, cookie echoed, established, shutdown sent, received, ack sent, heartbeat sent.
const NEXT: usize = memory.data<u8>([
  // original
  1, 1, 2, 3, 4, 1, 1, 7, 2, 1, 1, 2, 3, 4, 5, 6, 7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 5,
  6, 7, 1, 7, 1, 2, 3, 4, 7, 7, 7, 7, 1, 1, 2, 3, 4, 5, 6, 7, 1, 1, 1, 3, 3, 4, 5, 6, 7, 1, 1, 1, 2,
  4, 4, 5, 6, 7, 1, 1, 1, 2, 3, 4, 5, 6, 1, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 2, 3, 4, 5, 6, 7, 8,
  // reply
  9, 1, 2, 3, 4, 5, 6, 7, 9, 9, 2, 2, 3, 4, 5, 6, 7, 9, 9, 1, 1, 1, 1, 1, 1, 1, 9, 9, 1, 2, 3, 6, 5,
  6, 7, 9, 9, 1, 2, 3, 4, 7, 7, 7, 9, 9, 1, 2, 1, 4, 5, 6, 7, 9, 9, 1, 3, 3, 4, 5, 6, 7, 9, 9, 1, 2,
  4, 4, 5, 6, 7, 9, 9, 1, 2, 3, 4, 5, 6, 1, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 4,
]);

// Entry.lastFlags of an SCTP connection.
const HEARTBEAT_FAILED: u8 = 1;
/** An INIT was seen in the original direction, in the reply direction. */
const INIT_ORIGINAL: u8 = 2;
const INIT_REPLY: u8 = 4;
/** The tag of the original direction, of the reply direction, is not known. */
const TAG_UNTOLD_ORIGINAL: u8 = 8;
const TAG_UNTOLD_REPLY: u8 = 16;

// A tag that is not known had to fit.
let tagAssumed: bool = false;

// Types of the chunks that a packet has: of those below 64, which are all that is asked for.
let types: u64 = 0;

/** Takes a connection as the kernel had it when the capture began: its tags are not known. */
export function assumeSctp(entry: Entry): void {
  entry.tcpState = <u8>STATE_ESTABLISHED;
  entry.flags |= ENTRY_ASSURED;
}

/** Takes a connection that the node's dump has: its state is known, its tags are not. */
export function recallSctp(entry: Entry, state: u32): void {
  entry.tcpState = <u8>state;
  entry.lastFlags = TAG_UNTOLD_ORIGINAL | TAG_UNTOLD_REPLY;
}

/**
 * Moves a connection on by a packet.
 *
 * @param fresh the packet is the connection's first
 * @returns one of SCTP_*
 */
export function moveSctp(entry: Entry, packet: Packet, direction: u32, fresh: bool): u32 {
  const length = transportLength(packet);
  if (length < HEADER) return SCTP_IS_INVALID;
  tagAssumed = false;
  const word = lookAtChunks(packet, length);
  if (word != SCTP_BELONGS) return word;
  if (fresh) {
    // > Out of the blue, these are discarded (RFC 9260, section 8.4).
    if (has(CHUNK_ABORT) || has(CHUNK_SHUTDOWN_COMPLETE) || has(CHUNK_COOKIE_ACK))
      return SCTP_IS_INVALID;
    if (!startSctp(entry, packet, length)) return SCTP_IS_INVALID;
  }
  const exempt =
    has(CHUNK_INIT) ||
    has(CHUNK_SHUTDOWN_COMPLETE) ||
    has(CHUNK_COOKIE_ECHO) ||
    has(CHUNK_ABORT) ||
    has(CHUNK_SHUTDOWN_ACK) ||
    has(CHUNK_HEARTBEAT) ||
    has(CHUNK_HEARTBEAT_ACK);
  if (!exempt && !isTag(entry, direction, tagOf(packet))) return SCTP_IS_INVALID;
  let renews = true;
  let state = STATE_NONE;
  const before = entry.tcpState;
  for (let at = HEADER; at + CHUNK_HEADER <= length; at += chunkStep(packet, at)) {
    const type = chunkType(packet, at);
    const tag = checkTag(entry, packet, at, direction, renews);
    if (tag == TAG_WRONG) return SCTP_IS_INVALID;
    if (tag == TAG_LEFT_ASIDE) {
      renews = false;
      continue;
    }
    const old: u32 = entry.tcpState;
    state = nextState(direction, type, old);
    if (state == STATE_INVALID) return SCTP_IS_INVALID;
    if (type == CHUNK_INIT) {
      if (at + CHUNK_HEADER + INIT_SIZE > length) return SCTP_IS_INVALID;
      if (fresh || initTag(packet, at) != entryTag(entry, direction ^ 1))
        noteInit(entry, direction);
      setEntryTag(entry, direction ^ 1, initTag(packet, at));
      // > A repeated INIT does not keep a closed connection alive.
      if (state == STATE_CLOSED && old == STATE_CLOSED && !fresh) renews = false;
    } else if (type == CHUNK_INIT_ACK) {
      if (at + CHUNK_HEADER + INIT_SIZE > length) return SCTP_IS_INVALID;
      if (!takesInitAck(entry, direction, initTag(packet, at))) return SCTP_IS_INVALID;
      setEntryTag(entry, direction ^ 1, initTag(packet, at));
    }
    entry.tcpState = <u8>state;
    if (state != old && state == STATE_ESTABLISHED) entry.flags |= ENTRY_ASSURED;
  }
  if (renews) refreshFor(entry, sctpTimeout(state));
  if (!tagAssumed) return SCTP_BELONGS;
  return entry.tcpState == before ? SCTP_MAY_BE_INVALID : SCTP_IS_LOST;
}

// Checks which chunks stand together, and collects their types.
function lookAtChunks(packet: Packet, length: u32): u32 {
  types = 0;
  let count: u32 = 0;
  let alone = false;
  for (let at = HEADER; at + CHUNK_HEADER <= length; count++) {
    if (!isCaptured(packet, at + CHUNK_HEADER)) return SCTP_UNKNOWN;
    const type = chunkType(packet, at);
    if (type == CHUNK_INIT || type == CHUNK_INIT_ACK) {
      if (
        at + CHUNK_HEADER + INIT_SIZE <= length &&
        !isCaptured(packet, at + CHUNK_HEADER + INIT_SIZE)
      ) {
        return SCTP_UNKNOWN;
      }
    }
    if (type == CHUNK_INIT || type == CHUNK_INIT_ACK || type == CHUNK_SHUTDOWN_COMPLETE)
      alone = true;
    const first = alone || type == CHUNK_COOKIE_ACK || type == CHUNK_COOKIE_ECHO;
    if (first && count != 0) return SCTP_IS_INVALID;
    const step = chunkStep(packet, at);
    if (chunkLength(packet, at) == 0) return SCTP_IS_INVALID;
    if (type < 64) types |= (<u64>1) << type;
    at += step;
  }
  return count == 0 ? SCTP_IS_INVALID : SCTP_BELONGS;
}

// The first packet: may it begin a connection, and which tags does it tell?
function startSctp(entry: Entry, packet: Packet, length: u32): bool {
  for (let at = HEADER; at + CHUNK_HEADER <= length; at += chunkStep(packet, at)) {
    const type = chunkType(packet, at);
    const state = nextState(0, type, STATE_NONE);
    if (state == STATE_NONE || state == STATE_INVALID) return false;
    if (type == CHUNK_INIT) {
      if (tagOf(packet) != 0 || at + CHUNK_HEADER + INIT_SIZE > length) return false;
      setEntryTag(entry, 1, initTag(packet, at));
    } else if (type == CHUNK_HEARTBEAT) {
      setEntryTag(entry, 0, tagOf(packet));
    } else if (type == CHUNK_SHUTDOWN_ACK) {
      // > Out of the blue, it is answered with its own tag (RFC 9260, section 8.4).
      setEntryTag(entry, 1, tagOf(packet));
    }
  }
  return true;
}

const TAG_FITS: u32 = 0;
const TAG_WRONG: u32 = 1;
/** A heartbeat with another tag: the connection stays as it is. */
const TAG_LEFT_ASIDE: u32 = 2;

// Source: RFC 9260, section 8.5.1.
function checkTag(entry: Entry, packet: Packet, at: u32, direction: u32, renews: bool): u32 {
  const tag = tagOf(packet);
  const own = entryTag(entry, direction);
  switch (<i32>chunkType(packet, at)) {
    case CHUNK_INIT:
      return tag == 0 ? TAG_FITS : TAG_WRONG;
    case CHUNK_ABORT:
    case CHUNK_SHUTDOWN_COMPLETE: {
      const reflected = (load<u8>(packet.transport + at, 1) & FLAG_T) != 0;
      const wanted = reflected ? direction ^ 1 : direction;
      return isTag(entry, wanted, tag) ? TAG_FITS : TAG_WRONG;
    }
    case CHUNK_COOKIE_ECHO:
      return isTag(entry, direction, tag) ? TAG_FITS : TAG_WRONG;
    case CHUNK_COOKIE_ACK:
      entry.lastFlags &= ~(INIT_ORIGINAL | INIT_REPLY);
      return TAG_FITS;
    case CHUNK_HEARTBEAT:
      if (own == 0 && !isTagUntold(entry, direction)) {
        setEntryTag(entry, direction, tag);
      } else if (!isTag(entry, direction, tag)) {
        if (has(CHUNK_DATA) || !renews) return TAG_WRONG;
        entry.lastFlags |= HEARTBEAT_FAILED;
        setLast(entry, direction, 0);
        return TAG_LEFT_ASIDE;
      } else {
        entry.lastFlags &= ~HEARTBEAT_FAILED;
      }
      return TAG_FITS;
    case CHUNK_HEARTBEAT_ACK:
      if (own == 0 && !isTagUntold(entry, direction)) {
        setEntryTag(entry, direction, tag);
      } else if (!isTag(entry, direction, tag)) {
        if (has(CHUNK_DATA) || !renews) return TAG_WRONG;
        const failed = (entry.lastFlags & HEARTBEAT_FAILED) != 0;
        if (!failed || lastDirectionOf(entry) == direction) return TAG_WRONG;
        entry.lastFlags &= ~HEARTBEAT_FAILED;
        setEntryTag(entry, direction, tag);
        setEntryTag(entry, direction ^ 1, 0);
      } else {
        entry.lastFlags &= ~HEARTBEAT_FAILED;
      }
      return TAG_FITS;
    default:
      return TAG_FITS;
  }
}

// > One that tells the tag already known is a stale or a repeated one, and is not noted.
function noteInit(entry: Entry, direction: u32): void {
  const here = initSeen(direction);
  const there = initSeen(direction ^ 1);
  if ((entry.lastFlags & here) != 0) entry.lastFlags &= ~there;
  entry.lastFlags |= here;
}

function initSeen(direction: u32): u8 {
  return direction == 0 ? INIT_ORIGINAL : INIT_REPLY;
}

// > An INIT ACK has to name the tag that is known already, unless an INIT of the other side changed it.
function takesInitAck(entry: Entry, direction: u32, tag: u32): bool {
  const here = (entry.lastFlags & initSeen(direction)) != 0;
  const there = (entry.lastFlags & initSeen(direction ^ 1)) != 0;
  const known = entryTag(entry, direction ^ 1);
  if (isTagUntold(entry, direction ^ 1)) {
    tagAssumed = true;
    return true;
  }
  if (!there && known != 0 && known != tag) return false;
  return !(here && there && known != tag);
}

function nextState(direction: u32, type: u32, state: u32): u32 {
  const chunkClass = classOf(type);
  // > Other chunks do not change the state.
  if (chunkClass == CLASS_NONE) return state;
  return load<u8>(NEXT + <usize>((direction * CLASSES + chunkClass) * STATES + state));
}

function classOf(type: u32): u32 {
  switch (<i32>type) {
    case CHUNK_INIT:
      return 0;
    case CHUNK_INIT_ACK:
      return 1;
    case CHUNK_ABORT:
      return 2;
    case CHUNK_SHUTDOWN:
      return 3;
    case CHUNK_SHUTDOWN_ACK:
      return 4;
    case CHUNK_ERROR:
      return 5;
    case CHUNK_COOKIE_ECHO:
      return 6;
    case CHUNK_COOKIE_ACK:
      return 7;
    case CHUNK_SHUTDOWN_COMPLETE:
      return 8;
    case CHUNK_HEARTBEAT:
      return 9;
    case CHUNK_HEARTBEAT_ACK:
      return 10;
    default:
      return CLASS_NONE;
  }
}

function has(type: u32): bool {
  return (types & ((<u64>1) << type)) != 0;
}

// Tags of the two directions are where TCP has its last numbers.
function entryTag(entry: Entry, direction: u32): u32 {
  return direction == 0 ? entry.lastSeq : entry.lastAck;
}

/** Tells whether a packet has the tag of a connection's direction; where it is not known, it may be any. */
export function mayHaveTag(entry: Entry, packet: Packet, direction: u32): bool {
  return isTagUntold(entry, direction) || tagOf(packet) == entryTag(entry, direction);
}

// A tag that is not known may be any.
function isTag(entry: Entry, direction: u32, tag: u32): bool {
  if (!isTagUntold(entry, direction)) return tag == entryTag(entry, direction);
  tagAssumed = true;
  return true;
}

function isTagUntold(entry: Entry, direction: u32): bool {
  return (entry.lastFlags & tagUntold(direction)) != 0;
}

function tagUntold(direction: u32): u8 {
  return direction == 0 ? TAG_UNTOLD_ORIGINAL : TAG_UNTOLD_REPLY;
}

function setEntryTag(entry: Entry, direction: u32, tag: u32): void {
  entry.lastFlags &= ~tagUntold(direction);
  if (direction == 0) entry.lastSeq = tag;
  else entry.lastAck = tag;
}

function tagOf(packet: Packet): u32 {
  return load<u32>(packet.transport, 4);
}

function initTag(packet: Packet, at: u32): u32 {
  return load<u32>(packet.transport + at, CHUNK_HEADER);
}

function chunkType(packet: Packet, at: u32): u32 {
  return load<u8>(packet.transport + at);
}

function chunkLength(packet: Packet, at: u32): u32 {
  return bswap<u16>(load<u16>(packet.transport + at, 2));
}

function chunkStep(packet: Packet, at: u32): u32 {
  return (chunkLength(packet, at) + 3) & ~3;
}

function isCaptured(packet: Packet, size: u32): bool {
  if (packet.transport == 0 || packet.transport > packet.end) return false;
  return packet.end - packet.transport >= size;
}

// By the IP lengths; as much as the text says where there are no bytes.
function transportLength(packet: Packet): u32 {
  if (packet.transport == 0) return 0xffff;
  const before = packet.transport - packet.network;
  return packet.ipLength > before ? packet.ipLength - before : 0;
}
