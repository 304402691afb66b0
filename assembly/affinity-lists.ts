// What is known of the lists in which a cluster's nodes remember clients of Services with session affinity: of a client
// in a node's list as of some visit, and the visits behind that of which it is not known where they led.
import {
  Client,
  clientOf,
  List,
  Place,
  placeOf,
  sourceOf,
  stepAt,
  Visit,
  visitAt,
} from "./affinity-records";
import { forgotten, vague, vagueClients, vagueTime, vagueVisits } from "./affinity-count";
import { clockStart, now, SECOND } from "./clock";
import { TICK_SLACK } from "./match/bucket";

// > ip_list_tot: a full list forgets the entry that was not used for longest.
const ENTRIES_MAX: u32 = 100;

/** Number of a node that is not known. */
export const NODE_UNTOLD: u32 = 0;

/** The list does not have the client, or perhaps has it; else it surely has it. */
export const HAS_NOT: u32 = 0;
export const HAS_PERHAPS: u32 = 1;
const HAS_SURELY: u32 = 2;

// The packet under way has a time.
let timed: bool = true;

/** Begins to ask what lists hold, for a packet that has a time or not. */
export function startAsking(hasTime: bool): void {
  timed = hasTime;
}

/** Tells whether a node's list has a client now: one of HAS_*. `src`: address of the client's words. */
export function wordOn(list: List, node: u32, src: usize): u32 {
  return wordBefore(list, node, src, u64.MAX_VALUE, now());
}

/** The same before a visit, at its time. */
export function wordBefore(list: List, node: u32, src: usize, number: u64, at: u64): u32 {
  const place = placeOf(list, node, src);
  let asOf: u64 = 0;
  if (isKnown(place)) {
    asOf = place!.asOf;
    // What was so at that time is not kept.
    if (asOf >= number) return HAS_PERHAPS;
    if (place!.isIn != 0) {
      if (isFresh(list, place!.time, at) && !mayBeOut(list, place!.changes)) return HAS_SURELY;
      if (mayBeFresh(list, place!.time, at)) return HAS_PERHAPS;
    }
  }
  // Whom nodes remembered before the capture, no packet tells.
  if (asOf == 0 && mayBeFresh(list, clockStart(), at)) return HAS_PERHAPS;
  if (vague > asOf && mayBeFresh(list, vagueTime, at)) return HAS_PERHAPS;
  const client = clientOf(src);
  if (client == null) return HAS_NOT;
  if (client.vague > asOf && mayBeFresh(list, client.vagueTime, at)) return HAS_PERHAPS;
  for (let index: u32 = 0; index < client.count; index++) {
    const visit = visitAt(client, index);
    if (visit.lastNumber <= max(asOf, forgotten) || visit.number >= number) continue;
    if (mayBeFresh(list, visit.lastTime, at) && isCandidate(visit, list, node)) return HAS_PERHAPS;
  }
  return HAS_NOT;
}

/**
 * Finds a visit that surely has put the client into one of several of a node's lists, of which this is one; null
 * without one.
 */
export function decisiveVisit(list: List, node: u32, src: usize): Visit | null {
  const client = clientOf(src);
  if (client == null) return null;
  for (let index: i32 = client.count - 1; index >= 0; index--) {
    const visit = visitAt(client, index);
    if (visit.perhaps || visit.perhapsStill || visit.number <= forgotten) continue;
    if (!isOpen(visit, list, src) || !isCandidate(visit, list, node)) continue;
    if (isFresh(list, visit.time, now()) && isOnNode(visit, node)) return visit;
  }
  return null;
}

/** In how many lists of a decisive visit its client may be. */
export function countOpen(visit: Visit): u32 {
  const src = sourceOf(changetype<Client>(visit.client));
  let count: u32 = 0;
  for (let index: u32 = 0; index < visit.count; index++) {
    const step = stepAt(visit, index);
    if (step.isCandidate != 0 && isOpen(visit, changetype<List>(step.list), src)) count++;
  }
  return count;
}

// Nothing that is known behind the visit says that it did not lead there: the client may have come there twice.
function isOpen(visit: Visit, list: List, src: usize): bool {
  for (let index: u32 = 0; index < visit.count; index++) {
    const step = stepAt(visit, index);
    if (step.isCandidate == 0 || step.list != <u32>changetype<usize>(list)) continue;
    const place = placeOf(list, step.node, src);
    return place == null || place.asOf < visit.number || place.isIn != 0;
  }
  return false;
}

// All its candidates are on a node, and none was in its list for so long that it may be out of it.
function isOnNode(visit: Visit, node: u32): bool {
  for (let index: u32 = 0; index < visit.count; index++) {
    const step = stepAt(visit, index);
    if (step.isCandidate == 0) continue;
    if (step.node != node || mayBeOut(changetype<List>(step.list), step.changes)) return false;
  }
  return true;
}

function isCandidate(visit: Visit, list: List, node: u32): bool {
  for (let index: u32 = 0; index < visit.count; index++) {
    const step = stepAt(visit, index);
    if (step.isCandidate == 0 || step.list != <u32>changetype<usize>(list)) continue;
    if (step.node == node || step.node == NODE_UNTOLD) return true;
  }
  return false;
}

/** For certain a client that was put in at that time is in. > The kernel counts seconds in its ticks. */
export function isFresh(list: List, time: u64, at: u64): bool {
  return timed && at - time + TICK_SLACK <= <u64>list.seconds * SECOND;
}

function mayBeFresh(list: List, time: u64, at: u64): bool {
  return !timed || at - time <= <u64>list.seconds * SECOND + TICK_SLACK;
}

// So many were put in since that the list may have been full.
function mayBeOut(list: List, changes: u32): bool {
  return list.members + vagueClients > ENTRIES_MAX && changesOf(list) - changes >= ENTRIES_MAX;
}

/** How often clients may have been put in. */
export function changesOf(list: List): u32 {
  return list.changes + vagueVisits;
}

function isKnown(place: Place | null): bool {
  return place != null && place.asOf > forgotten;
}
