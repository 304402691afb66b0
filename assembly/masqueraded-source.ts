// Looking entries up by their answers where a node has masqueraded the source, with which address is not known.
import { isQuestion } from "./attempt";
import { backends, isBackend } from "./backends";
import { deadlineIn, deadlineOfBoth, isAlive } from "./deadline";
import {
  Entry,
  ENTRY_DNAT,
  ENTRY_MASQUERADED,
  ENTRY_OPEN,
  ENTRY_PERHAPS,
  ENTRY_SEEN_REPLY,
  ENTRY_SNAT,
  ENTRY_STATE_DOUBTED,
  familyOf,
} from "./entry";
import { timeoutOf } from "./entry-life";
import { entryAt } from "./entry-list";
import { NODE_BACKEND, NODE_REPLY, nodeEntry, nodeOf } from "./entry-tuples";
import { findNode, hasNodes, nextNode } from "./flow-table";
import { key, SavedKey, savedKey, turnKey } from "./key";
import { KNOWN_TCP_FLAGS, ROUTE_LOCAL, ROUTE_MISSING } from "./layout";
import { Packet } from "./records";
import { routeKind, routeOf } from "./route";
import { mayHaveTag } from "./sctp";
import { isEmpty } from "./set";
import { fixSource, staysUndecided } from "./shown-translation";
import { TCP_ACK } from "./tcp";
import { sideOf } from "./tcp-side";
import { hasWindowFacts } from "./tcp-window";
import { DIRECTION_ORIGINAL, DIRECTION_REPLY, ENTRY_NONE, keyOfPacket } from "./tracking";

/** What `findMasqueraded` gives where nobody knows which it is. */
export const ANSWERS_SOME: i64 = -2;

/**
 * Looks for the connection, of a cluster seen as one, that is answered from where `key` comes from at the address
 * with which a node has masqueraded it. TCP's and SCTP's numbers tell several apart.
 *
 * @returns node number, -1 where there is none, or ANSWERS_SOME
 */
export function findMasqueraded(packet: Packet): i64 {
  if (isEmpty(backends) || !hasNodes(1 << NODE_BACKEND)) return -1;
  if (!isBackend(key.src0, key.src1, key.src2, key.src3, key.sport)) return -1;
  const kind = routeKind(routeOf(key.family, key.dst0, key.dst1, key.dst2, key.dst3));
  // A tunnel's address need not be told.
  if (kind != ROUTE_LOCAL && kind != ROUTE_MISSING) return -1;
  const saved = changetype<usize>(savedKey);
  memory.copy(saved, changetype<usize>(key), offsetof<SavedKey>());
  memory.fill(changetype<usize>(key) + 16, 0, 16);
  key.dport = 0;
  // All to one backend were let through alike: of a protocol without numbers any of them stands in for all.
  const takesAny = key.protocol != 6 && key.protocol != 132;
  let found = findAnswered(packet, takesAny);
  if (takesAny && found >= 0 && !isQuestion()) doubtAnswered(found);
  if (found == -1) {
    memory.fill(changetype<usize>(key), 0, 16);
    key.sport = 0;
    found = findAnswered(packet, false);
    if (found >= 0 && !hasNumbers(packet)) found = ANSWERS_SOME;
  }
  memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  if (found < 0) return found;
  const number = nodeEntry(found);
  if (!isAlive(entryAt(number))) return ANSWERS_SOME;
  if (staysUndecided(entryAt(number))) return nodeOf(number, NODE_REPLY);
  return isQuestion() ? ANSWERS_SOME : fixSource(number);
}

/**
 * A packet shows, behind its node, with which source the connection of its first sight goes on, and to which backend:
 * answers come to that source.
 */
export function showSource(packet: Packet, number: u32): void {
  if (number == ENTRY_NONE) return;
  const entry = entryAt(number);
  const isOpen = (entry.flags & (ENTRY_MASQUERADED | ENTRY_OPEN)) != 0;
  if (!isOpen && (entry.flags & (ENTRY_DNAT | ENTRY_SNAT)) != 0) return;
  if ((entry.flags & ENTRY_PERHAPS) != 0 || staysUndecided(entry) || !isAlive(entry)) return;
  keyOfPacket(packet);
  turnKey();
  fixSource(number);
}

// Of several, from this one on, any may have been answered, and lives on where it was. Those behind one of which
// that was said before were there then.
function doubtAnswered(first: i64): void {
  if (nextNode(first) < 0) return;
  for (let node = first; node >= 0; node = nextNode(node)) {
    const entry = entryAt(nodeEntry(node));
    if ((entry.flags & ENTRY_STATE_DOUBTED) != 0) return;
    if ((entry.flags & ENTRY_SEEN_REPLY) != 0) continue;
    entry.flags |= ENTRY_STATE_DOUBTED;
    const longest = deadlineIn(timeoutOf(entry, true));
    entry.deadline = deadlineOfBoth(entry.deadline, longest);
  }
}

// The one connection under `key` that the packet may answer; ANSWERS_SOME where there are several.
function findAnswered(packet: Packet, takesAny: bool): i64 {
  let found: i64 = -1;
  for (let node = findNode(1 << NODE_BACKEND); node >= 0; node = nextNode(node)) {
    if (!mayAnswer(entryAt(nodeEntry(node)), packet)) continue;
    if (takesAny) return node;
    if (found >= 0) return ANSWERS_SOME;
    found = node;
  }
  return found;
}

// An error says nothing of the numbers of the connection that it quotes.
function hasNumbers(packet: Packet): bool {
  if (packet.protocol != key.protocol) return false;
  if (packet.protocol == 132) return packet.transport != 0 && packet.end - packet.transport >= 8;
  return (
    packet.protocol == 6 &&
    (packet.known & KNOWN_TCP_FLAGS) != 0 &&
    (packet.tcpFlags & TCP_ACK) != 0 &&
    hasWindowFacts(packet)
  );
}

function mayAnswer(entry: Entry, packet: Packet): bool {
  if (entry.protocol != key.protocol || familyOf(entry) != key.family) return false;
  if (!hasNumbers(packet)) return true;
  if (packet.protocol == 132) return mayHaveTag(entry, packet, DIRECTION_REPLY);
  return packet.tcpAck == sideOf(entry, DIRECTION_ORIGINAL).end;
}
