// What was said of packets, by the state that their connection had: each once, for all that say the same. Packets
// that repeat it are counted here, and at the rules only when somebody wants to know.
import { alignedLines } from "./bytes";
import { Buckets, clearBuckets, firstHung, hang, Hung, makeBuckets, nextHung } from "./hung";
import { countOutcome, Outcome, outcomeOf } from "./outcome";
import { mix } from "./set";
import { Verdict } from "./verdict";

/** All that a packet which repeats it needs, in one cache line. */
@unmanaged
export class Saying extends Hung {
  packets: u64;
  bytes: u64;
  /** Address of the one that was made before it, or 0. */
  earlier: u32;
  /** Address of the outcome. */
  outcome: u32;
  /** Number of the manner in which the packets are seen, and the way that they go (heard.ts). */
  where: u32;
  /** The connection's mark and its ENTRY_* bits. */
  mark: u32;
  flags: u16;
  /** Flags of a TCP packet that rules look at, and which of them are set. */
  tcpFlagsLookedAt: u8;
  tcpFlags: u8;
  /** Of the verdict: its word, and its flags. */
  verdict: u8;
  verdictFlags: u8;
  /** It holds for packets of so many bytes at most. */
  longest: u32;

  /** Counts a packet that repeats it. */
  @inline
  count(bytes: u32): void {
    this.packets++;
    this.bytes += bytes;
  }
}

const LINE: usize = 64;
const PIECE: u32 = 256;

if (offsetof<Saying>() > LINE) ERROR("a Saying has one cache line");

let buckets: Buckets = changetype<Buckets>(0);
// Address of the one that was made last.
let latest: usize = 0;
// Where the next one will be, and how many more have room there.
let place: usize = 0;
let room: u32 = 0;

// Those that nobody has any more, as a list through `earlier`; and how many are not among them.
let free: usize = 0;
let count: u32 = 0;

/** Prepares an empty memory. */
export function setUpSayings(): void {
  buckets = makeBuckets();
  latest = 0;
  room = 0;
  free = 0;
  count = 0;
}

/** How many are kept. */
export function sayingCount(): u32 {
  return count;
}

/** Takes all of them back, whose addresses nobody has any more. */
export function takeSayingsBack(): void {
  settleSayings();
  clearBuckets(buckets);
  while (latest != 0) {
    const saying = changetype<Saying>(latest);
    const earlier: usize = saying.earlier;
    saying.earlier = <u32>free;
    free = latest;
    latest = earlier;
  }
  count = 0;
}

/** What the walk that just ended says of packets whose connection is as this one's. */
export function sayingOf(
  verdict: Verdict,
  where: u32,
  mark: u32,
  flags: u16,
  tcpFlagsLookedAt: u32,
  tcpFlags: u32,
  longest: u32,
): Saying {
  const outcome = <u32>changetype<usize>(outcomeOf(verdict));
  const seen = tcpFlags & tcpFlagsLookedAt;
  const told = seen | (tcpFlagsLookedAt << 8) | ((<u32>flags) << 16);
  const hash = mix(mix(mix(mix(outcome, where), mark), told), longest);
  for (let at = firstHung(buckets, hash); at != 0; at = nextHung(at)) {
    const found = changetype<Saying>(at);
    const same = found.outcome == outcome && found.where == where && found.mark == mark;
    const sameFlags = found.flags == flags && found.tcpFlagsLookedAt == <u8>tcpFlagsLookedAt;
    const alike = found.tcpFlags == <u8>seen && found.longest == longest;
    if (same && sameFlags && alike) return found;
  }
  const saying = makeSaying();
  saying.outcome = outcome;
  saying.where = where;
  saying.mark = mark;
  saying.flags = flags;
  saying.tcpFlagsLookedAt = <u8>tcpFlagsLookedAt;
  saying.tcpFlags = <u8>seen;
  saying.verdict = verdict.verdict;
  saying.verdictFlags = verdict.flags;
  saying.longest = longest;
  hang(buckets, changetype<usize>(saying), hash);
  return saying;
}

function makeSaying(): Saying {
  let at = free;
  if (at != 0) {
    free = changetype<Saying>(at).earlier;
  } else {
    if (room == 0) {
      place = alignedLines(<usize>PIECE * LINE);
      room = PIECE;
    }
    at = place;
    place += LINE;
    room--;
  }
  count++;
  const saying = changetype<Saying>(at);
  saying.packets = 0;
  saying.bytes = 0;
  saying.earlier = <u32>latest;
  latest = changetype<usize>(saying);
  return saying;
}

/** Counts at their rules the packets that repeat what was said. */
export function settleSayings(): void {
  let at = latest;
  while (at != 0) {
    const saying = changetype<Saying>(at);
    countOutcome(changetype<Outcome>(saying.outcome), saying.packets, saying.bytes);
    saying.packets = 0;
    saying.bytes = 0;
    at = saying.earlier;
  }
}
