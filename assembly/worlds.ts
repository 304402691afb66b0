// What a packet's tries make of connections. Where facts are missing, one try may end with a connection
// that another does not have, or has otherwise. Every outcome is kept: a connection that only some tries
// made exists perhaps, and whoever meets it asks; one that they left in different states is doubted.
// Only a real node's connections are followed so; those of a cluster are undecided as a whole.
import { attempt } from "./attempt";
import { now } from "./clock";
import { deadlineOfBoth, isAlive } from "./deadline";
import {
  doubtMark,
  Entry,
  ENTRY_ASSURED,
  ENTRY_MARK_DOUBTED,
  ENTRY_PERHAPS,
  ENTRY_SEEN_REPLY,
  ENTRY_STATE,
  ENTRY_STATE_DOUBTED,
  ENTRY_STATE_SIZE,
  ENTRY_UNDECIDED,
  firstStartOf,
  setStarted,
} from "./entry";
import { entryAt, stateOfEntry } from "./entry-list";
import { ask, askedFor } from "./fork";
import { touch } from "./journal";
import {
  REASON_BACKEND,
  REASON_DEADLINE,
  RULE_NONE,
  VERDICT_ALLOW,
  VERDICT_UNKNOWN,
} from "./layout";
import { isRealNode } from "./route";
import { ENTRY_NONE, tracking, Tracking } from "./tracking";
import { markOf, setMark, setMissing, Tuples, tuplesOf } from "./tuples";
import { Walk, walk } from "./walk";

const REFUSALS_MAX: u32 = 64;
const WORLDS_MAX: u32 = 16;
const CHANGES_MAX: u32 = 64;

/** A connection that did not exist in some tries. */
@unmanaged
class Refusal {
  entry: u32;
  /** Tries in which it did not exist, and the last of them. */
  count: u32;
  last: u32;
}

/** A connection that tries made: the walk and its tracking when it was made. */
@unmanaged
class World {
  /** Tries that made it. */
  tries: u32;
  markDoubted: bool;
  /** A backend was drawn. */
  guessed: bool;
}

/** A connection that tries changed. */
@unmanaged
class Change {
  entry: u32;
  /** A try has ended with it. */
  seen: bool;
  stateDoubted: bool;
  markDoubted: bool;
  /** The mark that tries left. */
  mark: u32;
}

const REFUSAL_SIZE: usize = 12;
const WORLD_SIZE: usize = 8 + offsetof<Walk>() + offsetof<Tracking>();
const CHANGE_SIZE: usize = offsetof<Change>() + ENTRY_STATE_SIZE;
if (offsetof<Refusal>() != REFUSAL_SIZE) ERROR("a Refusal record has twelve bytes");
if (offsetof<World>() > 8) ERROR("a World record has eight bytes");

const refusals: usize = memory.data(64 * 12);
// Behind each record the walk and its tracking.
let worlds: usize = 0;
// Behind each record the state as tries left it.
let changes: usize = 0;
// The walk and tracking of the try that stands, and of the first whose packet began a connection.
let standing: usize = 0;
let beginning: usize = 0;
let begun: bool = false;

let refusalCount: u32 = 0;
let worldsCount: u32 = 0;
let changeCount: u32 = 0;
let tries: u32 = 0;
// The connection from before to which tries came, and how many.
let oldEntry: u32 = ENTRY_NONE;
let oldTries: u32 = 0;
let incomplete: bool = false;

/** Prepares the memory. */
export function setUpWorlds(): void {
  worlds = heap.alloc(<usize>WORLDS_MAX * WORLD_SIZE);
  changes = heap.alloc(<usize>CHANGES_MAX * CHANGE_SIZE);
  standing = heap.alloc(WORLD_SIZE);
  beginning = heap.alloc(WORLD_SIZE);
}

