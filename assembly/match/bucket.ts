// Token buckets (limit, hashlimit). The kernel's clock and its ticks are not the capture's, so a bucket
// is kept as two: one that is given its filling as early as the kernel could, one as late. While both
// hold the same and decide alike, the kernel decides so, too; else it is asked for.
// Fillings are in units of the time that refills the bucket.
import { now } from "../entry-life";
import { ask } from "../fork";
import { touch } from "../journal";
import { PACKET_HAS_TIME, REASON_NO_TIME, REASON_STATE } from "../layout";
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
  early: i64;
  late: i64;
  /** The kernel's holds at least this much, whatever the time. */
  floor: i64;
  /** Until when it is filled. */
  filledAt: u64;
  /** Packets that were taken since it was surely full. */
  taken: u32;
  /** 1: what the last packet took is not known. */
  doubt: u8;
  started: u8;
  unused: u16;
  // Not taken back with a try: when any try looked at it last, and before that packet.
  usedBy: u64;
  usedAt: u64;
  usedBefore: u64;
}

const STATE_SIZE: usize = offsetof<Bucket>("usedBy");

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

/** Keeps a bucket's state before it is changed. `doubt` is as for `touch`. */
export function touchBucket(bucket: Bucket, doubt: usize): void {
  touch(changetype<usize>(bucket), STATE_SIZE, doubt);
}

/** Lets time fill the bucket. Precondition: its state is kept. */
export function refillBucket(bucket: Bucket, terms: Terms, idleFor: u64, slack: u64): void {
  const time = now();
  const idle = filling(terms, idleFor);
  const gained = filling(terms, time - bucket.filledAt);
  const brim = terms.room + allowance(bucket, terms, slack);
  bucket.filledAt = time;
  if (bucket.started == 0 || idle >= brim || (bucket.doubt == 0 && bucket.early + gained >= brim)) {
    fillBucket(bucket, terms);
    return;
  }
  bucket.early = min(bucket.early + gained, terms.room);
  bucket.late = min(bucket.late + gained, terms.room);
}

/** Fills a bucket to the brim. Precondition: its state is kept. */
export function fillBucket(bucket: Bucket, terms: Terms): void {
  bucket.early = terms.room;
  bucket.late = terms.room;
  bucket.floor = terms.room;
  bucket.filledAt = now();
  bucket.taken = 0;
  bucket.doubt = 0;
  bucket.started = 1;
}

/** Takes this much out of a refilled bucket; false when it does not hold that much. */
export function takeFromBucket(
  bucket: Bucket,
  terms: Terms,
  cost: i64,
  slack: u64,
  rule: i32,
): bool {
  if (bucket.doubt != 0) return ask(0, drawReason(REASON_STATE), rule);
  const timed = (walk.flags & PACKET_HAS_TIME) != 0;
  const give = allowance(bucket, terms, slack);
  const inStep = bucket.early == bucket.late;
  const early = !timed || bucket.early + give >= cost;
  const late = max(timed ? bucket.late - give : 0, bucket.floor) >= cost;
  if (early) {
    bucket.early -= cost;
    bucket.floor = max<i64>(0, bucket.floor - cost);
    bucket.taken++;
  }
  if (late) bucket.late -= cost;
  if (inStep && early == late) return early;
  return ask(0, timed ? drawReason(REASON_STATE) : REASON_NO_TIME, rule);
}

/** How much more or less the kernel's bucket may hold. */
export function allowance(bucket: Bucket, terms: Terms, slack: u64): i64 {
  return <i64>slack * terms.units + terms.roomSpread + <i64>bucket.taken * terms.costSpread;
}

function filling(terms: Terms, elapsed: u64): i64 {
  const most: u64 = FULL / terms.units;
  return <i64>min(elapsed, most) * terms.units;
}
