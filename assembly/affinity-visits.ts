// What is known of the lists in which a cluster's nodes remember clients of Services with session affinity: of a
// client in a node's list as of some visit, and the visits behind that of which it is not known where they led. A
// visit is the first packet of a connection; which backend it was sent to may show later.
import { copyBytes, sameAddress, zeros } from "./bytes";
import { clockStart, now, SECOND } from "./clock";
import { Entry, entryAt, hasTuples, Tuples, tuplesOf } from "./entry";
import { Buckets, firstHung, hang, Hung, makeBuckets, nextHung } from "./hung";
import { TICK_SLACK } from "./match/bucket";
import { severalNodes } from "./route";
import { mix } from "./set";
import { sharedStateAt, sharesStates } from "./shared-state";
import { ENTRY_NONE, tracking } from "./tracking";

// > ip_list_tot: a full list forgets the entry that was not used for longest.
const ENTRIES_MAX: u32 = 100;
// Visits of a client that are kept apart.
const VISITS_MAX: u32 = 8;

/** Number of a node that is not known. */
export const NODE_UNTOLD: u32 = 0;

/** A backend's list, on whatever node. */
@unmanaged
export class List {
  /** The backend; 0 as long as nothing was sent there. */
  to0: u32;
  to1: u32;
  to2: u32;
  to3: u32;
  port: u32;
  /** For so long a client is sent there again. */
  seconds: u32;
  /** How many clients may have been put in, each for every node; and how often any. */
  members: u32;
  changes: u32;
}

/** A client in a node's list. */
@unmanaged
class Place extends Hung {
  list: u32;
  node: u32;
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  /** Number of the visit behind which what is said here holds; 0: nothing is. */
  asOf: u64;
  /** When it was put in last. */
  time: u64;
  /** How often anybody had been put in then. */
  changes: u32;
  /** 0: it was not in, or too long ago. */
  isIn: u16;
  /** 1: it was counted as a member. */
  isMember: u16;
}

/** A client of which something is not known. */
@unmanaged
class Client extends Hung {
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  /** Addresses of its visits, the newest last, and how many. */
  visits0: u64;
  visits1: u64;
  visits2: u64;
  visits3: u64;
  count: u32;
  /** 1: it was counted as one of whose visits nothing is known. */
  wasVague: u32;
  /** The last visit of which nothing is known, and its time. */
  vague: u64;
  vagueTime: u64;
}

/** A list that a visit's tries looked at, in the order of the rules. */
@unmanaged
export class Step {
  list: u32;
  node: u32;
  /** How often anybody had been put in then. */
  changes: u32;
  /** 1: perhaps the client was put in. */
  isCandidate: u32;
}

@unmanaged
export class Visit {
  /** Address of its client. */
  client: u32;
  /** Address of the connection's Tuples; 0: nothing shows its backend any more. */
  owner: u32;
  /** Its number, and that of the last packet that may have come to the same rules as it had been dropped before. */
  number: u64;
  lastNumber: u64;
  /** When they were. */
  time: u64;
  lastTime: u64;
  /** Step records lie behind it; for so many, a power of two, there is room. */
  count: u32;
  room: u32;
  /** Perhaps the client was put in nowhere: as long as no backend shows, and even then. */
  perhaps: bool;
  perhapsStill: bool;
  unused0: u16;
  unused1: u32;
}

const STEP_SIZE: usize = offsetof<Step>();
const VISITS_AT: usize = offsetof<Client>("visits0");

/** The list does not have the client, or perhaps has it; else it surely has it. */
export const HAS_NOT: u32 = 0;
export const HAS_PERHAPS: u32 = 1;
const HAS_SURELY: u32 = 2;

let places: Buckets = changetype<Buckets>(0);
let clients: Buckets = changetype<Buckets>(0);
// u32[32]: addresses of visits that are over, by the logarithm of their room; each has the next in `client`.
const free: usize = memory.data(32 * 4);
// Visits are numbered from 1.
let newest: u64 = 0;
// The last visit of which not even the client is known, and its time; nothing holds that was known before `forgotten`.
let vague: u64 = 0;
let vagueTime: u64 = 0;
let forgotten: u64 = 0;
// Visits of which it is not known to which lists they led, and how many clients may have made them.
let vagueVisits: u32 = 0;
let vagueClients: u32 = 0;
// The packet under way has a time.
let timed: bool = true;

