// `-m hashlimit`: a token bucket, or a count of some seconds, for each address or port; tables are shared
// by name. Entries that nobody uses are collected some time after they expire, then begin anew.
// Source: Linux, xt_hashlimit.c; kernel lab.
import { zeros } from "../bytes";
import { now } from "../clock";
import { currentBytes, hasBytes, wordAt } from "../current-bytes";
import { ask } from "../fork";
import { touch } from "../journal";
import {
  HASHLIMIT_BYTES,
  HASHLIMIT_COLLECT,
  HASHLIMIT_DPORT,
  HASHLIMIT_DST,
  HASHLIMIT_DST_BITS,
  HASHLIMIT_EXPIRE,
  HASHLIMIT_FLAGS,
  HASHLIMIT_INTERVAL,
  HASHLIMIT_MAX,
  HASHLIMIT_RATE,
  HASHLIMIT_RATE_ROOM,
  HASHLIMIT_RATE_SECOND,
  HASHLIMIT_REFILLS,
  HASHLIMIT_SPORT,
  HASHLIMIT_SRC,
  HASHLIMIT_SRC_BITS,
  HASHLIMIT_TABLE,
  HASHLIMIT_TERMS,
  KNOWN_IP_LENGTH,
  MATCH_HEADER_SIZE,
  PACKET_HAS_TIME,
  PACKET_LATER_FRAGMENT,
  REASON_NO_HEADER,
  REASON_NO_PAYLOAD,
  REASON_NO_TIME,
  REASON_STATE,
} from "../layout";
import { transportBytes } from "../payload";
import { mix } from "../set";
import { sharedConflicts, sharedStateAt } from "../shared-state";
import { drawReason, walk } from "../walk";
import {
  allowance,
  Bucket,
  bucketFloor,
  bucketIdle,
  fillBucket,
  refillBucket,
  takeFromBucket,
  Terms,
  TICK_SLACK,
  touchBucket,
} from "./bucket";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

const MILLISECOND: u64 = 1000000;
/** The collector may come this much late. */
const COLLECT_SLACK: u64 = 200 * MILLISECOND;
/** > The kernel counts bytes by sixteen. */
const CHUNK_SHIFT: u32 = 4;
// Milliseconds that are as good as for ever.
const LONG: u64 = 1000000000;

const BINS: u32 = 256;
const PIECE: u32 = 1024;

/** Entries whose keys fall together: where a try changed one of them, none of them is known. */
@unmanaged
class Bin {
  // As in Bucket.
  usedBy: u64;
  usedAt: u64;
  usedBefore: u64;
  doubt: u8;
  unused0: u8;
  unused1: u16;
  unused2: u32;
}

@unmanaged
class Table {
  count: u32;
  // What follows is not taken back with a try.
  headMask: u32;
  heads: u32;
  /** u32 for every PIECE entries: their address. */
  pieces: u32;
  /** Entries that may be there, and of which nothing else is known. */
  blurred: u32;
  /** No entry was used last before then. */
  earliest: u64;
}

const TABLE_SIZE: usize = offsetof<Table>() + BINS * offsetof<Bin>();

@unmanaged
class Key {
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  dst0: u32;
  dst1: u32;
  dst2: u32;
  dst3: u32;
  ports: u32;
}

const key: Key = changetype<Key>(memory.data(offsetof<Key>()));
const KEY_SIZE: usize = offsetof<Key>();

/** Behind it lies its bucket. */
@unmanaged
class Item {
  /** Number plus one of the next with this hash. */
  next: u32;
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  dst0: u32;
  dst1: u32;
  dst2: u32;
  dst3: u32;
  ports: u32;
  /** By bytes: how often it may still be filled up. */
  refills: u32;
  /** By rate: the last interval had too many. */
  over: u8;
  unused0: u8;
  unused1: u16;
  /** By rate: when the interval began, and what it had since. */
  windowAt: u64;
  current: u64;
}

const ITEM_KEY: usize = offsetof<Item>("src0");
const ITEM_STATE: usize = offsetof<Item>("refills");
const ITEM_BUCKET: usize = offsetof<Item>();
const BUCKET_TIME: usize = offsetof<Bucket>("fullAt");
const BUCKET_TIME_SIZE: usize = offsetof<Bucket>("usedBy") - BUCKET_TIME;
const ITEM_SIZE: usize = ITEM_BUCKET + offsetof<Bucket>();

