// The connections that a packet's tries began, where they do not agree: each exists perhaps.
import { attempt } from "./attempt";
import { doubtConnections } from "./connection-doubt";
import { trackFirst } from "./conntrack-first";
import {
  Entry,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_PERHAPS,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SNAT,
  ENTRY_STATE_DOUBTED,
  ENTRY_UNDECIDED,
  familyOf,
} from "./entry";
import { hideTranslation, refreshDoubted } from "./entry-life";
import { entryAt } from "./entry-list";
import { NODE_ORIGINAL, NODE_REPLY, nodeEntry } from "./entry-tuples";
import { findNode, nextNode } from "./flow-table";
import { VERDICT_ALLOW } from "./layout";
import { confirm } from "./new-connection";
import { hasPorts } from "./protocol";
import { Packet } from "./records";
import { natLoaded } from "./rule";
import { ENTRY_NONE, keyOfPacket, tracking, trackNothing } from "./tracking";
import { leaveEntryUndecided, setMissing, Tuples, tuplesOf } from "./tuples";
import { startWalk, Walk, walk } from "./walk";
import {
  enterBeginning,
  enterWorld,
  isCertainWorld,
  isGuessedWorld,
  joinWorld,
  keepWorld,
  leaveWorlds,
  settleChanges,
  worldCount,
  worldsIncomplete,
} from "./worlds";

/**
 * Takes up what the tries of a packet made of connections. A new one on which they do not agree exists
 * perhaps; the reason and rule are those of the fact that was missing.
 *
 * @param doubted the connections from before may be in any state
 */
export function confirmWorlds(packet: Packet, reason: u32, rule: i32, doubted: bool): bool {
  if (doubted) doubtConnections(packet, reason, rule);
  else settleChanges(reason, rule);
  keepWorld();
  let room: bool = true;
  let first = ENTRY_NONE;
  if (worldsIncomplete()) room = leavePerhapsUndecided(packet, reason, rule);
  for (let index: u32 = 0; index < worldCount(); index++) {
    enterWorld(index);
    const like = entryLikeWalk(packet);
    if (like != ENTRY_NONE) {
      joinWorld(index, like);
      refreshDoubted(entryAt(like));
      continue;
    }
    if (!confirm(packet, walk, false)) {
      room = false;
      continue;
    }
    if (index == 0) first = tracking.entry;
    if (isCertainWorld(index)) continue;
    const entry = entryAt(tracking.entry);
    entry.flags |= ENTRY_PERHAPS;
    if (isGuessedWorld(index)) entry.flags |= ENTRY_GUESSED;
    setMissing(entry, reason, rule);
  }
  leaveWorlds();
  const through = attempt.verdict == VERDICT_ALLOW || attempt.confirmed;
  if (tracking.fresh && through) tracking.entry = first;
  return room;
}

// The new connection may be yet another one than those that the tries made. It is linked before them, and so
// met behind them.
function leavePerhapsUndecided(packet: Packet, reason: u32, rule: i32): bool {
  if (!enterBeginning() && !beginAnew(packet)) return true;
  keyOfPacket(packet);
  for (let node = findNode(1 << NODE_ORIGINAL); node >= 0; node = nextNode(node)) {
    const entry = entryAt(nodeEntry(node));
    if ((entry.flags & ENTRY_UNDECIDED) == 0) continue;
    refreshDoubted(entry);
    return true;
  }
  forgetTranslation();
  if (!confirm(packet, walk, false)) return false;
  const entry = entryAt(tracking.entry);
  entry.flags |= ENTRY_PERHAPS;
  leaveEntryUndecided(entry, reason, rule);
  if (natLoaded(familyOf(entry))) hideTranslation(tracking.entry);
  return true;
}

// One that is translated in a way that was tried is a world of its own.
function forgetTranslation(): void {
  walk.translated = false;
  walk.srcTranslated = false;
  walk.sportUnknown = false;
  walk.movedId = false;
  walk.masqueraded = false;
}

// What no try did, because not all were made: the connection that the packet belongs to may be over or not
// be there, and the packet then begins another.
function beginAnew(packet: Packet): bool {
  keyOfPacket(packet);
  const node = findNode((1 << NODE_ORIGINAL) | (1 << NODE_REPLY));
  if (node < 0) return false;
  const entry = entryAt(nodeEntry(node));
  if ((entry.flags & ENTRY_STATE_DOUBTED) == 0 && (entry.flags & ENTRY_PERHAPS) == 0) return false;
  trackNothing();
  startWalk(packet);
  trackFirst(packet, true);
  return tracking.fresh;
}

// A connection that exists perhaps, and that the walk's new one is like.
function entryLikeWalk(packet: Packet): u32 {
  keyOfPacket(packet);
  for (let node = findNode(1 << NODE_ORIGINAL); node >= 0; node = nextNode(node)) {
    const entry = entryAt(nodeEntry(node));
    if ((entry.flags & ENTRY_PERHAPS) != 0 && isLikeWalk(entry)) return nodeEntry(node);
  }
  return ENTRY_NONE;
}

function isLikeWalk(entry: Entry): bool {
  const dnat = (entry.flags & ENTRY_DNAT) != 0;
  const snat = (entry.flags & ENTRY_SNAT) != 0;
  if (dnat != walk.translated || snat != walk.srcTranslated) return false;
  const at = changetype<usize>(tuplesOf(entry));
  const here = changetype<usize>(walk);
  if (dnat) {
    if (hasPorts(entry.protocol) && tuplesOf(entry).toPort != walk.dport) return false;
    if (memory.compare(at + offsetof<Tuples>("to0"), here + offsetof<Walk>("dst0"), 16) != 0)
      return false;
  }
  if (!snat) return true;
  const portUnknown = (entry.flags & ENTRY_PORT_UNKNOWN) != 0;
  return (
    portUnknown == walk.sportUnknown &&
    tuplesOf(entry).fromPort == walk.newSport &&
    memory.compare(at + offsetof<Tuples>("from0"), here + offsetof<Walk>("newSrc0"), 16) == 0
  );
}