/** Begins a packet's first try. */
export function startWorlds(): void {
  refusalCount = 0;
  worldsCount = 0;
  changeCount = 0;
  tries = 0;
  oldEntry = ENTRY_NONE;
  oldTries = 0;
  begun = false;
  incomplete = false;
}

/** More came of the tries than can be kept, or one of them did not come to its end. */
export function worldsIncomplete(): bool {
  return incomplete;
}

/** The tries were not all made. */
export function giveUpWorlds(): void {
  incomplete = true;
}

/** Tells whether a connection exists; asks where it does so perhaps, its time being up or nearly so. */
export function exists(number: u32): bool {
  const entry = entryAt(number);
  if (!isAlive(entry) && isRealNode()) doubtExistence(entry);
  const known = (entry.flags & ENTRY_PERHAPS) == 0;
  if (known && isAlive(entry)) return true;
  const reason = known ? REASON_DEADLINE : entry.reason;
  const rule = known ? RULE_NONE : tuplesOf(entry).undecidedRule;
  if (ask(QUESTION_EXISTS | number, reason, rule)) return true;
  // Else it would be met again and again.
  return !refuse(number);
}

const QUESTION_EXISTS: u64 = 1 << 54;

// From here on it exists perhaps, even if it is renewed. Those of a cluster are undecided as a whole (judge.ts).
function doubtExistence(entry: Entry): void {
  if ((entry.flags & ENTRY_PERHAPS) != 0) return;
  entry.flags |= ENTRY_PERHAPS;
  const hasReason = (entry.flags & (ENTRY_STATE_DOUBTED | ENTRY_UNDECIDED)) != 0;
  if (!hasReason) setMissing(entry, REASON_DEADLINE, RULE_NONE);
}

// Lets a connection not exist in this try; false: more are refused than can be kept.
function refuse(number: u32): bool {
  for (let index: u32 = 0; index < refusalCount; index++) {
    const refusal = refusalAt(index);
    if (refusal.entry != number) continue;
    refusal.count++;
    refusal.last = tries;
    return true;
  }
  if (refusalCount == REFUSALS_MAX) {
    incomplete = true;
    return false;
  }
  const refusal = refusalAt(refusalCount);
  refusal.entry = number;
  refusal.count = 1;
  refusal.last = tries;
  refusalCount++;
  return true;
}

/** The connection does not exist in this try. */
export function isRefused(number: u32): bool {
  for (let index: u32 = 0; index < refusalCount; index++) {
    const refusal = refusalAt(index);
    if (refusal.entry == number) return refusal.last == tries;
  }
  return false;
}

/** Some connection, which was known, does not exist in this try. */
export function refusesAny(): bool {
  for (let index: u32 = 0; index < refusalCount; index++) {
    if (refusalAt(index).last == tries) return true;
  }
  return false;
}

/** Keeps an entry's state as it is, so that a try that changes it can be taken back. */
export function touchEntry(number: u32): void {
  noteChange(number);
  touch(stateOfEntry(number), ENTRY_STATE_SIZE, 0);
}

/** Sets a connection's mark as a try does. */
export function changeMark(number: u32, mark: u32, doubted: bool): void {
  touchEntry(number);
  const entry = entryAt(number);
  doubtMark(entry, doubted);
  if (mark == markOf(entry)) return;
  touch(changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("mark"), 4, 0);
  setMark(entry, mark);
}

// A connection's state is about to change.
function noteChange(number: u32): void {
  for (let index: u32 = 0; index < changeCount; index++) {
    if (changeAt(index).entry == number) return;
  }
  if (changeCount == CHANGES_MAX) {
    incomplete = true;
    return;
  }
  const change = changeAt(changeCount);
  change.entry = number;
  change.stateDoubted = false;
  change.markDoubted = false;
  // Earlier tries in which it existed left it as it was.
  change.seen = tries > refusedTries(number);
  keepState(change);
  changeCount++;
}

