// What connection tracking means for the walk: the state that rules see, and the addresses with which a
// translated connection's packet entered its first hook.
import { attempt, end } from "./attempt";
import {
  Entry,
  ENTRY_DNAT,
  ENTRY_MARK_DOUBTED,
  ENTRY_MASQUERADED,
  ENTRY_SNAT,
  ENTRY_UNDECIDED,
} from "./entry";
import { entryAt } from "./entry-list";
import { ask } from "./fork";
import {
  CT_ESTABLISHED,
  CT_INVALID,
  CT_NEW,
  CT_RELATED,
  REASON_ANSWERED,
  REASON_BACKEND,
  REASON_CONNTRACK_FULL,
  REASON_DEADLINE,
  REASON_NO_CHUNKS,
  REASON_NO_ICMP,
  REASON_NO_TCP_FLAGS,
  REASON_WINDOW,
  RULE_NONE,
  VERDICT_UNKNOWN,
} from "./layout";
import { hasPorts, PROTOCOL_SCTP, PROTOCOL_TCP } from "./protocol";
import { isIcmpError } from "./quote";
import { Packet } from "./records";
import { DIRECTION_REPLY, ENTRY_NONE, tracking, trackNothing } from "./tracking";
import { markOf, Tuples, tuplesOf } from "./tuples";
import { Walk, walk } from "./walk";

const QUESTION_STATE: u64 = 1 << 60;
const QUESTION_INHERITED: u64 = 1 << 59;

/** The state that rules see; asks where the packet does not show it. */
export function stateOfPacket(): u32 {
  if (tracking.perhapsInvalid && ask(QUESTION_STATE, REASON_WINDOW, RULE_NONE)) trackNothing();
  if (tracking.entry != ENTRY_NONE) {
    const entry = entryAt(tracking.entry);
    walk.connectionMark = markOf(entry);
    walk.connectionMarkUnknown = (entry.flags & ENTRY_MARK_DOUBTED) == 0 ? 0 : 0xffffffff;
  }
  if (tracking.quoteMissing) {
    return ask(QUESTION_STATE, REASON_NO_ICMP, RULE_NONE) ? CT_RELATED : CT_INVALID;
  }
  if (tracking.perhapsAnswered && !ask(QUESTION_STATE, reasonOfAnswers(), RULE_NONE))
    return (tracking.state & ~(<u32>CT_ESTABLISHED)) | CT_NEW;
  if (!tracking.ambiguous) return tracking.state;
  return ask(QUESTION_STATE, reasonOfState(), RULE_NONE) ? CT_ESTABLISHED : CT_NEW;
}

// What a text does not show of the packet.
function reasonOfState(): u32 {
  if (walk.protocol == PROTOCOL_TCP) return REASON_NO_TCP_FLAGS;
  return walk.protocol == PROTOCOL_SCTP ? REASON_NO_CHUNKS : REASON_NO_ICMP;
}

/**
 * Asks for the state of an error that the node itself sends, of whose connection nothing is known: it may
 * answer a packet that was refused.
 * > It has that packet's connection, which nobody keeps. Source: Linux, nf_conntrack_attach(),
 * > icmp_glue_bits().
 */
export function inheritState(packet: Packet): void {
  if (walk.ctState != CT_INVALID || !isIcmpError(packet)) return;
  if (!ask(QUESTION_INHERITED, REASON_ANSWERED, RULE_NONE)) return;
  walk.ctState = CT_RELATED;
  walk.connectionMarkUnknown = 0xffffffff;
}

// Which of several the backend answers, or whether the answered one was over.
function reasonOfAnswers(): u32 {
  const entry = entryAt(tracking.entry);
  return entry.reason == <u8>REASON_DEADLINE ? REASON_DEADLINE : REASON_BACKEND;
}

/**
 * Gives the walk the addresses with which a translated connection's packet enters its first hook: what
 * the capture shows may be those behind the last one. Source: semantics.md N-6 and N-8.
 */
export function takeFirstTuple(): void {
  const entry = translatedEntry();
  if (entry == null) return;
  const walkSrc = changetype<usize>(walk) + offsetof<Walk>("src0");
  const walkDst = walkSrc + 16;
  const src = changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("src0");
  const dst = src + 16;
  const to = dst + 16;
  const from = to + 16;
  const reply = tracking.direction == DIRECTION_REPLY;
  const ports = hasPorts(walk.protocol);
  if (reply) {
    memory.copy(walkSrc, to, 16);
    memory.copy(walkDst, from, 16);
    if (ports) {
      walk.sport = tuplesOf(entry).toPort;
      walk.dport = tuplesOf(entry).fromPort;
    }
    return;
  }
  memory.copy(walkSrc, src, 16);
  memory.copy(walkDst, dst, 16);
  if (ports) {
    walk.sport = tuplesOf(entry).sport;
    walk.dport = tuplesOf(entry).dport;
  }
}

/**
 * Ends the try of a connection whose first packet got no verdict: its others get none. So does one of
 * which nobody knows whether a full table has room for it.
 */
export function decidedBefore(): bool {
  if (tracking.crowded) return end(VERDICT_UNKNOWN, REASON_CONNTRACK_FULL);
  if (tracking.answersSome) return end(VERDICT_UNKNOWN, REASON_BACKEND);
  if (tracking.entry == ENTRY_NONE) return true;
  const entry = entryAt(tracking.entry);
  if ((entry.flags & ENTRY_UNDECIDED) == 0) return true;
  attempt.undecidedRule = tuplesOf(entry).undecidedRule;
  return end(VERDICT_UNKNOWN, entry.reason);
}

// The entry under way when its addresses differ between hooks; errors about it keep their own.
function translatedEntry(): Entry | null {
  if (tracking.entry == ENTRY_NONE || (tracking.state & CT_RELATED) != 0) return null;
  const entry = entryAt(tracking.entry);
  const translated = ENTRY_DNAT | ENTRY_SNAT | ENTRY_MASQUERADED;
  return (entry.flags & translated) != 0 ? entry : null;
}