/** What the table says: not more than the limit; or more, for `--hashlimit-above`. */
export function matchHashlimit(match: usize, rule: i32, above: bool): bool {
  const payload = match + PAYLOAD;
  const number = load<u32>(payload, HASHLIMIT_TABLE);
  if (sharedConflicts(number) != 0) return askState(rule);
  const flags: u32 = load<u16>(payload, HASHLIMIT_FLAGS);
  const byPorts = (flags & (HASHLIMIT_SPORT | HASHLIMIT_DPORT)) != 0;
  if (byPorts && walk.sportDrawn) {
    blurHashlimit(match);
    return askState(rule);
  }
  if (byPorts && !takePorts(flags)) {
    if (isShort()) {
      walk.hotdrop = true;
      return false;
    }
    return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  }
  takeAddresses(payload, flags);
  const table = tableOf(number, payload);
  const hash = hashOf(changetype<usize>(key));
  const bin = binAt(table, hash);
  const doubt = changetype<usize>(bin) + offsetof<Bin>("doubt");
  const lifetime =
    (<u64>load<u32>(payload, HASHLIMIT_EXPIRE) + load<u32>(payload, HASHLIMIT_COLLECT)) *
      MILLISECOND +
    COLLECT_SLACK;
  if (!isKnown(bin, lifetime)) return askState(rule);
  let at = findItem(table, hash);
  const fresh = at == 0;
  if (fresh) {
    const full =
      table.blurred != 0 && table.count + table.blurred >= load<u32>(payload, HASHLIMIT_MAX);
    if (full && askDoubtful(doubt, rule)) {
      walk.hotdrop = true;
      return false;
    }
    at = addItem(table, hash, payload, doubt);
    if (at == 0) {
      // > A table that is full drops what it has no entry for. An entry that expired may be gone.
      if (mayBeFull(table, payload) && !askDoubtful(doubt, rule)) return !above;
      walk.hotdrop = true;
      return false;
    }
  }
  if (!fresh) touch(at + ITEM_STATE, ITEM_BUCKET - ITEM_STATE, doubt);
  const item = changetype<Item>(at);
  const bucket = changetype<Bucket>(at + ITEM_BUCKET);
  if (!fresh) {
    touchBucket(bucket);
    touch(changetype<usize>(bucket) + BUCKET_TIME, BUCKET_TIME_SIZE, doubt);
  }
  const idle = fresh ? 0 : bucketIdle(bucket);
  const expire = <u64>load<u32>(payload, HASHLIMIT_EXPIRE) * MILLISECOND;
  const collected = fresh || idle >= lifetime;
  const perhaps = !collected && idle + TICK_SLACK >= expire;
  if (collected) startItem(item, bucket, payload, fresh);
  const within =
    (flags & HASHLIMIT_RATE) != 0
      ? countRate(item, bucket, payload, perhaps, doubt, rule)
      : (flags & HASHLIMIT_BYTES) != 0
        ? takeBytes(item, bucket, payload, perhaps, doubt, rule)
        : takePacket(bucket, payload, perhaps, rule);
  return within != above;
}

/** A packet may have come to the rule, of whatever key. */
export function blurHashlimit(match: usize): void {
  const payload = match + PAYLOAD;
  const table = tableOf(load<u32>(payload, HASHLIMIT_TABLE), payload);
  table.blurred++;
  for (let number: u32 = 0; number < BINS; number++) {
    const bin = binAt(table, number);
    bin.doubt = 1;
    bin.usedAt = now();
  }
}

function askState(rule: i32): bool {
  return ask(0, drawReason(REASON_STATE), rule);
}

// The entry is in a state that is one of several.
function askDoubtful(doubt: usize, rule: i32): bool {
  touch(doubt, 1, 0);
  store<u8>(doubt, 1);
  return ask(
    0,
    (walk.flags & PACKET_HAS_TIME) != 0 ? drawReason(REASON_STATE) : REASON_NO_TIME,
    rule,
  );
}