/** Prepares the memory. */
export function setUpVisits(): void {
  places = makeBuckets();
  clients = makeBuckets();
}

/** Nodes have other numbers from now on. */
export function forgetVisits(): void {
  if (!severalNodes()) return;
  visitByAnybody();
  forgotten = newest;
}

/** Begins to ask what lists hold, for a packet that has a time or not. */
export function startAsking(hasTime: bool): void {
  timed = hasTime;
}

/** A list, by the number of its shared state. */
export function listOf(shared: u32): List {
  const record = sharedStateAt(shared);
  if (load<u32>(record) == 0) store<u32>(record, <u32>zeros(offsetof<List>()));
  return changetype<List>(<usize>load<u32>(record));
}

// ── What lists hold ────────────────────────────────────────────────────────────────────────────────────

/** Tells whether a node's list has a client now: one of HAS_*. `src`: address of the client's words. */
export function wordOn(list: List, node: u32, src: usize): u32 {
  return wordBefore(list, node, src, u64.MAX_VALUE, now());
}

// The same before a visit, at its time.
function wordBefore(list: List, node: u32, src: usize, number: u64, at: u64): u32 {
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

// > The kernel counts seconds in its ticks.
function isFresh(list: List, time: u64, at: u64): bool {
  return timed && at - time + TICK_SLACK <= <u64>list.seconds * SECOND;
}

function mayBeFresh(list: List, time: u64, at: u64): bool {
  return !timed || at - time <= <u64>list.seconds * SECOND + TICK_SLACK;
}

// So many were put in since that the list may have been full.
function mayBeOut(list: List, changes: u32): bool {
  return list.members + vagueClients > ENTRIES_MAX && changesOf(list) - changes >= ENTRIES_MAX;
}

// How often clients may have been put in.
function changesOf(list: List): u32 {
  return list.changes + vagueVisits;
}

// ── What visits tell ───────────────────────────────────────────────────────────────────────────────────

/** A visit of which nothing is known, not even whose it was. */
export function visitByAnybody(): void {
  if (!sharesStates()) return;
  newest++;
  vague = newest;
  vagueTime = now();
  vagueVisits++;
  vagueClients++;
}

/** A visit by a client of which nothing else is known. */
export function visitSomewhere(src: usize): void {
  if (!sharesStates()) return;
  newest++;
  const client = clientFor(src);
  if (client.wasVague == 0) vagueClients++;
  client.wasVague = 1;
  vagueVisits++;
  makeVague(client, newest, now());
}

/** A visit that has certainly put its client into the list of one of its steps. */
export function visitList(src: usize, steps: usize, chosen: u32): void {
  newest++;
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
  newest++;
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
  newest++;
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
    timed = true;
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

// ── Records ────────────────────────────────────────────────────────────────────────────────────────────

/** One of some steps. */
export function stepIn(steps: usize, index: u32): Step {
  return changetype<Step>(steps + <usize>index * STEP_SIZE);
}

function stepsOf(visit: Visit): usize {
  return changetype<usize>(visit) + offsetof<Visit>();
}

function stepAt(visit: Visit, index: u32): Step {
  return stepIn(stepsOf(visit), index);
}

// The visit that began a connection; null where it is not kept any more.
function visitOf(tuples: Tuples): Visit | null {
  const visit = changetype<Visit>(<usize>tuples.visit);
  const owns = visit.owner == <u32>changetype<usize>(tuples);
  return owns && visit.number > forgotten ? visit : null;
}

function isLike(visit: Visit, steps: usize, count: u32): bool {
  if (visit.owner != 0 || visit.count != count) return false;
  for (let index: u32 = 0; index < count; index++) {
    const one = stepAt(visit, index);
    const other = stepIn(steps, index);
    if (one.list != other.list || one.node != other.node) return false;
    if (one.isCandidate != other.isCandidate) return false;
  }
  return true;
}

function addVisit(client: Client, count: u32): Visit {
  if (client.count == VISITS_MAX) {
    const oldest = visitAt(client, 0);
    if (oldest.lastNumber > client.vague) makeVague(client, oldest.lastNumber, oldest.lastTime);
    removeVisit(client, oldest);
  }
  const visit = takeVisit(count);
  visit.client = <u32>changetype<usize>(client);
  visit.count = count;
  store<u32>(visitSlot(client, client.count), <u32>changetype<usize>(visit));
  client.count++;
  return visit;
}

function takeVisit(count: u32): Visit {
  const power = 32 - clz<u32>(max<u32>(1, count) - 1);
  const list = free + ((<usize>power) << 2);
  const last: usize = load<u32>(list);
  if (last != 0) {
    store<u32>(list, changetype<Visit>(last).client);
    return changetype<Visit>(last);
  }
  const visit = changetype<Visit>(zeros(offsetof<Visit>() + ((<usize>1) << power) * STEP_SIZE));
  visit.room = power;
  return visit;
}

function removeVisit(client: Client, visit: Visit): void {
  let kept: u32 = 0;
  for (let index: u32 = 0; index < client.count; index++) {
    const one = visitAt(client, index);
    if (one == visit) continue;
    store<u32>(visitSlot(client, kept), <u32>changetype<usize>(one));
    kept++;
  }
  client.count = kept;
  visit.owner = 0;
  const list = free + ((<usize>visit.room) << 2);
  visit.client = load<u32>(list);
  store<u32>(list, <u32>changetype<usize>(visit));
}

function visitSlot(client: Client, index: u32): usize {
  return changetype<usize>(client) + VISITS_AT + ((<usize>index) << 2);
}

function visitAt(client: Client, index: u32): Visit {
  return changetype<Visit>(<usize>load<u32>(visitSlot(client, index)));
}

function makeVague(client: Client, number: u64, time: u64): void {
  client.vague = number;
  client.vagueTime = time;
}

function sourceOf(client: Client): usize {
  return changetype<usize>(client) + offsetof<Client>("src0");
}

function clientOf(src: usize): Client | null {
  const hash = hashOf(src, 0);
  for (let at = firstHung(clients, hash); at != 0; at = nextHung(at)) {
    if (sameAddress(sourceOf(changetype<Client>(at)), src)) return changetype<Client>(at);
  }
  return null;
}

function clientFor(src: usize): Client {
  const there = clientOf(src);
  if (there != null) return there;
  const at = zeros(offsetof<Client>());
  copyBytes(sourceOf(changetype<Client>(at)), src, 16);
  hang(clients, at, hashOf(src, 0));
  return changetype<Client>(at);
}

function isKnown(place: Place | null): bool {
  return place != null && place.asOf > forgotten;
}

function placeOf(list: List, node: u32, src: usize): Place | null {
  const hash = hashOf(src, mix(<u32>changetype<usize>(list), node));
  for (let at = firstHung(places, hash); at != 0; at = nextHung(at)) {
    const place = changetype<Place>(at);
    if (place.list != <u32>changetype<usize>(list) || place.node != node) continue;
    if (sameAddress(at + offsetof<Place>("src0"), src)) return place;
  }
  return null;
}

function placeFor(list: List, node: u32, src: usize): Place {
  const there = placeOf(list, node, src);
  if (there != null) return there;
  const at = zeros(offsetof<Place>());
  const place = changetype<Place>(at);
  place.list = <u32>changetype<usize>(list);
  place.node = node;
  copyBytes(at + offsetof<Place>("src0"), src, 16);
  hang(places, at, hashOf(src, mix(place.list, node)));
  return place;
}

// The same where the client may be put in.
function memberFor(list: List, node: u32, src: usize): Place {
  const place = placeFor(list, node, src);
  if (place.isMember == 0) list.members++;
  place.isMember = 1;
  return place;
}

function hashOf(src: usize, rest: u32): u32 {
  const low = mix(mix(rest, load<u32>(src)), load<u32>(src, 4));
  return mix(mix(low, load<u32>(src, 8)), load<u32>(src, 12));
}
