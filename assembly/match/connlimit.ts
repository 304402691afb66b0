// `-m connlimit`: the connections that a rule has seen of an address, in a list for each, as the kernel
// keeps it. Those that ended are taken out by a later packet, once in a tick: until then, they may count.
// A list is not taken back with a try; what only some tries add to it is there perhaps. What a question has
// left is taken out by the next one.
// Source: Linux 6.18, xt_connlimit.c and nf_conncount.c; kernel lab.
import { attempt, isQuestion } from "../attempt";
import { zeros } from "../bytes";
import { now } from "../clock";
import { isAlive } from "../deadline";
import { findPortUnknown } from "../drawn-port";
import {
  Entry,
  ENTRY_ASSURED,
  ENTRY_PERHAPS,
  ENTRY_STATE_DOUBTED,
  ENTRY_UNDECIDED,
  familyOf,
} from "../entry";
import { isPerhapsAssured, refusedBefore } from "../entry-life";
import { entryAt } from "../entry-list";
import { NODE_ORIGINAL, NODE_REPLY, nodeEntry } from "../entry-tuples";
import { findNode } from "../flow-table";
import { ask, askedCount, forkPaths } from "../fork";
import { isOddGre } from "../gre";
import { findLive } from "../half-known";
import { Key, key } from "../key";
import { knownConnections } from "../known-connection";
import {
  CT_INVALID,
  CT_UNTRACKED,
  KNOWN_PORTS,
  MALFORMED_EXTENSION,
  MATCH_HEADER_SIZE,
  PACKET_LATER_FRAGMENT,
  REASON_STATE,
  SIDE_SRC,
} from "../layout";
import { hasPorts, PROTOCOL_GRE } from "../protocol";
import { mix } from "../set";
import { TCP_CLOSE, TCP_TIME_WAIT } from "../tcp";
import { ENTRY_NONE, keyOfPacket, tracking } from "../tracking";
import { tuplesOf } from "../tuples";
import { drawReason, walk } from "../walk";
import { TICK_SLACK } from "./bucket";

const LIMIT: usize = MATCH_HEADER_SIZE;
const LISTS: usize = LIMIT + 4;
/** Packets that may have come to the rule, of which addresses is not known, and when the last did. */
const BLURRED: usize = LISTS + 4;
const BLURRED_AT: usize = BLURRED + 4;
const BITS: usize = BLURRED_AT + 8;
const SIDE: usize = BITS + 1;

const BINS: u32 = 256;

/** The connections of an address. */
@unmanaged
class List {
  /** Address of the next list of the bin, or 0. */
  next: u32;
  word0: u32;
  word1: u32;
  word2: u32;
  word3: u32;
  /** Address of the first connection, or 0. */
  items: u32;
  count: u32;
  /** Packets of which it is not known whether, and as what, they were counted. */
  untold: u32;
  /** How many connections there may be before it pays to look through them all. */
  enough: u32;
  /** The try that looked last, how often, and how many connections of this packet there are. */
  lookingTry: u32;
  looks: u32;
  copies: u32;
  /** When a packet came last, and before the packet under way. */
  visitedBy: u64;
  visitedAt: u64;
  visitedBefore: u64;
  /** 1: some of its connections may have ended, and so all. */
  emptied: u8;
  unused0: u8;
  unused1: u16;
  /** Low bits of the last packet's number that `untold` counts. */
  untoldBy: u32;
}

/** A connection. */
@unmanaged
class Item {
  next: u32;
  /** Low bits of the number of the packet that made it; it shows which of several of one tuple it is. */
  maker: u32;
  /** Packet time since when it was seen to be over; 0: it was not. */
  overSince: u64;
  /** 1: it was added whatever tries there were, and not taken out since. */
  sure: u8;
  unused0: u8;
  unused1: u16;
  unused2: u32;
}

const ITEM_SIZE: usize = offsetof<Item>() + offsetof<Key>();

/** > CONNCOUNT_GC_MAX_NODES of older kernels: no more are taken out at once. */
const COLLECTED_MAX: u32 = 8;

