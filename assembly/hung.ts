// Records that hang in chains by their hash, to be found again by what is in them. Each begins with a Hung.
// Buckets grow with what hangs in them; nothing is freed.
import { zeros } from "./bytes";

/** What such a record begins with. */
@unmanaged
export class Hung {
  /** Address of the next in this hash's bucket, or 0. */
  next: u32;
  hash: u32;
}

@unmanaged
export class Buckets {
  /** Address of u32[mask + 1]: the first record of each bucket, or 0. */
  first: u32;
  mask: u32;
  /** Records that hang there. */
  count: u32;
  unused: u32;
}

const BUCKETS_MIN: u32 = 1 << 10;

/** Makes buckets in which nothing hangs. */
export function makeBuckets(): Buckets {
  const buckets = changetype<Buckets>(heap.alloc(offsetof<Buckets>()));
  empty(buckets, BUCKETS_MIN);
  return buckets;
}

/** Lets go of all that hangs there. */
export function clearBuckets(buckets: Buckets): void {
  memory.fill(buckets.first, 0, (<usize>buckets.mask + 1) << 2);
  buckets.count = 0;
}

/** Address of the first record with a hash; 0 without one. */
export function firstHung(buckets: Buckets, hash: u32): usize {
  return withHash(load<u32>(bucketAt(buckets, hash)), hash);
}

/** Address of the next record with the same hash; 0 without one. */
export function nextHung(at: usize): usize {
  const hung = changetype<Hung>(at);
  return withHash(hung.next, hung.hash);
}

/** Hangs up a record. */
export function hang(buckets: Buckets, at: usize, hash: u32): void {
  if (buckets.count > buckets.mask) grow(buckets);
  buckets.count++;
  changetype<Hung>(at).hash = hash;
  put(buckets, at);
}

function withHash(first: usize, hash: u32): usize {
  let at = first;
  while (at != 0 && changetype<Hung>(at).hash != hash) at = changetype<Hung>(at).next;
  return at;
}

function put(buckets: Buckets, at: usize): void {
  const hung = changetype<Hung>(at);
  const bucket = bucketAt(buckets, hung.hash);
  hung.next = load<u32>(bucket);
  store<u32>(bucket, <u32>at);
}

function bucketAt(buckets: Buckets, hash: u32): usize {
  return <usize>buckets.first + ((<usize>(hash & buckets.mask)) << 2);
}

function empty(buckets: Buckets, size: u32): void {
  buckets.mask = size - 1;
  buckets.count = 0;
  buckets.first = <u32>zeros((<usize>size) << 2);
}

// Four times the buckets, and every record hung up anew.
function grow(buckets: Buckets): void {
  const before: usize = buckets.first;
  const size = buckets.mask + 1;
  const count = buckets.count;
  empty(buckets, size << 2);
  buckets.count = count;
  for (let bucket: u32 = 0; bucket < size; bucket++) {
    let at: usize = load<u32>(before + ((<usize>bucket) << 2));
    while (at != 0) {
      const next: usize = changetype<Hung>(at).next;
      put(buckets, at);
      at = next;
    }
  }
}
