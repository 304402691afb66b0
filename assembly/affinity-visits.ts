// What visits tell of the lists in which a cluster's nodes remember clients of Services with session affinity. Which
// backend a visit was sent to may show later; then others that came behind it may be told, too.
import { forgotten, newest, nextVisit, visitSomewhere } from "./affinity-count";
import {
  changesOf,
  HAS_NOT,
  HAS_PERHAPS,
  isFresh,
  NODE_UNTOLD,
  startAsking,
  wordBefore,
} from "./affinity-lists";
import {
  addVisit,
  Client,
  clientFor,
  isLike,
  List,
  memberFor,
  placeFor,
  removeVisit,
  sourceOf,
  Step,
  STEP_SIZE,
  stepAt,
  stepIn,
  stepsOf,
  Visit,
  visitAt,
} from "./affinity-records";
import { copyBytes, sameAddress } from "./bytes";
import { now } from "./clock";
import { Entry } from "./entry";
import { entryAt } from "./entry-list";
import { ENTRY_NONE, tracking } from "./tracking";
import { hasTuples, Tuples, tuplesOf } from "./tuples";

/** A visit that has certainly put its client into the list of one of its steps. */
export function visitList(src: usize, steps: usize, chosen: u32): void {
  nextVisit();
  const list = changetype<List>(stepIn(steps, chosen).list);
  list.changes++;
  learn(src, steps, chosen, newest, now(), changesOf(list));
}

/**
 * A visit of which it is not known into which of its steps' lists it has put its client. A packet of the connection
 * under way may show it later, where there is one.
 */
export function visitOneOf(
  src: usize,
  steps: usize,
  count: u32,
  perhaps: bool,
  perhapsStill: bool,
): void {
  nextVisit();
  const client = clientFor(src);
  const same: Visit | null = client.count == 0 ? null : visitAt(client, client.count - 1);
  for (let index: u32 = 0; index < count; index++) putPerhaps(src, stepIn(steps, index));
  // The same again, as where each segment of a client that tries on is dropped.
  const again = same != null && tracking.entry == ENTRY_NONE && isLike(same, steps, count);
  const visit: Visit = again ? same! : addVisit(client, count);
  copyBytes(stepsOf(visit), steps, <usize>count * STEP_SIZE);
  visit.number = newest;
  visit.lastNumber = newest;
  visit.time = now();
  visit.lastTime = now();
  visit.perhaps = perhaps;
  visit.perhapsStill = perhapsStill;
  visit.owner = 0;
  if (tracking.entry == ENTRY_NONE) return;
  const tuples = tuplesOf(entryAt(tracking.entry));
  visit.owner = <u32>changetype<usize>(tuples);
  tuples.visit = <u32>changetype<usize>(visit);
}

/**
 * A packet of a connection that nobody knows to be there: where its first one was dropped, it has come to the
 * rules like that.
 */
export function visitAgain(entry: Entry): void {
  if (!hasTuples(entry)) return;
  const tuples = tuplesOf(entry);
  if (tuples.visit == 0) return;
  const visit = visitOf(tuples);
  if (visit == null) {
    visitSomewhere(changetype<usize>(tuples));
    return;
  }
  nextVisit();
  visit.lastNumber = newest;
  visit.lastTime = now();
  // What was remembered of the first does not lead the others the same way.
  for (let index: u32 = 0; index < visit.count; index++) {
    const step = stepAt(visit, index);
    if (step.isCandidate == 0) continue;
    const list = changetype<List>(step.list);
    list.changes++;
    if (step.node == NODE_UNTOLD || !isFresh(list, visit.time, now())) visit.perhapsStill = true;
  }
}

/** A packet has shown to which backend a connection was sent. */
export function learnBackend(entry: Entry): void {
  const tuples = tuplesOf(entry);
  if (tuples.visit == 0) return;
  const visit = visitOf(tuples);
  tuples.visit = 0;
  if (visit == null) return;
  visit.owner = 0;
  visit.perhaps = false;
  let left: u32 = 0;
  for (let index: u32 = 0; index < visit.count; index++) {
    const step = stepAt(visit, index);
    if (!leadsTo(changetype<List>(step.list), tuples)) step.isCandidate = 0;
    left += step.isCandidate;
  }
  // It went where no try has led.
  if (left == 0) visitSomewhere(changetype<usize>(tuples));
  else conclude(visit);
}