/** As what a packet is counted. */
const ROLE_NONE: u32 = 0;
/** Its connection is not confirmed yet, and is added. */
const ROLE_NEW: u32 = 1;
/** It is confirmed, and is added where it is missing. */
const ROLE_OLD: u32 = 2;
/** It is assured, and is added only where there is no list. */
const ROLE_ASSURED: u32 = 3;
const ROLE_UNKNOWN: u32 = 4;

const OVER: u32 = 0;
const PERHAPS: u32 = 1;
const ALIVE: u32 = 2;

// The connection that is counted, and the packet that made it.
const subject: usize = memory.data(offsetof<Key>());
let subjectMaker: u32 = 0;
// How many connections there are.
let least: u32 = 0;
let most: u32 = 0;
// Items that nobody uses, as a list.
let free: u32 = 0;

/** The address has more connections than the limit, or, inverted, not more. */
export function matchConnlimit(match: usize, rule: i32, invert: bool): bool {
  const limit = load<u32>(match, LIMIT);
  const role = takeSubject();
  if (role == ROLE_NONE) return drop();
  const list = visit(listOf(match));
  if (role == ROLE_UNKNOWN) {
    if (list.untoldBy != <u32>walk.packet.number) list.untold++;
    list.untoldBy = <u32>walk.packet.number;
    list.emptied = 1;
    return ask(0, drawReason(REASON_STATE), rule) ? askMore(rule) : drop();
  }
  const untold = list.untold + load<u32>(match, BLURRED) + knownConnections();
  const idle = now() - max(list.visitedBefore, load<u64>(match, BLURRED_AT));
  look(list, role, limit, untold, idle >= TICK_SLACK);
  const counted =
    role == ROLE_NEW
      ? addNew(list)
      : role == ROLE_OLD
        ? addOld(list)
        : addAssured(list, untold, rule);
  if (!counted) return drop();
  most += untold;
  if (least > limit) return !invert;
  return (most > limit && askMore(rule)) != invert;
}

/** A packet may have been counted. */
export function blurConnlimit(match: usize): void {
  store<u32>(match, load<u32>(match, BLURRED) + 1, BLURRED);
  store<u64>(match, now(), BLURRED_AT);
}

function askMore(rule: i32): bool {
  return ask(0, drawReason(REASON_STATE), rule);
}

// > Without any counted connection the packet is dropped.
function drop(): bool {
  walk.hotdrop = true;
  return false;
}

// ── What is counted ────────────────────────────────────────────────────────────────────────────────────

// > The connection's original tuple; of an INVALID packet its own, which may be that of one all the same.
function takeSubject(): u32 {
  const packet = walk.packet;
  if ((walk.ctState & (CT_INVALID | CT_UNTRACKED)) == 0) {
    if (tracking.ambiguous || tracking.quoteMissing) return ROLE_UNKNOWN;
    if (tracking.entry == ENTRY_NONE) {
      if (!tracking.fresh) return ROLE_UNKNOWN;
      keyOfPacket(packet);
      return take(attempt.confirmed ? ROLE_OLD : ROLE_NEW, <u32>packet.number);
    }
    return takeEntry(tracking.entry);
  }
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0 || walk.transportLength < headSize())
    return ROLE_NONE;
  if (walk.protocol == PROTOCOL_GRE && isOddGre(packet)) return ROLE_NONE;
  if (packet.malformed == MALFORMED_EXTENSION) return ROLE_UNKNOWN;
  if (hasPorts(walk.protocol) && (walk.known & KNOWN_PORTS) == 0) return ROLE_UNKNOWN;
  keyOfPacket(packet);
  const node = findLive();
  if (node < 0 && findPortUnknown() >= 0) return ROLE_UNKNOWN;
  keyOfPacket(packet);
  if (node < 0) return take(ROLE_NEW, <u32>packet.number);
  const entry = entryAt(nodeEntry(node));
  return take(roleOf(entry), tuplesOf(entry).maker);
}

// What of the header makes the tuple.
function headSize(): u32 {
  if (walk.protocol == 1 || walk.protocol == 58) return 8;
  return hasPorts(walk.protocol) ? 4 : 0;
}

function takeEntry(number: u32): u32 {
  const entry = entryAt(number);
  memory.copy(changetype<usize>(key), changetype<usize>(tuplesOf(entry)), 32);
  key.sport = tuplesOf(entry).sport;
  key.dport = tuplesOf(entry).dport;
  key.family = <u8>familyOf(entry);
  key.protocol = entry.protocol;
  key.unused = 0;
  return take(roleOf(entry), tuplesOf(entry).maker);
}

