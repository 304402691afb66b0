// Fragments that wait for the rest of their datagram: a packet record and a verdict record each
// (layout.ts), and what is drawn here. Those whose verdict came after their batch was read are listed for
// the host until the next batch begins.
import { FRAGMENT_OWN, FRAGMENT_VERDICT, FRAGMENTS_MAX, PACKET_SIZE } from "./layout";
import { Packet } from "./records";
import { Verdict } from "./verdict";

/** What lies behind the two records. */
@unmanaged
export class Fragment {
  /** The next of its datagram, or of the free ones. */
  next: u32;
  /** Where it begins a run (datagram.ts): the run's range, and the next run of the datagram. */
  nextRun: u32;
  runStart: u32;
  runEnd: u32;
  /** The batch that it came in, and where its records lie there. */
  batch: u32;
  packet: u32;
  verdict: u32;
}

/** No fragment. */
export const FRAGMENT_NONE: u32 = 0xffffffff;

const RECORD_SIZE: usize = (FRAGMENT_OWN + offsetof<Fragment>() + 7) & ~7;

let records: usize = 0;
// u32[FRAGMENTS_MAX]: records settled behind their batch.
let late: usize = 0;
let lateCount: u32 = 0;
let made: u32 = 0;
let free: u32 = FRAGMENT_NONE;
let batch: u32 = 0;

/** Begins a batch: what the last one settled was read. */
export function startBatch(): void {
  batch++;
  for (let index: u32 = 0; index < lateCount; index++) release(lateNumber(index));
  lateCount = 0;
}

/** A record for a fragment of this batch; FRAGMENT_NONE: as many wait as are followed. */
export function keepFragment(packet: Packet, verdict: Verdict): u32 {
  const number = take();
  if (number == FRAGMENT_NONE) return FRAGMENT_NONE;
  memory.copy(recordAt(number), changetype<usize>(packet), PACKET_SIZE);
  const fragment = fragmentAt(number);
  fragment.next = FRAGMENT_NONE;
  fragment.batch = batch;
  fragment.packet = <u32>changetype<usize>(packet);
  fragment.verdict = <u32>changetype<usize>(verdict);
  return number;
}

export function fragmentAt(number: u32): Fragment {
  return changetype<Fragment>(recordAt(number) + FRAGMENT_OWN);
}

/** Its packet record: that of the batch while the batch is under way. */
export function packetOf(number: u32): Packet {
  const fragment = fragmentAt(number);
  return changetype<Packet>(fragment.batch == batch ? <usize>fragment.packet : recordAt(number));
}

/** Its verdict record: that of the batch while the batch is under way. */
export function verdictOf(number: u32): Verdict {
  const fragment = fragmentAt(number);
  return changetype<Verdict>(
    fragment.batch == batch ? <usize>fragment.verdict : recordAt(number) + FRAGMENT_VERDICT,
  );
}

/** Its verdict stands. The record is free at once, or once the host has read it. */
export function letGo(number: u32): void {
  if (fragmentAt(number).batch == batch) {
    release(number);
    return;
  }
  if (late == 0) late = heap.alloc(FRAGMENTS_MAX * 4);
  store<u32>(late + ((<usize>lateCount) << 2), number);
  lateCount++;
}

/** How many fragments of earlier batches got their verdicts in this one. */
export function settledCount(): u32 {
  return lateCount;
}

/** Address of one's records, as FRAGMENT_* of layout.ts says. */
export function settledAt(index: u32): usize {
  return recordAt(lateNumber(index));
}

function lateNumber(index: u32): u32 {
  return load<u32>(late + ((<usize>index) << 2));
}

function take(): u32 {
  const number = free;
  if (number != FRAGMENT_NONE) {
    free = fragmentAt(number).next;
    return number;
  }
  if (made == FRAGMENTS_MAX) return FRAGMENT_NONE;
  if (records == 0) records = heap.alloc(<usize>FRAGMENTS_MAX * RECORD_SIZE);
  made++;
  return made - 1;
}

function release(number: u32): void {
  fragmentAt(number).next = free;
  free = number;
}

function recordAt(number: u32): usize {
  return records + <usize>number * RECORD_SIZE;
}
