// `-m recent`: lists of addresses with the times they were seen, shared by name. A list belongs to the
// network namespace: both families and both backends use it. Source: Linux, xt_recent.c.
import { isRecalled, remember } from "../affinity";
import { zeros } from "../bytes";
import { now, SECOND } from "../clock";
import { ask } from "../fork";
import { touch } from "../journal";
import {
  HOOK_FORWARD,
  HOOK_OUTPUT,
  HOOK_POSTROUTING,
  KNOWN_TTL,
  MATCH_HEADER_SIZE,
  PACKET_HAS_TIME,
  REASON_NO_HEADER,
  REASON_NO_TIME,
  REASON_STATE,
  RECENT_DEST,
  RECENT_REAP,
  RECENT_REMOVE,
  RECENT_SET,
  RECENT_TTL,
  RECENT_UPDATE,
} from "../layout";
import { isRealNode } from "../route";
import { mix } from "../set";
import { sharedConflicts, sharedSize, sharedStateAt } from "../shared-state";
import { drawReason, walk } from "../walk";
import { TICK_SLACK } from "./bucket";

const LIST: usize = MATCH_HEADER_SIZE;
const SECONDS: usize = LIST + 4;
const HITS: usize = SECONDS + 4;
const MASK: usize = HITS + 4;
const WHAT: usize = MASK + 16;

/** > ip_list_tot: a full list forgets the entry that was not used for longest. */
const ENTRIES_MAX: u32 = 100;
const DOUBTS: u32 = 256;

/** A list. */
@unmanaged
class List {
  /** Grows with every use of an entry. */
  order: u64;
  count: u32;
  /** Times that an entry has room for, less one; a power of two less one. */
  stampMask: u32;
  // Not taken back with a try: how many entries there were in all.
  inserted: u32;
  /** 1: which entries there are and which is the oldest is not known. */
  doubt: u8;
  /** 1: nothing is known. */
  lost: u8;
  unused: u16;
}

/** An address. */
@unmanaged
class Item {
  order: u64;
  addr0: u32;
  addr1: u32;
  addr2: u32;
  addr3: u32;
  stampCount: u32;
  /** Behind the newest time. */
  stampIndex: u32;
  /** 0: the place is free. */
  family: u8;
  ttl: u8;
  /** 1: what came before the newest time is not known. */
  forgotten: u8;
  unused0: u8;
  unused1: u32;
}

const LIST_DOUBTS: usize = offsetof<List>();
const LIST_PLACES: usize = LIST_DOUBTS + DOUBTS;
const LIST_SIZE: usize = LIST_PLACES + ENTRIES_MAX * 4;

// The address that is looked for.
const key: usize = memory.data(16);

/** What the match says, before it is negated; state changes on the way. */
export function matchRecent(match: usize, rule: i32, invert: bool): bool {
  const number = load<u32>(match, LIST);
  const what: u32 = load<u16>(match, WHAT);
  // Of a cluster, lists are kube-proxy's.
  if (!isRealNode()) {
    if ((what & RECENT_SET) == 0) return isRecalled(number, load<u32>(match, SECONDS), rule);
    remember(number);
    return true;
  }
  // What a list masks IPv6 addresses with, rules of IPv4 settle too.
  const conflicts = sharedConflicts(number);
  if ((walk.family == 4 ? conflicts & 1 : conflicts) != 0) return askState(rule);
  const list = listOf(number);
  takeKey(match, (what & RECENT_DEST) != 0);
  const doubt = doubtOf(list);
  const ttlKnown = (walk.known & KNOWN_TTL) != 0;
  if ((what & RECENT_TTL) != 0 && !ttlKnown) {
    touch(doubt, 1, doubt);
    store<u8>(doubt, 1);
    return ask(<u64>match, REASON_NO_HEADER, rule);
  }
  const ttl: u32 = ttlKnown ? ttlAsArrived() : 0;
  const found = findItem(list, (what & RECENT_TTL) != 0 ? ttl : 0);
  if ((what & RECENT_SET) != 0) {
    setItem(list, found, ttl, doubt);
    return !invert;
  }
  if (list.lost != 0) return askState(rule);
  const uncertain = load<u8>(doubt) != 0;
  if ((what & RECENT_REMOVE) != 0) {
    if (uncertain) {
      const was = askState(rule);
      touch(doubt, 1, doubt);
      if (found != 0) removeItem(list, changetype<Item>(found), doubt);
      store<u8>(doubt, 0);
      return was != invert;
    }
    if (found == 0) return invert;
    removeItem(list, changetype<Item>(found), doubt);
    return !invert;
  }
  if (uncertain) {
    if ((what & RECENT_REAP) != 0) reap(match, list, 0);
    return askState(rule);
  }
  if (found == 0) return invert;
  const item = changetype<Item>(found);
  const enough = hasHits(match, item, rule);
  const holds = enough != invert;
  const updates = (what & RECENT_UPDATE) != 0 && holds;
  if ((what & RECENT_REAP) != 0) reap(match, list, updates ? found : 0);
  if (updates) stampItem(list, item, ttl, doubt);
  return holds;
}

