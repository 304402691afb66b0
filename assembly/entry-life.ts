// How long conntrack entries live: deadlines, and room in the table.
// Source: semantics.md CT-9 and CT-10.
import { now, passTime, SECOND, startClock } from "./clock";
import {
  deadlineBetween,
  deadlineIn,
  deadlineOfBoth,
  isEndOpen,
  isOver,
  latestOf,
} from "./deadline";
import {
  Entry,
  ENTRY_ASSURED,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_MASQUERADED,
  ENTRY_OPEN,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SEEN_REPLY,
  ENTRY_SNAT,
  ENTRY_STATE_DOUBTED,
  entryLinked,
  firstStartOf,
  isUdp,
  lastStartOf,
  setStarted,
} from "./entry";
import { entryAt, entryCount, entryLimit } from "./entry-list";
import {
  NODE_BACKEND,
  NODE_CLIENT,
  NODE_ORIGINAL,
  NODE_ORIGINAL_SEEN,
  NODE_REPLY,
  NODE_REPLY_SEEN,
  NODE_SOURCE,
} from "./entry-tuples";
import { linkNode, removeEntry, unlinkNode } from "./flow-table";
import {
  FULL_PART,
  SHARE_FULL,
  TIMEOUT_GENERIC,
  TIMEOUT_GRE,
  TIMEOUT_GRE_STREAM,
  TIMEOUT_ICMP,
  TIMEOUT_ICMPV6,
  TIMEOUT_UDP,
  TIMEOUT_UDP_STREAM,
} from "./layout";
import { TICK_SLACK } from "./match/bucket";
import { sctpTimeout } from "./sctp-lifetime";
import { needWhole } from "./share";
import { TCP_ESTABLISHED } from "./tcp";
import { tcpTimeoutSeconds } from "./tcp-lifetime";
import { tuplesOf } from "./tuples";

// u32[]: seconds that entries live, from TIMEOUT_UDP on.
const TIMEOUT_SECONDS: usize = memory.data<u32>([30, 120, 30, 30, 30, 180, 600]);

/** Sets a timeout of TIMEOUT_*, from TIMEOUT_UDP on, seconds. */
export function setEntryTimeout(index: u32, seconds: u32): void {
  store<u32>(timeoutAt(index), seconds);
}

/** Seconds that an answered UDP flow lives. */
export function streamSeconds(): u64 {
  return timeout(TIMEOUT_UDP_STREAM);
}

function timeout(index: u32): u32 {
  return load<u32>(timeoutAt(index));
}

function timeoutAt(index: u32): usize {
  return TIMEOUT_SECONDS + ((<usize>(index - TIMEOUT_UDP)) << 2);
}

let entriesMax: u32 = 0;
let sweptAt: u64 = 0;
let swept: u32 = 0;
let refused: bool = false;

/** Sets the most entries. */
export function setUpEntryLife(max: u32): void {
  entriesMax = max;
}

/** Advances the clock to a packet, the first one or another. */
export function advanceClock(timestamp: u64): void {
  if (startClock(timestamp)) startEntries(timestamp);
  passTime(timestamp);
}

// Entries that are there before the first packet have had their times counted from it.
function startEntries(timestamp: u64): void {
  for (let number: u32 = 0; number < entryLimit(); number++) {
    const entry = entryAt(number);
    const latest = timestamp + entry.deadline;
    entry.deadline = deadlineBetween(latest - SECOND, latest);
    const first = firstStartOf(entry);
    const last = lastStartOf(entry);
    setStarted(entry, timestamp - min(first, timestamp), timestamp - min(last, timestamp));
  }
}

/** Tells whether one more entry fits; expired ones make room. Remembers that one did not. */
export function hasRoom(): bool {
  if (entryCount() < entriesMax || sweep()) return true;
  needWhole(SHARE_FULL);
  refused = true;
  return false;
}

/** A connection did not fit: the kernel dropped its first packet, or another connection for it. */
export function refusedBefore(): bool {
  return refused;
}

/** Hangs a new entry up under every tuple by which its packets can be met. */
export function linkEntry(number: u32): void {
  const entry = entryAt(number);
  linkNode(number, NODE_ORIGINAL);
  const portUnknown = (entry.flags & ENTRY_PORT_UNKNOWN) != 0;
  if (!portUnknown) linkNode(number, NODE_REPLY);
  if ((entry.flags & (ENTRY_DNAT | ENTRY_SNAT)) == 0) return;
  if ((entry.flags & ENTRY_SNAT) != 0) linkNode(number, NODE_SOURCE);
  if (!portUnknown) linkNode(number, NODE_ORIGINAL_SEEN);
  linkNode(number, NODE_REPLY_SEEN);
  if ((entry.flags & ENTRY_GUESSED) != 0) linkNode(number, NODE_CLIENT);
  if (portUnknown || (entry.flags & ENTRY_MASQUERADED) != 0) linkNode(number, NODE_BACKEND);
}