function takePacket(bucket: Bucket, payload: usize, perhaps: bool, rule: i32): bool {
  const terms = changetype<Terms>(payload + HASHLIMIT_TERMS);
  refillBucket(bucket, terms, TICK_SLACK);
  // Collected in the meantime or not.
  if (perhaps) {
    bucket.mostHeld = terms.room;
    bucket.leastTaken = 0;
  }
  return takeFromBucket(bucket, terms, TICK_SLACK, rule);
}

// > What a packet has, by sixteen bytes; an empty bucket is filled up as often as the burst says.
function takeBytes(
  item: Item,
  bucket: Bucket,
  payload: usize,
  perhaps: bool,
  doubt: usize,
  rule: i32,
): bool {
  if ((walk.known & KNOWN_IP_LENGTH) == 0) {
    askDoubtful(doubt, rule);
    return ask(0, REASON_NO_HEADER, rule);
  }
  const terms = changetype<Terms>(payload + HASHLIMIT_TERMS);
  refillBucket(bucket, terms, TICK_SLACK);
  const untimed = (walk.flags & PACKET_HAS_TIME) == 0 && bucket.leastHeld < terms.room;
  const full =
    bucketFloor(bucket, terms) == terms.room &&
    item.refills == load<u32>(payload, HASHLIMIT_REFILLS);
  if ((perhaps && !full) || untimed) return askDoubtful(doubt, rule);
  const chunks: i64 = (walk.packet.ipLength >> CHUNK_SHIFT) + 1;
  const cost = min(chunks * terms.cost, terms.room);
  const give = allowance(bucket, terms, TICK_SLACK) + chunks * terms.costSpread;
  const least = max(bucket.leastHeld - give, bucketFloor(bucket, terms));
  if (least < cost) {
    if (bucket.mostHeld + give >= cost) return askDoubtful(doubt, rule);
    if (item.refills == 0) return false;
    item.refills--;
    fillBucket(bucket, terms);
  }
  bucket.mostHeld -= cost;
  bucket.leastHeld = max<i64>(0, bucket.leastHeld - cost);
  bucket.mostTaken += chunks;
  bucket.leastTaken += chunks;
  return true;
}

// > Packets or bytes of an interval; after one that had too many, none of the next are within.
function countRate(
  item: Item,
  bucket: Bucket,
  payload: usize,
  perhaps: bool,
  doubt: usize,
  rule: i32,
): bool {
  const bytes = ((<u32>load<u16>(payload, HASHLIMIT_FLAGS)) & HASHLIMIT_BYTES) != 0;
  if (bytes && (walk.known & KNOWN_IP_LENGTH) == 0) {
    askDoubtful(doubt, rule);
    return ask(0, REASON_NO_HEADER, rule);
  }
  bucket.filledAt = now();
  if (perhaps || (walk.flags & PACKET_HAS_TIME) == 0) return askDoubtful(doubt, rule);
  const interval: u64 = load<u32>(payload, HASHLIMIT_INTERVAL);
  const age = min((now() - item.windowAt) / MILLISECOND, LONG);
  const slack = TICK_SLACK / MILLISECOND;
  if (age + slack >= interval) {
    if (age < interval + slack) return askDoubtful(doubt, rule);
    const rate = load<u64>(payload, HASHLIMIT_RATE_SECOND);
    const had = item.current * interval;
    const surely = had > (age + slack) * rate;
    if (!surely && had > (age - slack) * rate) return askDoubtful(doubt, rule);
    item.windowAt = now();
    item.over = surely ? 1 : 0;
    item.current = 0;
  }
  item.current += bytes ? walk.packet.ipLength : 1;
  return item.over == 0 && item.current <= load<u64>(payload, HASHLIMIT_RATE_ROOM);
}

function startItem(item: Item, bucket: Bucket, payload: usize, fresh: bool): void {
  if (fresh) {
    memory.fill(changetype<usize>(bucket), 0, offsetof<Bucket>());
    bucketIdle(bucket);
  }
  fillBucket(bucket, changetype<Terms>(payload + HASHLIMIT_TERMS));
  item.refills = load<u32>(payload, HASHLIMIT_REFILLS);
  item.windowAt = now();
  item.current = 0;
  item.over = 0;
}

