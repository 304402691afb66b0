// Token buckets (limit, hashlimit). What a bucket holds is a range: tries may have taken different things
// from it. The kernel's clock and its ticks are not the capture's, so it may hold a little more or less
// than that; where that decides, it is asked for. Fillings are in units of the time that refills the bucket.
import { now } from "../clock";
import { ask } from "../fork";
import { touchRange } from "../journal";
import { PACKET_HAS_TIME, REASON_NO_TIME, REASON_STATE } from "../layout";
import { Range } from "../range";
import { drawReason, walk } from "../walk";

/** Written by `packTerms` of src/match/bucket.ts. */
@unmanaged
export class Terms {
  /** Of one packet. */
  cost: i64;
  /** What the bucket has room for. */
  room: i64;
  /** How far both may be from what the kernel has. */
  costSpread: i64;
  roomSpread: i64;
  /** In a nanosecond. */
  units: i64;
}

/** The state of a bucket; all zeros when it was never used. */
@unmanaged
export class Bucket {
  /** A Range: what it holds, as far as the capture's clock is the kernel's. */
  mostHeld: i64;
  leastHeld: i64;
  /** Another: packets that were taken since it was surely full. */
  mostTaken: i64;
  leastTaken: i64;
  /** When it was surely full, and until when it is filled. */
  fullAt: u64;
  filledAt: u64;
  started: u8;
  unused0: u8;
  unused1: u16;
  unused2: u32;
  // Not taken back with a try: when any try looked at it last, and before that packet.
  usedBy: u64;
  usedAt: u64;
  usedBefore: u64;
}

/** How far the kernel's clock and the capture's may be apart, nanoseconds. */
export const CLOCK_SLACK: u64 = 1000000;
/** The same where the kernel counts ticks: at the slowest a hundred a second. */
export const TICK_SLACK: u64 = 11000000;

// No bucket holds as much.
const FULL: i64 = i64.MAX_VALUE >> 2;

/** How long nobody looked at the bucket, nanoseconds. To be asked once, in front of `refillBucket`. */
export function bucketIdle(bucket: Bucket): u64 {
  const time = now();
  if (bucket.usedBy != walk.packet.number) {
    bucket.usedBy = walk.packet.number;
    bucket.usedBefore = bucket.usedAt;
    bucket.usedAt = time;
  }
  return bucket.filledAt == time ? 0 : time - bucket.usedBefore;
}

/** Keeps what a bucket holds before something is taken from it. */
export function touchBucket(bucket: Bucket): void {
  touchRange(changetype<Range>(changetype<usize>(bucket) + offsetof<Bucket>("mostHeld")));
  touchRange(changetype<Range>(changetype<usize>(bucket) + offsetof<Bucket>("mostTaken")));
}

/** Lets time fill the bucket. Whether tries look at it or not, it comes to the same. */
export function refillBucket(bucket: Bucket, terms: Terms, slack: u64): void {
  const time = now();
  const gained = filling(terms, time - bucket.filledAt);
  const brim = terms.room + allowance(bucket, terms, slack);
  bucket.filledAt = time;
  if (bucket.started == 0 || bucket.leastHeld + gained >= brim) {
    fillBucket(bucket, terms);
    return;
  }
  bucket.mostHeld = min(bucket.mostHeld + gained, terms.room);
  bucket.leastHeld = min(bucket.leastHeld + gained, terms.room);
}

/** Fills a bucket to the brim. */
export function fillBucket(bucket: Bucket, terms: Terms): void {
  bucket.mostHeld = terms.room;
  bucket.leastHeld = terms.room;
  bucket.mostTaken = 0;
  bucket.leastTaken = 0;
  bucket.fullAt = now();
  bucket.filledAt = bucket.fullAt;
  bucket.started = 1;
}

/** As many packets as it has room for may have been taken from it. */
export function blurBucket(bucket: Bucket, terms: Terms): void {
  if (bucket.started == 0) fillBucket(bucket, terms);
  bucket.leastHeld = 0;
  bucket.mostTaken += terms.room / terms.cost + 1;
}

/** What it holds at least, whatever the time. */
export function bucketFloor(bucket: Bucket, terms: Terms): i64 {
  return max<i64>(0, terms.room - bucket.mostTaken * terms.cost);
}

/** Takes a packet out of a refilled bucket; false when it does not hold one. Precondition: what it holds is kept. */
export function takeFromBucket(bucket: Bucket, terms: Terms, slack: u64, rule: i32): bool {
  const cost = terms.cost;
  const timed = (walk.flags & PACKET_HAS_TIME) != 0;
  const give = allowance(bucket, terms, slack);
  const surely = max(timed ? bucket.leastHeld - give : 0, bucketFloor(bucket, terms)) >= cost;
  const perhaps = !timed || bucket.mostHeld + give >= cost;
  const reason = timed ? drawReason(REASON_STATE) : REASON_NO_TIME;
  if (surely || (perhaps && ask(0, reason, rule))) {
    bucket.mostHeld -= cost;
    bucket.leastHeld = max<i64>(0, bucket.leastHeld - cost);
    bucket.mostTaken++;
    bucket.leastTaken++;
    return true;
  }
  // It held less: as many were taken as it had room for, at least.
  bucket.leastTaken = max(bucket.leastTaken, terms.room / cost);
  const refilled = filling(terms, now() - bucket.fullAt);
  const held = terms.room - bucket.leastTaken * cost + refilled;
  bucket.mostHeld = min(min(bucket.mostHeld, cost - 1), held);
  bucket.leastHeld = min(bucket.leastHeld, bucket.mostHeld);
  return false;
}

/** How much more or less the kernel's bucket may hold. */
export function allowance(bucket: Bucket, terms: Terms, slack: u64): i64 {
  return <i64>slack * terms.units + terms.roomSpread + bucket.mostTaken * terms.costSpread;
}

function filling(terms: Terms, elapsed: u64): i64 {
  const most: u64 = FULL / terms.units;
  return <i64>min(elapsed, most) * terms.units;
}