/** Notes how the try that has just ended leaves the connections. */
export function noteWorld(): void {
  if (attempt.verdict == VERDICT_UNKNOWN) incomplete = true;
  for (let index: u32 = 0; index < changeCount; index++) noteState(changeAt(index));
  const through = attempt.verdict == VERDICT_ALLOW || attempt.confirmed;
  if (tracking.fresh && !begun) {
    put(beginning);
    begun = true;
  }
  if (tracking.fresh && through) {
    noteNew();
  } else if (!tracking.fresh && tracking.entry != ENTRY_NONE) {
    if (oldEntry == ENTRY_NONE) oldEntry = tracking.entry;
    if (oldEntry == tracking.entry) oldTries++;
  }
  tries++;
}

/**
 * Writes what all tries together made of the connections that were there before; tries that were not made
 * may have made anything of them.
 */
export function settleChanges(reason: u32, rule: i32): void {
  for (let index: u32 = 0; index < changeCount; index++) {
    const change = changeAt(index);
    if (!change.seen) continue;
    if (incomplete) {
      change.stateDoubted = true;
      change.markDoubted = true;
    }
    const entry = entryAt(change.entry);
    memory.copy(stateOfEntry(change.entry), after(change), ENTRY_STATE_SIZE);
    setMark(entry, change.mark);
    if (change.markDoubted) entry.flags |= ENTRY_MARK_DOUBTED;
    if (!change.stateDoubted) continue;
    entry.flags |= ENTRY_STATE_DOUBTED;
    // It may be over in one of them.
    if (entry.protocol == 6 || entry.protocol == 132) entry.flags |= ENTRY_PERHAPS;
    setMissing(entry, reason, rule);
  }
}

/** How many connections from before the tries changed, and which. */
export function changedCount(): u32 {
  return changeCount;
}

export function changedEntry(index: u32): u32 {
  return changeAt(index).entry;
}

/** How many different new connections the tries made. */
export function worldCount(): u32 {
  return worldsCount;
}

/** Gives the walk and its tracking what they were when the tries made that connection. */
export function enterWorld(index: u32): void {
  take(worldAt(index));
  if (changetype<World>(worldAt(index)).markDoubted) walk.connectionMarkUnknown = 0xffffffff;
}

/** The same for the first try whose packet began a connection, confirmed or not; false: none did. */
export function enterBeginning(): bool {
  if (begun) take(beginning);
  return begun;
}

/** Keeps the try that stands, to come back to it. */
export function keepWorld(): void {
  put(standing);
}

export function leaveWorlds(): void {
  take(standing);
}

/** All tries made it, and there are no others. */
export function isCertainWorld(index: u32): bool {
  return !incomplete && changetype<World>(worldAt(index)).tries == tries;
}

/** Tries differ because a backend was drawn. */
export function isGuessedWorld(index: u32): bool {
  return changetype<World>(worldAt(index)).guessed;
}

/**
 * The tries made a connection that is like one that existed only in others: there it goes on. Where it does
 * so in all, it exists.
 */
export function joinWorld(index: u32, number: u32): void {
  const entry = entryAt(number);
  const all =
    !incomplete &&
    number == oldEntry &&
    changetype<World>(worldAt(index)).tries + oldTries == tries;
  const stateless = entry.protocol != 6 && entry.protocol != 132;
  if (all && stateless) entry.flags &= ~ENTRY_PERHAPS;
  if (!stateless || (entry.flags & ENTRY_SEEN_REPLY) != 0) entry.flags |= ENTRY_STATE_DOUBTED;
  entry.flags &= ~(ENTRY_SEEN_REPLY | ENTRY_ASSURED);
  setStarted(entry, firstStartOf(entry), now());
  if (walk.connectionMark != markOf(entry) || walk.connectionMarkUnknown != 0)
    entry.flags |= ENTRY_MARK_DOUBTED;
}