/**
 * A packet may have come to the rule.
 *
 * @param sourceStays the source is the one that the rule would see
 */
export function blurRecent(match: usize, sourceStays: bool): void {
  const what: u32 = load<u16>(match, WHAT);
  const changes = RECENT_SET | RECENT_UPDATE | RECENT_REMOVE | RECENT_REAP;
  if ((what & changes) == 0) return;
  const list = listOf(load<u32>(match, LIST));
  list.doubt = 1;
  if ((what & RECENT_SET) != 0) list.inserted++;
  if (list.inserted > ENTRIES_MAX) list.lost = 1;
  const others = RECENT_DEST | RECENT_REAP;
  if (!sourceStays || (what & others) != 0) {
    memory.fill(changetype<usize>(list) + LIST_DOUBTS, 1, DOUBTS);
    return;
  }
  takeKey(match, false);
  store<u8>(doubtOf(list), 1);
}

function askState(rule: i32): bool {
  return ask(0, drawReason(REASON_STATE), rule);
}

function listOf(number: u32): List {
  const record = sharedStateAt(number);
  if (load<u32>(record) == 0) {
    const made = zeros(LIST_SIZE);
    changetype<List>(made).stampMask = sharedSize(number) - 1;
    store<u32>(record, <u32>made);
  }
  return changetype<List>(<usize>load<u32>(record));
}

function takeKey(match: usize, destination: bool): void {
  const mask = match + MASK;
  store<u32>(key, (destination ? walk.dst0 : walk.src0) & load<u32>(mask));
  store<u32>(key, (destination ? walk.dst1 : walk.src1) & load<u32>(mask, 4), 4);
  store<u32>(key, (destination ? walk.dst2 : walk.src2) & load<u32>(mask, 8), 8);
  store<u32>(key, (destination ? walk.dst3 : walk.src3) & load<u32>(mask, 12), 12);
}

// > The TTL as it was before forwarding.
function ttlAsArrived(): u32 {
  const leaving =
    walk.hook == HOOK_FORWARD || walk.hook == HOOK_POSTROUTING || walk.hook == HOOK_OUTPUT;
  return leaving && !walk.generated ? (walk.ttl + 1) & 0xff : walk.ttl;
}

// The byte that says that nothing is known of the addresses like `key`.
function doubtOf(list: List): usize {
  return doubtAt(list, load<u32>(key), load<u32>(key, 4), load<u32>(key, 8), load<u32>(key, 12));
}

function doubtAt(list: List, word0: u32, word1: u32, word2: u32, word3: u32): usize {
  const hash = mix(mix(word0, word1 ^ walk.family), mix(word2, word3));
  return changetype<usize>(list) + LIST_DOUBTS + (hash % DOUBTS);
}

function placeAt(list: List, place: u32): usize {
  return changetype<usize>(list) + LIST_PLACES + ((<usize>place) << 2);
}

// Address of the entry; 0 without one.
function findItem(list: List, ttl: u32): usize {
  for (let place: u32 = 0; place < ENTRIES_MAX; place++) {
    const at: usize = load<u32>(placeAt(list, place));
    // Places are taken in order, and never given up.
    if (at == 0) return 0;
    const item = changetype<Item>(at);
    if (item.family != <u8>walk.family) continue;
    if (memory.compare(at + offsetof<Item>("addr0"), key, 16) != 0) continue;
    if (ttl != 0 && item.ttl != 0 && item.ttl != <u8>ttl) continue;
    return at;
  }
  return 0;
}

// Adds the entry, or another time to it. It is there afterwards, whatever was known of it before.
function setItem(list: List, found: usize, ttl: u32, doubt: usize): void {
  const uncertain = load<u8>(doubt) != 0;
  let at = found;
  if (at == 0) {
    at = addItem(list, ttl, doubt);
  } else {
    stampItem(list, changetype<Item>(at), ttl, doubt);
  }
  if (!uncertain) return;
  changetype<Item>(at).forgotten = 1;
  touch(doubt, 1, doubt);
  store<u8>(doubt, 0);
}

function addItem(list: List, ttl: u32, doubt: usize): usize {
  touchList(list);
  list.inserted++;
  let at: usize = 0;
  if (list.count >= ENTRIES_MAX) {
    at = oldestItem(list);
  } else {
    for (let place: u32 = 0; at == 0; place++) {
      const there: usize = load<u32>(placeAt(list, place));
      if (there == 0) at = newItem(list, place);
      else if (changetype<Item>(there).family == 0) at = there;
    }
    list.count++;
  }
  // Where one may have had to go that is not known, any may be gone.
  if (list.doubt != 0 && list.inserted > ENTRIES_MAX) list.lost = 1;
  touchItem(at, doubt);
  const item = changetype<Item>(at);
  memory.copy(at + offsetof<Item>("addr0"), key, 16);
  item.family = <u8>walk.family;
  item.ttl = <u8>ttl;
  item.forgotten = 0;
  item.stampCount = 1;
  item.stampIndex = 1;
  item.order = ++list.order;
  touch(stampAt(at, 0), 8, doubt);
  store<u64>(stampAt(at, 0), now());
  return at;
}

