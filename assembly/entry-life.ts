// How long conntrack entries live: the clock of packet time, deadlines, and room in the table.
// Source: semantics.md CT-9 and CT-10.
import {
  Entry,
  ENTRY_ASSURED,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_MASQUERADED,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SEEN_REPLY,
  ENTRY_SNAT,
  entryAt,
  entryCount,
  entryLimit,
  entryLinked,
  linkNode,
  NODE_BACKEND,
  NODE_CLIENT,
  NODE_ORIGINAL,
  NODE_ORIGINAL_SEEN,
  NODE_REPLY,
  NODE_REPLY_SEEN,
  removeEntry,
} from "./flow-table";

import { sctpTimeout } from "./sctp";

export const SECOND: u64 = 1000000000;
/** > nf_conntrack_udp_timeout_stream */
export const UDP_STREAM_SECONDS: u64 = 120;

let clock: u64 = 0;
let started: bool = false;
let startedAt: u64 = 0;
let entriesMax: u32 = 0;
let sweptAt: u64 = 0;

/** Sets the most entries. */
export function setUpEntryLife(max: u32): void {
  entriesMax = max;
}

/** Advances the clock; a timestamp that goes backwards never rewinds it. */
export function advanceClock(timestamp: u64): void {
  if (!started) {
    started = true;
    startedAt = timestamp;
    startEntries(timestamp);
  }
  if (timestamp > clock) clock = timestamp;
}

// Entries that are there before the first packet have had their seconds counted from it.
function startEntries(timestamp: u64): void {
  for (let number: u32 = 0; number < entryLimit(); number++) {
    const entry = entryAt(number);
    entry.deadline += timestamp;
    entry.started = timestamp > entry.started ? timestamp - entry.started : 0;
  }
}

/** The clock. */
export function now(): u64 {
  return clock;
}

/** Time since the capture's first packet. */
export function sinceStart(): u64 {
  return clock - startedAt;
}

/** Tells whether one more entry fits; expired ones make room. */
export function hasRoom(): bool {
  return entryCount() < entriesMax || sweep();
}

/** Hangs a new entry up under every tuple by which its packets can be met. */
export function linkEntry(number: u32): void {
  const entry = entryAt(number);
  linkNode(number, NODE_ORIGINAL);
  const portUnknown = (entry.flags & ENTRY_PORT_UNKNOWN) != 0;
  if (!portUnknown) linkNode(number, NODE_REPLY);
  if ((entry.flags & (ENTRY_DNAT | ENTRY_SNAT)) == 0) return;
  if (!portUnknown) linkNode(number, NODE_ORIGINAL_SEEN);
  linkNode(number, NODE_REPLY_SEEN);
  if ((entry.flags & ENTRY_GUESSED) != 0) linkNode(number, NODE_CLIENT);
  if (portUnknown || (entry.flags & ENTRY_MASQUERADED) != 0) linkNode(number, NODE_BACKEND);
}

/**
 * Renews an entry's deadline for the packet that was accepted; TCP has timeouts of its own.
 * > A first answer does not make it a stream yet.
 */
export function refresh(entry: Entry): void {
  const answered = (entry.flags & ENTRY_SEEN_REPLY) != 0 || entry.stateDoubted != 0;
  const udp = entry.protocol == 17 || entry.protocol == 136;
  const stream = udp ? clock > entry.started + 2 * SECOND : entry.protocol == 47;
  if (answered && stream) entry.flags |= ENTRY_ASSURED;
  refreshFor(entry, timeoutOf(entry, answered && stream));
}

/** Lets an entry live so many seconds from now on. */
export function refreshFor(entry: Entry, seconds: u32): void {
  entry.deadline = clock + <u64>seconds * SECOND;
}

/** Seconds that an entry lives after this packet. Source: semantics.md CT-9. */
export function timeoutOf(entry: Entry, stream: bool): u32 {
  switch (<i32>entry.protocol) {
    case 17:
    case 136:
      return stream ? <u32>UDP_STREAM_SECONDS : 30;
    case 1:
    case 58:
      return 30;
    case 132:
      return sctpTimeout(entry);
    case 47:
      return stream ? 180 : 30;
    default:
      return 600;
  }
}

// Removes what has expired; true when that made room. At most once a second of packet time.
function sweep(): bool {
  if (sweptAt != 0 && clock < sweptAt + SECOND) return false;
  sweptAt = clock;
  const before = entryCount();
  for (let number: u32 = 0; number < entryLimit(); number++) {
    const entry = entryAt(number);
    if (entryLinked(entry) && entry.deadline <= clock) removeEntry(number);
  }
  return entryCount() < before;
}
