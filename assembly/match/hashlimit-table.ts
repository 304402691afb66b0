// The tables of `-m hashlimit`: entries by their keys, and the room that those leave which are collected. Of what a try
// did to an entry, its bin tells. Source: Linux, xt_hashlimit.c.
import { zeros } from "../bytes";
import { now } from "../clock";
import { touch } from "../journal";
import { HASHLIMIT_COLLECT, HASHLIMIT_EXPIRE, HASHLIMIT_MAX } from "../layout";
import { mix } from "../set";
import { sharedStateAt } from "../shared-state";
import { walk } from "../walk";
import { Bucket, TICK_SLACK } from "./bucket";
import { key, KEY_SIZE } from "./hashlimit-key";

/** Nanoseconds. */
export const MILLISECOND: u64 = 1000000;
/** The collector may come this much late. */
export const COLLECT_SLACK: u64 = 200 * MILLISECOND;

/** Bins of a table. */
export const BINS: u32 = 256;
const PIECE: u32 = 1024;

/** Entries whose keys fall together: where a try changed one of them, none of them is known. */
@unmanaged
export class Bin {
  // As in Bucket.
  usedBy: u64;
  usedAt: u64;
  usedBefore: u64;
  doubt: u8;
  unused0: u8;
  unused1: u16;
  unused2: u32;
}

/** Behind it lie its bins. */
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

/** Behind it lies its bucket. */
@unmanaged
export class Item {
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
/** Where an Item's state begins, and where its bucket lies. */
export const ITEM_STATE: usize = offsetof<Item>("refills");
export const ITEM_BUCKET: usize = offsetof<Item>();
const ITEM_SIZE: usize = ITEM_BUCKET + offsetof<Bucket>();

/** The table with a number, which is made for the first rule that asks. */
export function tableOf(number: u32, payload: usize): Table {
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

/** Hash of a key. */
export function hashOf(at: usize): u32 {
  let hash = mix(load<u32>(at, 32), load<u32>(at));
  for (let word: usize = 4; word < 32; word += 4) hash = mix(hash, load<u32>(at + word));
  return hash;
}

/** The bin of a hash, or with a number. */
export function binAt(table: Table, hash: u32): Bin {
  const bins = changetype<usize>(table) + offsetof<Table>();
  return changetype<Bin>(bins + <usize>(hash % BINS) * offsetof<Bin>());
}

/** Tells whether what happened to the bin's entries is known, or was so long ago that they are gone. */
export function isKnown(bin: Bin, lifetime: u64): bool {
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

/** Address of the Item of the packet's key; 0 without one. */
export function findItem(table: Table, hash: u32): usize {
  let node = load<u32>(headAt(table, hash));
  while (node != 0) {
    const at = itemAt(table, node - 1);
    if (memory.compare(at + ITEM_KEY, changetype<usize>(key), KEY_SIZE) == 0) return at;
    node = changetype<Item>(at).next;
  }
  return 0;
}

/** A new entry, or one that was collected; 0 when there is room for neither. */
export function addItem(table: Table, hash: u32, payload: usize, doubt: usize): usize {
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

/** Whether a table without room is full is not known: an entry that expired may be gone. */
export function mayBeFull(table: Table, payload: usize): bool {
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