// > Only a connection that is assured is not added where it is missing.
function roleOf(entry: Entry): u32 {
  if ((entry.flags & ENTRY_STATE_DOUBTED) != 0 || (entry.flags & ENTRY_PERHAPS) != 0)
    return ROLE_UNKNOWN;
  if (isPerhapsAssured(entry)) return ROLE_UNKNOWN;
  return (entry.flags & ENTRY_ASSURED) != 0 ? ROLE_ASSURED : ROLE_OLD;
}

function take(role: u32, maker: u32): u32 {
  memory.copy(subject, changetype<usize>(key), offsetof<Key>());
  subjectMaker = maker;
  return role;
}

// ── Adding ─────────────────────────────────────────────────────────────────────────────────────────────

// A rule that the packet comes to once more may count it once more.
function addNew(list: List): bool {
  if (list.looks > list.copies) {
    add(list, askedCount() == 0 && list.copies == 0);
    list.copies++;
  }
  least++;
  most += list.looks;
  return true;
}

function addOld(list: List): bool {
  const own = ownItem(list);
  if (own == 0) {
    add(list, askedCount() == 0);
    least++;
    most++;
  } else if (changetype<Item>(own).sure == 0) {
    least++;
    if (askedCount() == 0) changetype<Item>(own).sure = 1;
  }
  return true;
}

// > An empty list is still there for some time, and nobody is counted in it.
function addAssured(list: List, untold: u32, rule: i32): bool {
  if (least > 0) return true;
  const alone = most == 0 && list.emptied == 0 && untold == 0;
  const empty = list.emptied != 0 || untold != 0;
  if (empty && askMore(rule)) return false;
  if (ownItem(list) == 0) add(list, alone && askedCount() == 0);
  least = 1;
  most = max<u32>(most, 1);
  return true;
}

function add(list: List, sure: bool): void {
  let at: usize = free;
  if (at == 0) at = heap.alloc(ITEM_SIZE);
  else free = changetype<Item>(at).next;
  memory.fill(at, 0, offsetof<Item>());
  memory.copy(at + offsetof<Item>(), subject, offsetof<Key>());
  const item = changetype<Item>(at);
  item.maker = subjectMaker;
  item.sure = sure ? 1 : 0;
  item.next = list.items;
  list.items = <u32>at;
  list.count++;
}

function ownItem(list: List): usize {
  for (let at: usize = list.items; at != 0; at = changetype<Item>(at).next) {
    if (isOwn(at)) return at;
  }
  return 0;
}

function isOwn(at: usize): bool {
  if (changetype<Item>(at).maker != subjectMaker) return false;
  return memory.compare(at + offsetof<Item>(), subject, offsetof<Key>()) == 0;
}

// ── Counting ───────────────────────────────────────────────────────────────────────────────────────────

// Counts the list's connections, without one that the packet makes; those that are surely taken out by
// now are. Not all are looked at where fewer decide.
function look(list: List, role: u32, limit: u32, untold: u32, idle: bool): void {
  const sure = askedCount() == 0;
  const makes = role == ROLE_NEW;
  // > A connection that is in the list ends the search for those that are over.
  const collects = role != ROLE_OLD || ownItem(list) == 0;
  const few = list.count + untold + list.looks <= limit;
  const all = role == ROLE_OLD || list.count >= list.enough;
  let collected: u32 = 0;
  let link = changetype<usize>(list) + offsetof<List>("items");
  least = 0;
  most = 0;
  while (load<u32>(link) != 0) {
    if (!all && (least > limit || (few && (makes || least > 0)))) {
      most = list.count;
      return;
    }
    const at: usize = load<u32>(link);
    const item = changetype<Item>(at);
    const next = at + offsetof<Item>("next");
    if (makes && isOwn(at)) {
      link = next;
      continue;
    }
    const life = lifeOf(item);
    if (life != ALIVE) list.emptied = 1;
    if (life == OVER) {
      const since = item.overSince;
      const out = idle || (since != 0 && now() - since >= TICK_SLACK);
      if (collects && out && collected < COLLECTED_MAX) {
        collected++;
        if (sure) {
          store<u32>(link, item.next);
          item.next = free;
          free = <u32>at;
          list.count--;
        } else link = next;
        continue;
      }
      if (sure && since == 0) item.overSince = now();
      most++;
    } else {
      most++;
      const kept = item.sure != 0 && item.overSince == 0;
      if (life == ALIVE && kept) least++;
      else if (sure && !kept) {
        item.sure = 0;
        item.overSince = 0;
      }
    }
    link = next;
  }
  if (sure) list.enough = list.count * 2 + 16;
}