function newItem(list: List, place: u32): usize {
  const size = offsetof<Item>() + ((<usize>list.stampMask + 1) << 3);
  const at = zeros(size);
  store<u32>(placeAt(list, place), <u32>at);
  return at;
}

function stampItem(list: List, item: Item, ttl: u32, doubt: usize): void {
  const at = changetype<usize>(item);
  touchList(list);
  touchItem(at, doubt);
  const index = item.stampIndex & list.stampMask;
  touch(stampAt(at, index), 8, doubt);
  store<u64>(stampAt(at, index), now());
  item.stampIndex = index + 1;
  item.stampCount = max(item.stampCount, index + 1);
  item.order = ++list.order;
  item.ttl = <u8>ttl;
}

function removeItem(list: List, item: Item, doubt: usize): void {
  touchList(list);
  touchItem(changetype<usize>(item), doubt);
  item.family = 0;
  list.count--;
}

function touchList(list: List): void {
  const at = changetype<usize>(list);
  touch(at, offsetof<List>("stampMask"), at + offsetof<List>("doubt"));
}

function touchItem(at: usize, doubt: usize): void {
  touch(at, offsetof<Item>(), doubt);
}

function stampAt(item: usize, index: u32): usize {
  return item + offsetof<Item>() + ((<usize>index) << 3);
}

function oldestItem(list: List): usize {
  let oldest: usize = 0;
  for (let place: u32 = 0; place < ENTRIES_MAX; place++) {
    const at: usize = load<u32>(placeAt(list, place));
    if (at == 0) break;
    if (changetype<Item>(at).family == 0) continue;
    if (oldest == 0 || changetype<Item>(at).order < changetype<Item>(oldest).order) oldest = at;
  }
  return oldest;
}

// Enough of the entry's times are recent enough. The kernel counts seconds in its ticks.
function hasHits(match: usize, item: Item, rule: i32): bool {
  const seconds: u64 = load<u32>(match, SECONDS);
  const wanted = load<u32>(match, HITS);
  const timed = seconds == 0 || (walk.flags & PACKET_HAS_TIME) != 0;
  let surely: u32 = 0;
  let perhaps: u32 = 0;
  for (let index: u32 = 0; index < item.stampCount; index++) {
    const age = now() - load<u64>(stampAt(changetype<usize>(item), index));
    if (seconds == 0 || (timed && age + TICK_SLACK <= seconds * SECOND)) surely++;
    if (!timed || seconds == 0 || age <= seconds * SECOND + TICK_SLACK) perhaps++;
  }
  const needed = max<u32>(1, wanted);
  // The newest time is known; how many there were before is not.
  if (item.forgotten != 0 && needed > 1) return askState(rule);
  if (surely >= needed) return true;
  if (perhaps < needed) return false;
  return ask(0, timed ? drawReason(REASON_STATE) : REASON_NO_TIME, rule);
}

// > The entry that was not used for longest goes once its last time is too old, but not the one at hand.
function reap(match: usize, list: List, spared: usize): void {
  const limit = <u64>load<u32>(match, SECONDS) * SECOND;
  if (list.doubt != 0) {
    // Which is the oldest is not known: any that is old enough may be gone.
    for (let place: u32 = 0; place < ENTRIES_MAX; place++) {
      const at: usize = load<u32>(placeAt(list, place));
      if (at == 0) break;
      if (at == spared || changetype<Item>(at).family == 0) continue;
      if (ageOf(at) + TICK_SLACK >= limit) doubtItem(list, at);
    }
    return;
  }
  const oldest = oldestItem(list);
  if (oldest == 0 || oldest == spared) return;
  const age = ageOf(oldest);
  if (age > limit + TICK_SLACK)
    removeItem(list, changetype<Item>(oldest), doubtOfItem(list, oldest));
  else if (age + TICK_SLACK >= limit) doubtItem(list, oldest);
}

function ageOf(item: usize): u64 {
  return now() - load<u64>(stampAt(item, changetype<Item>(item).stampIndex - 1));
}

function doubtItem(list: List, item: usize): void {
  store<u8>(doubtOfItem(list, item), 1);
  list.doubt = 1;
}

function doubtOfItem(list: List, at: usize): usize {
  const item = changetype<Item>(at);
  return doubtAt(list, item.addr0, item.addr1, item.addr2, item.addr3);
}
