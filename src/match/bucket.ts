/**
 * The terms of a token bucket, in units of the time that refills it. The kernel counts credits by ticks of
 * its timer, whose pace a dump does not tell: how much the terms differ from pace to pace is packed, too.
 */
import type { PayloadWriter } from "./extension.ts";

/** Credits that one tick's timer gives in a second, and what it makes of a packet and of a burst. */
export interface Credits {
  readonly perSecond: bigint;
  readonly cost: bigint;
  readonly room: bigint;
}

/** Ticks of the timer in a second that a kernel can be built with; the usual one first. */
export const PACES: readonly bigint[] = [250n, 100n, 300n, 1000n];

const NANOSECONDS = 1_000_000_000n;

/** Bytes of a bucket's state: a Bucket of assembly/match/bucket.ts. */
const BUCKET_SIZE = 80;

/**
 * Terms as assembly/match/bucket.ts reads them: cost i64, room i64, how much the cost may differ i64, and
 * the room i64, units in a nanosecond i64. What the first pace holds is taken to be there whatever the pace.
 */
export function packTerms(
  creditsAt: (pace: bigint) => Credits,
  units: bigint,
  writer: PayloadWriter,
  paces = PACES,
): void {
  const all = paces.map((pace) => {
    const { perSecond, cost, room } = creditsAt(pace);
    const unitsPerSecond = NANOSECONDS * units;
    return { cost: (cost * unitsPerSecond) / perSecond, room: (room * unitsPerSecond) / perSecond };
  });
  const [usual] = all;
  if (usual === undefined) throw new Error("bug: no pace");
  const spread = (of: "cost" | "room"): bigint =>
    all.reduce((most, terms) => {
      const difference = terms[of] > usual[of] ? terms[of] - usual[of] : usual[of] - terms[of];
      return difference > most ? difference : most;
    }, 0n);
  for (const value of [usual.cost, usual.room, spread("cost"), spread("room"), units]) {
    packU64(value, writer);
  }
}

/** A bucket that was never used. */
export function packBucket(writer: PayloadWriter): void {
  for (let at = 0; at < BUCKET_SIZE; at += 4) writer.u32(0);
}

/** A number that is known: a Range of assembly/range.ts. */
export function packRange(value: bigint, writer: PayloadWriter): void {
  packU64(value, writer);
  packU64(value, writer);
}

/** Low word first. */
export function packU64(value: bigint, writer: PayloadWriter): void {
  writer.u32(Number(value & 0xffffffffn));
  writer.u32(Number((value >> 32n) & 0xffffffffn));
}

/** The largest power of two that is not above `value`. */
export function powerBelow(value: bigint): bigint {
  return 1n << BigInt(value.toString(2).length - 1);
}