// ── Keys ───────────────────────────────────────────────────────────────────────────────────────────────

function takeAddresses(payload: usize, flags: u32): void {
  memory.fill(changetype<usize>(key), 0, KEY_SIZE - 4);
  if ((flags & (HASHLIMIT_SPORT | HASHLIMIT_DPORT)) == 0) key.ports = 0;
  if ((flags & HASHLIMIT_SRC) != 0) {
    const bits: u32 = load<u8>(payload, HASHLIMIT_SRC_BITS);
    key.src0 = masked(walk.src0, bits, 0);
    key.src1 = masked(walk.src1, bits, 32);
    key.src2 = masked(walk.src2, bits, 64);
    key.src3 = masked(walk.src3, bits, 96);
  }
  if ((flags & HASHLIMIT_DST) != 0) {
    const bits: u32 = load<u8>(payload, HASHLIMIT_DST_BITS);
    key.dst0 = masked(walk.dst0, bits, 0);
    key.dst1 = masked(walk.dst1, bits, 32);
    key.dst2 = masked(walk.dst2, bits, 64);
    key.dst3 = masked(walk.dst3, bits, 96);
  }
}

function masked(word: u32, bits: u32, before: u32): u32 {
  if (bits <= before) return 0;
  return bits >= before + 32 ? word : word & (~(<u32>0) << (before + 32 - bits));
}

const ESP: u32 = 50;
const AH: u32 = 51;

// False when they cannot be read.
function takePorts(flags: u32): bool {
  key.ports = 0;
  const later = (walk.flags & PACKET_LATER_FRAGMENT) != 0;
  // > In IPv6 the fragment header ends the search: no ports.
  if (later && walk.family == 6) return true;
  let ports: u32;
  const protocol = walk.protocol;
  const plain =
    protocol == 6 || protocol == 17 || protocol == 132 || protocol == 136 || protocol == 33;
  if (plain && !later) {
    if (isShort()) return false;
    ports = (walk.sport << 16) | walk.dport;
  } else if (plain || protocol == ESP || protocol == AH) {
    // Four bytes are taken for ports, whatever they are.
    const skipped: u32 = protocol == AH ? 4 : 0;
    if (isShort()) return false;
    const header = transportBytes(skipped + 4);
    if (header != 0) ports = wordAt(header + skipped);
    else {
      if (!hasBytes() || walk.family == 6) return false;
      const size = ((<u32>load<u8>(walk.packet.network)) & 0xf) << 2;
      if (walk.packet.network + size + skipped + 4 > walk.packet.end) return false;
      ports = wordAt(currentBytes() + size + skipped);
    }
  } else return true;
  if ((flags & HASHLIMIT_SPORT) == 0) ports &= 0xffff;
  if ((flags & HASHLIMIT_DPORT) == 0) ports &= 0xffff0000;
  key.ports = ports;
  return true;
}

// The packet itself has no four bytes where the ports are.
function isShort(): bool {
  return walk.transportLength < <u32>(walk.protocol == AH ? 8 : 4);
}

// ── Tables ─────────────────────────────────────────────────────────────────────────────────────────────

function tableOf(number: u32, payload: usize): Table {
  const record = sharedStateAt(number);
  if (load<u32>(record) == 0) {
    const made = zeros(TABLE_SIZE);
    const table = changetype<Table>(made);
    const most = load<u32>(payload, HASHLIMIT_MAX);
    let heads: u32 = 256;
    while (heads < most >> 2 && heads < 0x10000) heads <<= 1;
    table.headMask = heads - 1;
    table.heads = <u32>zeros((<usize>heads) << 2);
    const pieces = (<usize>(most / PIECE) + 1) << 2;
    table.pieces = <u32>zeros(pieces);
    store<u32>(record, <u32>made);
  }
  return changetype<Table>(<usize>load<u32>(record));
}

function hashOf(at: usize): u32 {
  let hash = mix(load<u32>(at, 32), load<u32>(at));
  for (let word: usize = 4; word < 32; word += 4) hash = mix(hash, load<u32>(at + word));
  return hash;
}