function lifeOf(item: Item): u32 {
  if (attempt.confirmed && item.maker == <u32>walk.packet.number) return ALIVE;
  memory.copy(changetype<usize>(key), changetype<usize>(item) + offsetof<Item>(), offsetof<Key>());
  const node = findNode((1 << NODE_ORIGINAL) | (1 << NODE_REPLY));
  if (node < 0) return refusedBefore() ? PERHAPS : OVER;
  const entry = entryAt(nodeEntry(node));
  const doubtful = (entry.flags & (ENTRY_PERHAPS | ENTRY_UNDECIDED)) != 0 || !isAlive(entry);
  if (doubtful || (entry.flags & ENTRY_STATE_DOUBTED) != 0 || refusedBefore()) return PERHAPS;
  // > already_closed()
  const closed = entry.tcpState == <u8>TCP_TIME_WAIT || entry.tcpState == <u8>TCP_CLOSE;
  if (entry.protocol == 6 && closed) return OVER;
  return tuplesOf(entry).maker == item.maker ? ALIVE : PERHAPS;
}

// ── Lists ──────────────────────────────────────────────────────────────────────────────────────────────

function visit(list: List): List {
  const number = walk.packet.number;
  if (list.visitedBy != number) {
    if (isQuestion()) empty(list);
    list.visitedBy = number;
    list.visitedBefore = list.visitedAt;
    list.visitedAt = now();
    list.lookingTry = 0;
    list.copies = 0;
  }
  if (list.lookingTry != forkPaths()) {
    list.lookingTry = forkPaths();
    list.looks = 0;
  }
  list.looks++;
  return list;
}

// Makes it as it was before any packet.
function empty(list: List): void {
  while (list.items != 0) {
    const at: usize = list.items;
    list.items = changetype<Item>(at).next;
    changetype<Item>(at).next = free;
    free = <u32>at;
  }
  const kept = offsetof<List>("items");
  memory.fill(changetype<usize>(list) + kept, 0, offsetof<List>() - kept);
}

function listOf(match: usize): List {
  if (load<u32>(match, LISTS) == 0) {
    const made = zeros((<usize>BINS) << 2);
    store<u32>(match, <u32>made, LISTS);
  }
  const bits: u32 = load<u8>(match, BITS);
  const source = load<u8>(match, SIDE) == SIDE_SRC;
  const word0 = masked(source ? walk.src0 : walk.dst0, bits, 0);
  const word1 = masked(source ? walk.src1 : walk.dst1, bits, 32);
  const word2 = masked(source ? walk.src2 : walk.dst2, bits, 64);
  const word3 = masked(source ? walk.src3 : walk.dst3, bits, 96);
  const hash = mix(mix(word0, word1), mix(word2, word3));
  const bin = <usize>load<u32>(match, LISTS) + ((<usize>(hash % BINS)) << 2);
  for (let at: usize = load<u32>(bin); at != 0; at = changetype<List>(at).next) {
    const list = changetype<List>(at);
    const same = list.word0 == word0 && list.word1 == word1 && list.word2 == word2;
    if (same && list.word3 == word3) return list;
  }
  const at = zeros(offsetof<List>());
  const list = changetype<List>(at);
  list.word0 = word0;
  list.word1 = word1;
  list.word2 = word2;
  list.word3 = word3;
  list.next = load<u32>(bin);
  store<u32>(bin, <u32>at);
  return list;
}

function masked(word: u32, bits: u32, before: u32): u32 {
  if (bits <= before) return 0;
  return bits >= before + 32 ? word : word & (~(<u32>0) << (before + 32 - bits));
}
