// `-s` and `-d`, and `-m iprange`: the addresses as rules see them now.
import { ask } from "../fork";
import {
  IPRANGE_DST,
  IPRANGE_INVERT_DST,
  IPRANGE_INVERT_SRC,
  IPRANGE_SRC,
  MATCH_HEADER_SIZE,
  REASON_MASQUERADED,
  SIDE_SRC,
} from "../layout";
import { Walk, walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const SRC: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const DST: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");

/** (address & mask) == value. */
export function matchAddress(match: usize, rule: i32): bool {
  const source = load<u8>(match, PAYLOAD) == SIDE_SRC;
  if (source && walk.srcHidden) return ask(<u64>match, REASON_MASQUERADED, rule);
  return isMasked(source ? SRC : DST, match + PAYLOAD + 4, match + PAYLOAD + 20);
}

/** Tells whether four words under a mask are a value's. IPv4 has zeros behind its one. */
export function isMasked(address: usize, value: usize, mask: usize): bool {
  for (let at: usize = 0; at < 16; at += 4) {
    if ((load<u32>(address + at) & load<u32>(mask + at)) != load<u32>(value + at)) return false;
  }
  return true;
}

/** Each end of the range belongs to it. */
export function matchIprange(match: usize): bool {
  const flags: u32 = load<u8>(match, PAYLOAD);
  const ranges = match + PAYLOAD + 4;
  if ((flags & IPRANGE_SRC) != 0) {
    if (isBetween(SRC, ranges) == ((flags & IPRANGE_INVERT_SRC) != 0)) return false;
  }
  if ((flags & IPRANGE_DST) != 0) {
    if (isBetween(DST, ranges + 32) == ((flags & IPRANGE_INVERT_DST) != 0)) return false;
  }
  return true;
}

function isBetween(address: usize, range: usize): bool {
  return !isBelow(address, range) && !isBelow(range + 16, address);
}

function isBelow(one: usize, other: usize): bool {
  for (let at: usize = 0; at < 16; at += 4) {
    const left = load<u32>(one + at);
    const right = load<u32>(other + at);
    if (left != right) return left < right;
  }
  return false;
}
