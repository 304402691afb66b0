// A packet of a connection that has an entry: the entry moves on, before any rule is asked, and says which state
// the rules see. Source: Linux, net/netfilter/nf_conntrack_core.c; semantics.md section 9.
import { trackFirst } from "./conntrack-first";
import {
  Entry,
  ENTRY_MASQUERADED,
  ENTRY_MIDSTREAM,
  ENTRY_OPEN,
  ENTRY_SEEN_REPLY,
  ENTRY_STATE_DOUBTED,
  ENTRY_UNDECIDED,
  translationBits,
} from "./entry";
import { refresh, refreshDoubted } from "./entry-life";
import { entryAt } from "./entry-list";
import {
  answersItself,
  NODE_ORIGINAL_SEEN,
  NODE_REPLY,
  NODE_REPLY_SEEN,
  nodeEntry,
  nodeKind,
} from "./entry-tuples";
import { ask } from "./fork";
import {
  CT_ESTABLISHED,
  CT_NEW,
  KNOWN_TCP_FLAGS,
  REASON_DEADLINE,
  REASON_WINDOW,
  RULE_NONE,
} from "./layout";
import { Packet } from "./records";
import { isRealNode, severalNodes } from "./route";
import { moveSctp, SCTP_IS_INVALID, SCTP_IS_LOST, SCTP_MAY_BE_INVALID, SCTP_UNKNOWN } from "./sctp";
import { moveTcp, TCP_BELONGS, TCP_IS_LOST, TCP_MAY_BE_INVALID, TCP_REOPENS } from "./tcp-track";
import { DIRECTION_ORIGINAL, DIRECTION_REPLY, tracking } from "./tracking";
import { leaveEntryUndecided, tuplesOf } from "./tuples";
import { touchEntry } from "./worlds";

/** Tracks a packet of the entry that this node leads to. `seenBefore`: the capture has shown its flow already. */
export function trackKnown(packet: Packet, node: i64, seenBefore: bool): void {
  const number = nodeEntry(node);
  const kind = nodeKind(node);
  const entry = entryAt(number);
  touchEntry(number);
  const replies = kind == NODE_REPLY || kind == NODE_REPLY_SEEN || answersItself(entry);
  const direction = replies ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
  tracking.direction = direction;
  tracking.deadlineBefore = entry.deadline;
  if ((entry.flags & ENTRY_STATE_DOUBTED) != 0) {
    if (isRealNode()) trackDoubted(packet, number, kind, seenBefore);
    else trackPerhapsAnswered(number, kind);
    return;
  }
  if (entry.protocol == 6) {
    if ((packet.known & KNOWN_TCP_FLAGS) != 0) {
      const word = moveTcp(entry, packet, direction);
      if (word == TCP_REOPENS) {
        tracking.direction = DIRECTION_ORIGINAL;
        trackFirst(packet, seenBefore);
        return;
      }
      if (word == TCP_IS_LOST) leaveEntryUndecided(entry, REASON_WINDOW, RULE_NONE);
      else if (word == TCP_MAY_BE_INVALID) tracking.perhapsInvalid = true;
      else if (word != TCP_BELONGS) return doubtInvalid(number);
    }
  }
  if (entry.protocol == 132 && !trackSctp(entry, packet, direction)) return doubtInvalid(number);
  belongTo(number, kind);
  if (entry.protocol != 6 && entry.protocol != 132) refresh(entry);
  if (direction == DIRECTION_REPLY) entry.flags |= ENTRY_SEEN_REPLY;
  const answered = (entry.flags & ENTRY_SEEN_REPLY) != 0;
  tracking.state = (answered ? CT_ESTABLISHED : CT_NEW) | translationBits(entry);
}

// What tries left in different states may take a packet as any of them would.
function trackDoubted(packet: Packet, number: u32, kind: u32, seenBefore: bool): void {
  const entry = entryAt(number);
  const question = QUESTION_DOUBT | ((<u64>number) << 2);
  const reason: u32 = entry.reason;
  const undecidedRule = tuplesOf(entry).undecidedRule;
  const follows = entry.protocol == 6 || entry.protocol == 132;
  if (follows && !ask(question, reason, undecidedRule)) {
    // It is over, and the packet is a first one; or the packet does not fit.
    if (!ask(question | 1, reason, undecidedRule)) return;
    entry.deadline = 0;
    tracking.direction = DIRECTION_ORIGINAL;
    trackFirst(packet, seenBefore);
    return;
  }
  belongTo(number, kind);
  refreshDoubted(entry);
  const replies = tracking.direction == DIRECTION_REPLY;
  const answered =
    replies || (entry.flags & ENTRY_SEEN_REPLY) != 0 || ask(question | 2, reason, undecidedRule);
  tracking.state = (answered ? CT_ESTABLISHED : CT_NEW) | translationBits(entry);
  if (follows || !replies) return;
  // From here on all are alike.
  entry.flags |= ENTRY_SEEN_REPLY;
  entry.flags &= ~ENTRY_STATE_DOUBTED;
}

// One of several of a cluster with masqueraded sources, of which some were answered. It may stand in for another where
// the backend answers, but not where its own client does hear it.
function trackPerhapsAnswered(number: u32, kind: u32): void {
  const entry = entryAt(number);
  belongTo(number, kind);
  refreshDoubted(entry);
  tracking.state = CT_ESTABLISHED | translationBits(entry);
  tracking.perhapsAnswered = tracking.direction == DIRECTION_ORIGINAL;
  // Where only the time was doubted, any answer tells.
  const tells = entry.reason == <u8>REASON_DEADLINE && tracking.direction == DIRECTION_REPLY;
  if (kind != NODE_REPLY_SEEN && !tells) return;
  entry.flags |= ENTRY_SEEN_REPLY;
  entry.flags &= ~ENTRY_STATE_DOUBTED;
}

const QUESTION_DOUBT: u64 = 1 << 52;

function belongTo(number: u32, kind: u32): void {
  const entry = entryAt(number);
  tracking.entry = number;
  tracking.seenAfter = kind == NODE_ORIGINAL_SEEN || kind == NODE_REPLY_SEEN;
  tracking.midstream = (entry.flags & ENTRY_MIDSTREAM) != 0;
}

// What an undecided connection has no place for is only INVALID if the kernel has that connection at all; where the
// source was masqueraded, answers that the capture shows elsewhere may have moved it on.
function doubtInvalid(number: u32): void {
  const flags = entryAt(number).flags;
  if ((flags & ENTRY_UNDECIDED) != 0) tracking.entry = number;
  const answered = (flags & ENTRY_SEEN_REPLY) != 0;
  if (!answered && severalNodes() && (flags & (ENTRY_MASQUERADED | ENTRY_OPEN)) != 0) {
    tracking.answersSome = true;
  }
}

// Connections whose tags nobody saw, and packets whose chunks were not captured, are taken as they are.
function trackSctp(entry: Entry, packet: Packet, direction: u32): bool {
  if ((entry.flags & ENTRY_MIDSTREAM) != 0) {
    refresh(entry);
    return true;
  }
  const word = moveSctp(entry, packet, direction, false);
  if (word == SCTP_UNKNOWN) refresh(entry);
  if (word == SCTP_MAY_BE_INVALID) tracking.perhapsInvalid = true;
  if (word == SCTP_IS_LOST) leaveEntryUndecided(entry, REASON_WINDOW, RULE_NONE);
  return word != SCTP_IS_INVALID;
}
