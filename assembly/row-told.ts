// What is told of rows' first packets. Flows are many, and little of it differs: rows have it in common.
import { copyBytes, sameBytes, stirBytes, stirred } from "./bytes";
import { VerdictEnds } from "./kept-verdict";

/** What is told of a row's first packet, and of those of others: only the draft changes. */
@unmanaged
export class Told {
  /** Address of the verdict, and what it has not in common with others: VerdictEnds. */
  verdict: u32;
  /** Of the draft; else 0, as rows have it. */
  decider: i32;
  srcRoute: i32;
  dstRoute: i32;
  inInterface: u32;
  outInterface: u32;
  known: u16;
  /** IP's version, and WIDE. */
  family: u8;
  protocol: u8;
  unused: u32;
}

const TOLD_ENDS: usize = offsetof<Told>("decider");
if (offsetof<Told>("known") - TOLD_ENDS != offsetof<VerdictEnds>()) ERROR("VerdictEnds");
const TOLD_SIZE: usize = 32;
if (offsetof<Told>() != TOLD_SIZE) ERROR("TOLD_SIZE");

/** The row's ends are WideEnds (row-ends.ts). */
export const WIDE: u8 = 1 << 7;

/** What will be told of a row. */
export const toldDraft: Told = changetype<Told>(memory.data(32, 8));

/** Begins the draft with what is told already. */
export function draftFrom(told: Told): void {
  copyBytes(changetype<usize>(toldDraft), changetype<usize>(told), TOLD_SIZE);
}

/** What is told of the ends of a verdict. */
export function verdictEndsOf(told: Told): VerdictEnds {
  return changetype<VerdictEnds>(changetype<usize>(told) + TOLD_ENDS);
}

// Of those that were told last, each in the only place for it by its hash: u32 address, u32 of the hash.
const RECENT_BITS: u32 = 12;
const recent: usize = memory.data(8 << 12, 8);

/** Keeps the draft. @returns address of what is like it, perhaps of another row */
export function keepTold(): u32 {
  const own = changetype<usize>(toldDraft);
  const hash = stirred(stirBytes(own, TOLD_SIZE));
  const place = recent + ((<usize>(hash & ((1 << RECENT_BITS) - 1))) << 3);
  const before = load<u32>(place);
  // Where most differ, what was told before is in no cache: the hash is asked first.
  const alike = before != 0 && load<u32>(place, 4) == hash;
  if (alike && sameBytes(before, own, TOLD_SIZE)) return before;
  const told = <u32>heap.alloc(TOLD_SIZE);
  copyBytes(told, own, TOLD_SIZE);
  store<u32>(place, told);
  store<u32>(place, hash, 4);
  return told;
}