function noteState(change: Change): void {
  if (isRefused(change.entry)) return;
  if (!change.seen) {
    change.seen = true;
    keepState(change);
    return;
  }
  const kept = after(change);
  const one = changetype<Entry>(kept - ENTRY_STATE);
  const other = entryAt(change.entry);
  // The mark is doubted by itself: it is no part of the state here.
  const doubt = (one.flags ^ other.flags) & ENTRY_MARK_DOUBTED;
  if (doubt != 0 || change.mark != markOf(other)) change.markDoubted = true;
  one.flags ^= doubt;
  if (memory.compare(kept, stateOfEntry(change.entry), ENTRY_STATE_SIZE) == 0) return;
  change.stateDoubted = true;
  if (other.protocol == 6 || other.protocol == 132)
    one.deadline = max(one.deadline, other.deadline);
  else one.deadline = deadlineOfBoth(one.deadline, other.deadline);
  // Seen only where all have seen it.
  const seen = ENTRY_SEEN_REPLY | ENTRY_ASSURED;
  one.flags &= other.flags | ~seen;
}

function noteNew(): void {
  for (let index: u32 = 0; index < worldsCount; index++) {
    const world = changetype<World>(worldAt(index));
    if (!isLike(changetype<Walk>(worldAt(index) + 8))) continue;
    world.tries++;
    const other = changetype<Walk>(worldAt(index) + 8);
    if (
      other.connectionMark != walk.connectionMark ||
      other.connectionMarkUnknown != walk.connectionMarkUnknown
    ) {
      world.markDoubted = true;
    }
    return;
  }
  if (worldsCount == WORLDS_MAX) {
    incomplete = true;
    return;
  }
  const at = worldAt(worldsCount);
  const world = changetype<World>(at);
  world.tries = 1;
  world.markDoubted = false;
  world.guessed = walk.translated && askedFor(REASON_BACKEND);
  put(at);
  worldsCount++;
}

// The walk makes the same connection as another.
function isLike(other: Walk): bool {
  if (other.translated != walk.translated || other.srcTranslated != walk.srcTranslated)
    return false;
  const words = offsetof<Walk>("dst0");
  const one = changetype<usize>(other);
  const here = changetype<usize>(walk);
  if (walk.translated) {
    if (other.dport != walk.dport) return false;
    if (memory.compare(one + words, here + words, 16) != 0) return false;
  }
  if (!walk.srcTranslated) return true;
  const source = offsetof<Walk>("newSrc0");
  return (
    other.newSport == walk.newSport &&
    other.draw == walk.draw &&
    other.sportUnknown == walk.sportUnknown &&
    other.masqueraded == walk.masqueraded &&
    memory.compare(one + source, here + source, 16) == 0
  );
}

function refusedTries(number: u32): u32 {
  for (let index: u32 = 0; index < refusalCount; index++) {
    if (refusalAt(index).entry == number) return refusalAt(index).count;
  }
  return 0;
}

function put(at: usize): void {
  memory.copy(at + 8, changetype<usize>(walk), offsetof<Walk>());
  memory.copy(at + 8 + offsetof<Walk>(), changetype<usize>(tracking), offsetof<Tracking>());
}

function take(at: usize): void {
  memory.copy(changetype<usize>(walk), at + 8, offsetof<Walk>());
  memory.copy(changetype<usize>(tracking), at + 8 + offsetof<Walk>(), offsetof<Tracking>());
}

// Keeps how the connection is now, as a try leaves it.
function keepState(change: Change): void {
  memory.copy(after(change), stateOfEntry(change.entry), ENTRY_STATE_SIZE);
  change.mark = markOf(entryAt(change.entry));
}

function after(change: Change): usize {
  return changetype<usize>(change) + offsetof<Change>();
}

function refusalAt(index: u32): Refusal {
  return changetype<Refusal>(refusals + <usize>index * REFUSAL_SIZE);
}

function worldAt(index: u32): usize {
  return worlds + <usize>index * WORLD_SIZE;
}

function changeAt(index: u32): Change {
  return changetype<Change>(changes + <usize>index * CHANGE_SIZE);
}