function binAt(table: Table, hash: u32): Bin {
  const bins = changetype<usize>(table) + offsetof<Table>();
  return changetype<Bin>(bins + <usize>(hash % BINS) * offsetof<Bin>());
}

// What happened to the bin's entries is known, or so long ago that they are gone.
function isKnown(bin: Bin, lifetime: u64): bool {
  if (bin.usedBy != walk.packet.number) {
    bin.usedBy = walk.packet.number;
    bin.usedBefore = bin.usedAt;
    bin.usedAt = now();
  }
  if (bin.doubt == 0) return true;
  if (now() - bin.usedBefore < lifetime) return false;
  const doubt = changetype<usize>(bin) + offsetof<Bin>("doubt");
  touch(doubt, 1, doubt);
  bin.doubt = 0;
  return true;
}

function itemAt(table: Table, number: u32): usize {
  const piece: usize = load<u32>(<usize>table.pieces + ((<usize>(number / PIECE)) << 2));
  return piece + <usize>(number % PIECE) * ITEM_SIZE;
}

function headAt(table: Table, hash: u32): usize {
  return <usize>table.heads + ((<usize>((hash >> 8) & table.headMask)) << 2);
}

function findItem(table: Table, hash: u32): usize {
  let node = load<u32>(headAt(table, hash));
  while (node != 0) {
    const at = itemAt(table, node - 1);
    if (memory.compare(at + ITEM_KEY, changetype<usize>(key), KEY_SIZE) == 0) return at;
    node = changetype<Item>(at).next;
  }
  return 0;
}

// A new entry, or one that was collected; 0 when there is room for neither.
function addItem(table: Table, hash: u32, payload: usize, doubt: usize): usize {
  let number = table.count;
  if (number < load<u32>(payload, HASHLIMIT_MAX)) {
    touch(changetype<usize>(table), 4, doubt);
    table.count++;
    const piece = <usize>table.pieces + ((<usize>(number / PIECE)) << 2);
    if (load<u32>(piece) == 0) store<u32>(piece, <u32>heap.alloc(<usize>PIECE * ITEM_SIZE));
  } else {
    number = unlinkExpired(table, payload, doubt);
    if (number == u32.MAX_VALUE) return 0;
  }
  const head = headAt(table, hash);
  const at = itemAt(table, number);
  touch(at, ITEM_SIZE - 3 * sizeof<u64>(), doubt);
  touch(head, 4, doubt);
  const item = changetype<Item>(at);
  item.next = load<u32>(head);
  memory.copy(at + ITEM_KEY, changetype<usize>(key), KEY_SIZE);
  store<u32>(head, number + 1);
  return at;
}

// Takes an entry out that the collector has surely taken; the largest number without one.
function unlinkExpired(table: Table, payload: usize, doubt: usize): u32 {
  const lifetime =
    (<u64>load<u32>(payload, HASHLIMIT_EXPIRE) + load<u32>(payload, HASHLIMIT_COLLECT)) *
      MILLISECOND +
    COLLECT_SLACK;
  if (now() < table.earliest + lifetime) return u32.MAX_VALUE;
  let earliest = now();
  for (let number: u32 = 0; number < table.count; number++) {
    const at = itemAt(table, number);
    const usedAt = changetype<Bucket>(at + ITEM_BUCKET).usedAt;
    if (now() - usedAt < lifetime) {
      earliest = min(earliest, usedAt);
      continue;
    }
    unlink(table, number, doubt);
    return number;
  }
  table.earliest = earliest;
  return u32.MAX_VALUE;
}

function mayBeFull(table: Table, payload: usize): bool {
  const expire = <u64>load<u32>(payload, HASHLIMIT_EXPIRE) * MILLISECOND;
  return now() + TICK_SLACK >= table.earliest + expire;
}

function unlink(table: Table, number: u32, doubt: usize): void {
  const at = itemAt(table, number);
  let link = headAt(table, hashOf(at + ITEM_KEY));
  while (load<u32>(link) != number + 1) link = itemAt(table, load<u32>(link) - 1);
  touch(link, 4, doubt);
  store<u32>(link, changetype<Item>(at).next);
}
