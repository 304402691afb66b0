// The records of session affinity: backends' lists of clients, the places of clients in them, and clients with their
// visits. A visit is the first packet of a connection.
import { copyBytes, sameAddress, zeros } from "./bytes";
import { Buckets, firstHung, hang, Hung, makeBuckets, nextHung } from "./hung";
import { mix } from "./set";
import { sharedStateAt } from "./shared-state";

// Visits of a client that are kept apart.
const VISITS_MAX: u32 = 8;

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
export class Place extends Hung {
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
export class Client extends Hung {
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

/** What is known of a client's visit, of which it is not known where it led. */
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

/** Size of a Step. */
export const STEP_SIZE: usize = offsetof<Step>();
const VISITS_AT: usize = offsetof<Client>("visits0");

let places: Buckets = changetype<Buckets>(0);
let clients: Buckets = changetype<Buckets>(0);
// u32[32]: addresses of visits that are over, by the logarithm of their room; each has the next in `client`.
const free: usize = memory.data(32 * 4);

/** Prepares the memory. */
export function setUpVisits(): void {
  places = makeBuckets();
  clients = makeBuckets();
}

/** A list, by the number of its shared state. */
export function listOf(shared: u32): List {
  const record = sharedStateAt(shared);
  if (load<u32>(record) == 0) store<u32>(record, <u32>zeros(offsetof<List>()));
  return changetype<List>(<usize>load<u32>(record));
}

/** One of some steps. */
export function stepIn(steps: usize, index: u32): Step {
  return changetype<Step>(steps + <usize>index * STEP_SIZE);
}

/** Address of a visit's steps. */
export function stepsOf(visit: Visit): usize {
  return changetype<usize>(visit) + offsetof<Visit>();
}

/** One of a visit's steps. */
export function stepAt(visit: Visit, index: u32): Step {
  return stepIn(stepsOf(visit), index);
}

/** Tells whether a visit that no connection owns has these steps. */
export function isLike(visit: Visit, steps: usize, count: u32): bool {
  if (visit.owner != 0 || visit.count != count) return false;
  for (let index: u32 = 0; index < count; index++) {
    const one = stepAt(visit, index);
    const other = stepIn(steps, index);
    if (one.list != other.list || one.node != other.node) return false;
    if (one.isCandidate != other.isCandidate) return false;
  }
  return true;
}

/** Adds a visit to a client's. Where they are too many, nothing stays known of the oldest. */
export function addVisit(client: Client, count: u32): Visit {
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

/** Takes a visit from a client's. */
export function removeVisit(client: Client, visit: Visit): void {
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

/** One of a client's visits, the newest last. */
export function visitAt(client: Client, index: u32): Visit {
  return changetype<Visit>(<usize>load<u32>(visitSlot(client, index)));
}

/** Says that nothing is known of one of a client's visits. */
export function makeVague(client: Client, number: u64, time: u64): void {
  client.vague = number;
  client.vagueTime = time;
}

/** Address of a client's words. */
export function sourceOf(client: Client): usize {
  return changetype<usize>(client) + offsetof<Client>("src0");
}

/** The client of an address; null without one. */
export function clientOf(src: usize): Client | null {
  const hash = hashOf(src, 0);
  for (let at = firstHung(clients, hash); at != 0; at = nextHung(at)) {
    if (sameAddress(sourceOf(changetype<Client>(at)), src)) return changetype<Client>(at);
  }
  return null;
}

/** The client of an address, which is made without one. */
export function clientFor(src: usize): Client {
  const there = clientOf(src);
  if (there != null) return there;
  const at = zeros(offsetof<Client>());
  copyBytes(sourceOf(changetype<Client>(at)), src, 16);
  hang(clients, at, hashOf(src, 0));
  return changetype<Client>(at);
}

/** A client's place in a node's list; null without one. */
export function placeOf(list: List, node: u32, src: usize): Place | null {
  const hash = hashOf(src, mix(<u32>changetype<usize>(list), node));
  for (let at = firstHung(places, hash); at != 0; at = nextHung(at)) {
    const place = changetype<Place>(at);
    if (place.list != <u32>changetype<usize>(list) || place.node != node) continue;
    if (sameAddress(at + offsetof<Place>("src0"), src)) return place;
  }
  return null;
}

/** A client's place in a node's list, which is made without one. */
export function placeFor(list: List, node: u32, src: usize): Place {
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

/** The same where the client may be put in. */
export function memberFor(list: List, node: u32, src: usize): Place {
  const place = placeFor(list, node, src);
  if (place.isMember == 0) list.members++;
  place.isMember = 1;
  return place;
}

function hashOf(src: usize, rest: u32): u32 {
  const low = mix(mix(rest, load<u32>(src)), load<u32>(src, 4));
  return mix(mix(low, load<u32>(src, 8)), load<u32>(src, 12));
}