// One candidate may be left: then it is known where the visit led, and what others found that came later.
function conclude(first: Visit): void {
  const client = changetype<Client>(first.client);
  let visit: Visit | null = first;
  while (visit != null) {
    const number = visit.number;
    const chosen = onlyCandidate(visit);
    if (chosen < 0) return;
    startAsking(true);
    const changes = stepAt(visit, chosen).changes;
    learn(sourceOf(client), stepsOf(visit), chosen, number, visit.time, changes);
    removeVisit(client, visit);
    visit = null;
    for (let index: u32 = 0; visit == null && index < client.count; index++) {
      const later = visitAt(client, index);
      if (later.number > number && isLed(later)) visit = later;
    }
  }
}

// Place of the only list into which a visit has put its client, on a node that is known; -1: there is none.
function onlyCandidate(visit: Visit): i32 {
  let only: i32 = -1;
  for (let index: u32 = 0; index < visit.count; index++) {
    if (stepAt(visit, index).isCandidate == 0) continue;
    if (only >= 0) return -1;
    only = index;
  }
  if (only < 0 || visit.perhaps || visit.perhapsStill) return -1;
  return stepAt(visit, only).node == NODE_UNTOLD ? -1 : only;
}

// A list surely had the client when it came, and those in front of it had not: the visit led there.
function isLed(visit: Visit): bool {
  if (visit.perhaps || visit.perhapsStill || visit.lastNumber != visit.number) return false;
  const src = sourceOf(changetype<Client>(visit.client));
  const node = stepAt(visit, 0).node;
  if (node == NODE_UNTOLD) return false;
  for (let index: u32 = 0; index < visit.count; index++) {
    if (stepAt(visit, index).node != node) return false;
  }
  for (let index: u32 = 0; index < visit.count; index++) {
    const step = stepAt(visit, index);
    const word = wordBefore(changetype<List>(step.list), node, src, visit.number, visit.time);
    if (word == HAS_NOT) continue;
    if (word == HAS_PERHAPS || step.isCandidate == 0) return false;
    for (let other: u32 = 0; other < visit.count; other++) {
      if (other != index) stepAt(visit, other).isCandidate = 0;
    }
    return true;
  }
  return false;
}

// A visit has put its client into the list of one of its steps, of which `changes` tells how often anybody had been put
// in then. Those that the node looked at before had it not.
function learn(src: usize, steps: usize, chosen: u32, number: u64, time: u64, changes: u32): void {
  const step = stepIn(steps, chosen);
  for (let index: u32 = 0; index < chosen; index++) {
    const before = stepIn(steps, index);
    if (before.node != step.node) continue;
    const place = placeFor(changetype<List>(before.list), before.node, src);
    if (place.asOf >= number) continue;
    place.asOf = number;
    place.isIn = 0;
  }
  const place = memberFor(changetype<List>(step.list), step.node, src);
  if (place.asOf >= number) return;
  place.asOf = number;
  place.isIn = 1;
  place.time = time;
  place.changes = changes;
}

function putPerhaps(src: usize, step: Step): void {
  if (step.isCandidate == 0) return;
  const list = changetype<List>(step.list);
  memberFor(list, step.node, src);
  list.changes++;
  step.changes = changesOf(list);
}

function leadsTo(list: List, tuples: Tuples): bool {
  const to = changetype<usize>(tuples) + offsetof<Tuples>("to0");
  return list.port == <u32>tuples.toPort && sameAddress(changetype<usize>(list), to);
}

// The visit that began a connection; null where it is not kept any more.
function visitOf(tuples: Tuples): Visit | null {
  const visit = changetype<Visit>(<usize>tuples.visit);
  const owns = visit.owner == <u32>changetype<usize>(tuples);
  return owns && visit.number > forgotten ? visit : null;
}
