// What stays of a packet that got no verdict, or of which not all tries were made: connections that may be in any
// state, or of which no packet gets one.
import { attempt } from "./attempt";
import { now } from "./clock";
import { deadlineBetween, deadlineIn, latestOf } from "./deadline";
import {
  ENTRY_ASSURED,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_MARK_DOUBTED,
  ENTRY_PERHAPS,
  ENTRY_SEEN_REPLY,
  ENTRY_SNAT,
  ENTRY_STATE_DOUBTED,
  ENTRY_UNDECIDED,
  familyOf,
  firstStartOf,
  setStarted,
} from "./entry";
import { hideTranslation, openEntry, refreshDoubted, timeoutOf } from "./entry-life";
import { entryAt } from "./entry-list";
import { isPod } from "./entry-node";
import {
  NODE_ORIGINAL,
  NODE_ORIGINAL_SEEN,
  NODE_REPLY,
  NODE_REPLY_SEEN,
  nodeEntry,
} from "./entry-tuples";
import { findNode } from "./flow-table";
import { CT_RELATED, REASON_DEADLINE, ROUTE_UNTRANSLATED, RULE_NONE } from "./layout";
import { confirm } from "./new-connection";
import { Packet } from "./records";
import { isRealNode, routeKind, severalNodes } from "./route";
import { isTranslatedPort } from "./share";
import { natLoaded } from "./rule";
import { DIRECTION_ORIGINAL, ENTRY_NONE, keyOfPacket, tracking } from "./tracking";
import { leaveEntryUndecided, setMissing } from "./tuples";
import { walk } from "./walk";
import { changedCount, changedEntry, settleChanges } from "./worlds";

/**
 * Says that a packet's connection, and those that its tries changed, may be in any state: not all tries
 * were made.
 */
export function doubtConnections(packet: Packet, reason: u32, rule: i32): void {
  settleChanges(reason, rule);
  for (let index: u32 = 0; index < changedCount(); index++) {
    doubtState(changedEntry(index), reason, rule);
  }
  keyOfPacket(packet);
  const seen: u32 = (1 << NODE_ORIGINAL_SEEN) | (1 << NODE_REPLY_SEEN);
  const node = findNode((1 << NODE_ORIGINAL) | (1 << NODE_REPLY) | seen);
  if (node >= 0) doubtState(nodeEntry(node), reason, rule);
}

function doubtState(number: u32, reason: u32, rule: i32): void {
  const entry = entryAt(number);
  entry.flags |= ENTRY_STATE_DOUBTED;
  entry.flags |= ENTRY_MARK_DOUBTED;
  refreshDoubted(entry);
  if ((entry.flags & ENTRY_UNDECIDED) != 0) return;
  if (entry.protocol == 6 || entry.protocol == 132) entry.flags |= ENTRY_PERHAPS;
  setMissing(entry, reason, rule);
}

/**
 * Says what stays of a cluster's connection whose time was perhaps up when the packet under way
 * came: then the packet, where it got through, began another.
 *
 * @param through all tries let it through
 * @param unknown some did, and others not
 */
export function leaveEndOpen(through: bool, unknown: bool): void {
  // > An error begins no connection, and renews none.
  if (tracking.fresh || tracking.entry == ENTRY_NONE || (tracking.state & CT_RELATED) != 0) return;
  const entry = entryAt(tracking.entry);
  const stateful = entry.protocol == 6 || entry.protocol == 132;
  const translated = (entry.flags & (ENTRY_DNAT | ENTRY_SNAT | ENTRY_GUESSED)) != 0;
  const original = tracking.direction == DIRECTION_ORIGINAL;
  // The other has the same ends, and nothing but its age sets it apart.
  const alike = through && original && !stateful && !translated;
  if (!alike && (through || (unknown && (stateful || translated)))) {
    leaveEntryUndecided(entry, REASON_DEADLINE, RULE_NONE);
    // Nor does a backend that shows itself settle which of the two there is.
    entry.flags &= ~ENTRY_GUESSED;
    refreshDoubted(entry);
    if (translated) openEntry(tracking.entry, (entry.flags & ENTRY_SNAT) != 0);
    return;
  }
  const first = alike ? deadlineIn(timeoutOf(entry, false)) : now();
  entry.deadline = deadlineBetween(first, latestOf(entry.deadline));
  if (!alike) return;
  setStarted(entry, firstStartOf(entry), now());
  if ((entry.flags & ENTRY_SEEN_REPLY) == 0) return;
  // Nobody has answered the other yet.
  entry.flags &= ~(ENTRY_SEEN_REPLY | ENTRY_ASSURED);
  entry.flags |= ENTRY_STATE_DOUBTED;
  setMissing(entry, REASON_DEADLINE, RULE_NONE);
}

/**
 * Remembers that the flow of the packet under way has no verdict, and why.
 *
 * @param drawn only the backend is not known: the packet that shows it settles the flow
 */
export function leaveUndecided(packet: Packet, reason: u32, rule: i32, drawn: bool): void {
  if (tracking.entry == ENTRY_NONE && !confirm(packet, walk, drawn)) return;
  if (tracking.entry == ENTRY_NONE) return;
  const entry = entryAt(tracking.entry);
  leaveEntryUndecided(entry, reason, rule);
  if (severalNodes() && isPerhapsLedElsewhere()) openEntry(tracking.entry, walk.masqueraded);
  if (drawn) entry.flags |= ENTRY_MARK_DOUBTED;
  else if (isRealNode() && natLoaded(familyOf(entry))) hideTranslation(tracking.entry);
}

// To a backend that nobody knows.
function isPerhapsLedElsewhere(): bool {
  if (walk.translated || routeKind(attempt.dstRoute) == ROUTE_UNTRANSLATED) return true;
  return !isPod(attempt.dstRoute) && isTranslatedPort(walk.protocol, walk.dport);
}