/**
 * Says that nobody knows how an undecided connection is translated: what answers it comes from its
 * destination to any port, or from anywhere to its source.
 */
export function hideTranslation(number: u32): void {
  const entry = entryAt(number);
  unlinkNode(number, NODE_SOURCE);
  unlinkNode(number, NODE_BACKEND);
  entry.flags |= ENTRY_MASQUERADED | ENTRY_PORT_UNKNOWN;
  tuplesOf(entry).portFirst = 0;
  tuplesOf(entry).portLast = 0xffff;
  linkNode(number, NODE_SOURCE);
  linkNode(number, NODE_BACKEND);
}

/**
 * Says that nobody knows to which backend an undecided connection was sent, nor, where it may have been masqueraded,
 * with which address.
 */
export function openEntry(number: u32, masqueraded: bool): void {
  const entry = entryAt(number);
  unlinkNode(number, NODE_CLIENT);
  linkNode(number, NODE_CLIENT);
  if (!masqueraded) return;
  unlinkNode(number, NODE_BACKEND);
  entry.flags |= ENTRY_MASQUERADED | ENTRY_OPEN;
  linkNode(number, NODE_BACKEND);
}

/**
 * Renews an entry's deadline for the packet that was accepted; TCP has timeouts of its own.
 * > A first answer does not make it a stream yet.
 */
export function refresh(entry: Entry): void {
  const word = min(answeredWord(entry), streamWord(entry));
  if (word == PERHAPS) {
    // So is, then, whether it is assured: isPerhapsAssured.
    const one = deadlineIn(timeoutOf(entry, false));
    const other = deadlineIn(timeoutOf(entry, true));
    if (one == other) entry.deadline = deadlineBetween(one, latestOf(one) + SECOND);
    else entry.deadline = deadlineOfBoth(one, other);
    return;
  }
  if (word == SURELY) entry.flags |= ENTRY_ASSURED;
  refreshFor(entry, timeoutOf(entry, word == SURELY));
}

const NEVER: u32 = 0;
const PERHAPS: u32 = 1;
const SURELY: u32 = 2;

function answeredWord(entry: Entry): u32 {
  if ((entry.flags & ENTRY_SEEN_REPLY) != 0) return SURELY;
  return (entry.flags & ENTRY_STATE_DOUBTED) != 0 ? PERHAPS : NEVER;
}

// > Still active after two seconds? Extend timeout. Source: nf_conntrack_proto_udp.c, nf_conntrack_udp_packet().
function streamWord(entry: Entry): u32 {
  if (!isUdp(entry)) return entry.protocol == 47 ? SURELY : NEVER;
  if (now() > lastStartOf(entry) + STREAM_AFTER + TICK_SLACK) return SURELY;
  return now() + TICK_SLACK > firstStartOf(entry) + STREAM_AFTER ? PERHAPS : NEVER;
}

const STREAM_AFTER: u64 = 2 * SECOND;

/** Whether a flow without ENTRY_ASSURED is a stream, the last packet left open. */
export function isPerhapsAssured(entry: Entry): bool {
  return (entry.flags & ENTRY_ASSURED) == 0 && isUdp(entry) && isEndOpen(entry);
}

/** Lets an entry live so many seconds from now on. */
export function refreshFor(entry: Entry, seconds: u32): void {
  entry.deadline = deadlineIn(seconds);
}

/** Lets an entry whose state is not known live as long as in the state in which it lives longest. */
export function refreshDoubted(entry: Entry): void {
  if (entry.protocol == 6 || entry.protocol == 132)
    refreshFor(entry, tcpTimeoutSeconds(TCP_ESTABLISHED));
  else refresh(entry);
}

/** Seconds that an entry lives after this packet. Source: semantics.md CT-9. */
export function timeoutOf(entry: Entry, stream: bool): u32 {
  switch (<i32>entry.protocol) {
    case 17:
    case 136:
      return timeout(stream ? TIMEOUT_UDP_STREAM : TIMEOUT_UDP);
    case 1:
      return timeout(TIMEOUT_ICMP);
    case 58:
      return timeout(TIMEOUT_ICMPV6);
    case 132:
      return sctpTimeout(entry.tcpState);
    case 47:
      return timeout(stream ? TIMEOUT_GRE_STREAM : TIMEOUT_GRE);
    default:
      return timeout(TIMEOUT_GENERIC);
  }
}

// Removes what has expired; true when that made room. Where it made little, at most once a second of packet
// time: whoever has fewer connections than FULL_PART leaves free is never refused.
function sweep(): bool {
  const much = max(entriesMax / FULL_PART, 1);
  if (sweptAt != 0 && now() < sweptAt + SECOND && swept < much) return false;
  sweptAt = now();
  const before = entryCount();
  for (let number: u32 = 0; number < entryLimit(); number++) {
    const entry = entryAt(number);
    if (entryLinked(entry) && isOver(entry)) removeEntry(number);
  }
  swept = before - entryCount();
  return swept > 0;
}
