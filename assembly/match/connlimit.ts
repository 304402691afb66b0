// `-m connlimit`: the connections that a rule has seen of an address. The kernel forgets those that ended
// some time later, a few at a time, so how many it still counts is told only while all of them together
// are not too many. Source: Linux, xt_connlimit.c and nf_conncount.c; kernel lab.
import { isOddGre } from "../conntrack";
import { ask } from "../fork";
import { knownConnections } from "../known-connection";
import {
  MALFORMED_NONE,
  MATCH_HEADER_SIZE,
  PACKET_LATER_FRAGMENT,
  REASON_STATE,
  SIDE_SRC,
} from "../layout";
import { mix } from "../set";
import { tracking } from "../tracking";
import { drawReason, walk } from "../walk";

const LIMIT: usize = MATCH_HEADER_SIZE;
const COUNTERS: usize = LIMIT + 4;
const BITS: usize = COUNTERS + 4;
const SIDE: usize = BITS + 1;

// Addresses that fall together are counted together: how many u32, the last packet counted u32.
const BINS: u32 = 1024;
const BIN_SHIFT: u32 = 3;
const LAST_PACKET: usize = 4;

/** The address has more connections than the limit, or, inverted, not more. */
export function matchConnlimit(match: usize, rule: i32, invert: bool): bool {
  const limit = load<u32>(match, LIMIT);
  const most = countPacket(match);
  const readable =
    walk.packet.malformed == MALFORMED_NONE && (walk.flags & PACKET_LATER_FRAGMENT) == 0;
  if (!tracking.fresh || !readable) {
    // > Of an address without any counted connection packets that are no connection's first are dropped, and
    // all that have no tuple.
    if (!isOddGre(walk.packet) && ask(0, drawReason(REASON_STATE), rule))
      return ask(0, drawReason(REASON_STATE), rule);
    walk.hotdrop = true;
    return false;
  }
  if (limit == 0) return !invert;
  // Those of before may have been counted, too.
  const perhaps = most + knownConnections();
  return (perhaps > limit && ask(0, drawReason(REASON_STATE), rule)) != invert;
}

// How many connections there may be: never too few, so it is not taken back with a try; a packet counts
// once in all its tries, and perhaps one that is no connection's first counts, too.
function countPacket(match: usize): u32 {
  const counter = counterAt(match);
  const packet = <u32>walk.packet.number;
  if (load<u32>(counter, LAST_PACKET) != packet) {
    store<u32>(counter, load<u32>(counter) + 1);
    store<u32>(counter, packet, LAST_PACKET);
  }
  return load<u32>(counter);
}

function counterAt(match: usize): usize {
  if (load<u32>(match, COUNTERS) == 0) {
    const made = heap.alloc((<usize>BINS) << BIN_SHIFT);
    memory.fill(made, 0, (<usize>BINS) << BIN_SHIFT);
    store<u32>(match, <u32>made, COUNTERS);
  }
  const bits: u32 = load<u8>(match, BITS);
  const source = load<u8>(match, SIDE) == SIDE_SRC;
  let hash = masked(source ? walk.src0 : walk.dst0, bits, 0);
  if (walk.family == 6) {
    hash = mix(hash, masked(source ? walk.src1 : walk.dst1, bits, 32));
    hash = mix(hash, masked(source ? walk.src2 : walk.dst2, bits, 64));
    hash = mix(hash, masked(source ? walk.src3 : walk.dst3, bits, 96));
  }
  return <usize>load<u32>(match, COUNTERS) + ((<usize>(mix(hash, bits) % BINS)) << BIN_SHIFT);
}

function masked(word: u32, bits: u32, before: u32): u32 {
  if (bits <= before) return 0;
  return bits >= before + 32 ? word : word & (~(<u32>0) << (before + 32 - bits));
}
