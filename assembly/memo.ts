// What was said of packets without a connection. It is a cache: places are taken over by others, and what
// is not found is walked.
import { alignedLines, clearBytes, copyBytes } from "./bytes";
import { key, Key, KEY_ENDS, sameEnds, tupleHash } from "./key";
import { forgetManners, isMannerValid } from "./manner";

/** Packets of one tuple, as they are seen in one manner. */
@unmanaged
export class Memo {
  src0: u64;
  src1: u64;
  dst0: u64;
  dst1: u64;
  sport: u16;
  dport: u16;
  /** 1: it is tracked, and no connection comes of it. 0: rules say that it is not tracked. */
  tracked: u32;
  manner: u32;
  /** Number of the manner, and the packets' direction. */
  where: u32;
  /** Addresses of what was said of first packets, and of INVALID ones; 0: nothing yet. */
  sayingFirst: u32;
  sayingInvalid: u32;
  /** Address of the row that counts them. */
  row: u32;
  unused: u32;
}

if (offsetof<Memo>() != 64) ERROR("a Memo is one cache line");
if (offsetof<Memo>("tracked") != KEY_ENDS) ERROR("a Memo begins as a Key does");

// Places that are tried for a key, from the one that its hash names.
const PLACES: u32 = 4;
const MEMOS_MIN: u32 = 1 << 12;
const MEMOS_MAX: u32 = 1 << 20;

let memos: usize = 0;
let mask: u32 = 0;
let taken: u32 = 0;

/** Prepares an empty cache. */
export function setUpMemos(): void {
  makeMemos(MEMOS_MIN);
}

/** Forgets everything, of connections, too: something that rules look at may have changed. */
export function forgetMemos(): void {
  forgetManners();
  taken = 0;
}

/** What is kept of packets with the tuple of `key` that are seen in a manner; null where nothing is. */
export function findMemo(manner: u32): Memo | null {
  if (taken == 0) return null;
  const hash = tupleHash(key);
  for (let place: u32 = 0; place < PLACES; place++) {
    const memo = memoAt(hash + place);
    if (isWanted(memo, manner)) return memo;
  }
  return null;
}

/**
 * The same of a packet of IPv4.
 *
 * @param hash  of its tuple
 * @param ends  source's address, destination's << 32
 * @param ports the source's in the lower half
 */
export function findPlainMemo(hash: u32, ends: u64, ports: u32, manner: u32): Memo | null {
  if (taken == 0) return null;
  for (let place: u32 = 0; place < PLACES; place++) {
    const memo = memoAt(hash + place);
    const own = (<u32>memo.sport) | ((<u32>memo.dport) << 16);
    const same = memo.src0 == (ends & 0xffffffff) && memo.dst0 == ends >> 32 && own == ports;
    if (same && memo.manner == manner) return memo;
  }
  return null;
}

/** A place for such packets: their own, a free one, or another's. */
export function placeFor(manner: u32): Memo {
  if (taken > mask >> 1 && mask + 1 < MEMOS_MAX) makeMemos((mask + 1) << 2);
  const hash = tupleHash(key);
  let free = PLACES;
  for (let place: u32 = 0; place < PLACES; place++) {
    const memo = memoAt(hash + place);
    if (isWanted(memo, manner)) return memo;
    if (!isMannerValid(memo.manner) && free == PLACES) free = place;
  }
  if (free < PLACES) taken++;
  // Of places that are all another's, one is as good as the next.
  const memo = memoAt(hash + (free < PLACES ? free : taken & (PLACES - 1)));
  copyBytes(changetype<usize>(memo), changetype<usize>(key), KEY_ENDS);
  clearBytes(changetype<usize>(memo) + KEY_ENDS, offsetof<Memo>() - KEY_ENDS);
  memo.manner = manner;
  return memo;
}

/** Keeps what was said of its packets; what was said of others in its place is forgotten. */
export function hearMemo(memo: Memo, where: u32, invalid: bool, saying: usize, row: usize): void {
  if (memo.where != where || memo.row != <u32>row) {
    memo.where = where;
    memo.row = <u32>row;
    memo.sayingFirst = 0;
    memo.sayingInvalid = 0;
  }
  if (invalid) memo.sayingInvalid = <u32>saying;
  else memo.sayingFirst = <u32>saying;
}

// Family and protocol belong to the manner.
function isWanted(memo: Memo, manner: u32): bool {
  return memo.manner == manner && sameEnds(changetype<Key>(memo), key);
}

/** The place that a hash names. */
export function memoAt(hash: u32): Memo {
  return changetype<Memo>(memos + <usize>(hash & mask) * offsetof<Memo>());
}

function makeMemos(count: u32): void {
  mask = count - 1;
  taken = 0;
  // Each in a cache line of its own.
  memos = alignedLines(<usize>count * offsetof<Memo>());
  memory.fill(memos, 0, <usize>count * offsetof<Memo>());
}
