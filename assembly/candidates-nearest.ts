// The look-up in the tree of a long chain: which owner of the boxes that hold a corner is the first behind a number.
// How near it is there is the number less the owner: nearer is greater, and what is not behind it is less than half of
// what a u32 holds, as OWNER_NONE is.
// A wrong guess of a branch takes longer than boxes that are looked at in vain: next to nothing is asked but how many
// boxes there are.
import {
  DEPTH_MAX,
  FOUR_OWNERS,
  FOUR_REACH,
  FOUR_SIZE,
  LONG_HEAD,
  Node,
  PLACE_BITS,
  PLACE_FOURS,
  PLACE_LEFT,
  PLACE_NODE,
} from "./candidates-index";

// So many rests are looked at without a question whether they come too late (`npm run bench -- classify`).
const RESTS_FEW: u32 = 3;

/** No owner can be found before `leftPiece` of `leftNode` has grown: less than how near one may be. */
export const NEAREST_LEFT: u32 = 0;
export let leftNode: usize = 0;
export let leftPiece: u32 = 0;

// The corner's fields, u32 each, by FIELD_*.
const key: usize = memory.data(6 * 4, 8);
// Rests that are still to be looked at: place and first owner, u32 each.
const rests: usize = memory.data(DEPTH_MAX * 8);

/**
 * Finds the first owner behind a number whose box holds a corner.
 *
 * @param root  the tree's place
 * @param lower  the corner's fields of 32 bits
 * @param upper  and those of 16 bits
 * @param before the number
 * @param near   how near another owner is, which counts where none comes before it
 * @returns how near the owner is, or NEAREST_LEFT
 */
export function nearest(root: u32, lower: u64, upper: u64, before: u32, near: u32): u32 {
  const corner = i64x2.replace_lane(i64x2.splat(lower), 1, upper);
  store<u64>(key, lower);
  v128.store(key, i32x4.extend_high_i16x8_u(corner), 8);
  const src = v128.shuffle<u32>(corner, corner, 0, 0, 0, 0);
  const dst = v128.shuffle<u32>(corner, corner, 1, 1, 1, 1);
  const ports = v128.shuffle<u32>(corner, corner, 2, 2, 2, 2);
  const others = v128.shuffle<u32>(corner, corner, 3, 3, 3, 3);
  let best = i32x4.splat(near);
  let place = root;
  let top = rests;
  let passed: u32 = 0;
  let node = changetype<Node>(0);
  while (true) {
    while ((place & PLACE_NODE) != 0) {
      node = changetype<Node>(<usize>place - PLACE_NODE);
      store<u64>(top, load<u64>(changetype<usize>(node), offsetof<Node>("rest")));
      top += (node.rest != 0 ? 1 : 0) << 3;
      const piece = pieceOf(node);
      place = load<u32>(changetype<usize>(node) + ((<usize>piece) << 2), offsetof<Node>());
    }
    let four: usize = place & ~PLACE_BITS;
    let fours = (place & PLACE_FOURS) >> 1;
    const long = fours == 0;
    if (long) {
      if ((place & PLACE_LEFT) != 0) {
        leftNode = changetype<usize>(node);
        leftPiece = pieceOf(node);
        return NEAREST_LEFT;
      }
      const skipped = foursBefore(four, before + 1);
      fours = load<u32>(four) - skipped;
      four += LONG_HEAD + <usize>skipped * FOUR_SIZE;
    }
    while (true) {
      const held = v128.eq<i32>(beyondFour(four, src, dst, ports, others), i32x4.splat(0));
      const nears = v128.sub<u32>(i32x4.splat(before), v128.load(four, FOUR_OWNERS));
      best = v128.max<u32>(best, v128.and(nears, held));
      four += FOUR_SIZE;
      fours--;
      if (fours == 0) break;
      if (long && load<u32>(four, FOUR_OWNERS) >= before - greatest(best)) break;
    }
    do {
      if (top == rests) return greatest(best);
      top -= 8;
      passed++;
    } while (passed > RESTS_FEW && load<u32>(top, 4) >= before - greatest(best));
    place = load<u32>(top);
  }
}

// Which piece of a node the corner lies in.
function pieceOf(node: Node): u32 {
  return (load<u32>(key + node.field) >> node.shift) & node.mask;
}

// Not 0 where a box does not hold what has these fields.
function beyondFour(four: usize, src: v128, dst: v128, ports: v128, others: v128): v128 {
  const addresses = v128.or(
    beyond(src, v128.load(four), v128.load(four, FOUR_REACH)),
    beyond(dst, v128.load(four, 16), v128.load(four, FOUR_REACH + 16)),
  );
  const shorts = v128.or(
    beyondShort(ports, v128.load(four, 32), v128.load(four, FOUR_REACH + 32)),
    beyondShort(others, v128.load(four, 48), v128.load(four, FOUR_REACH + 48)),
  );
  return v128.or(addresses, shorts);
}

// Not 0 where a number is farther from the least one than it reaches.
function beyond(number: v128, least: v128, reach: v128): v128 {
  const far = v128.sub<u32>(number, least);
  return v128.xor(v128.min<u32>(far, reach), far);
}

function beyondShort(number: v128, least: v128, reach: v128): v128 {
  return v128.sub_sat<u16>(v128.sub<u16>(number, least), reach);
}

function greatest(numbers: v128): u32 {
  const halves = v128.max<u32>(numbers, v128.shuffle<u64>(numbers, numbers, 1, 0));
  return max<u32>(i32x4.extract_lane(halves, 0), i32x4.extract_lane(halves, 1));
}

// How many fours of a long leaf, but for the last, have no owner from a number on.
function foursBefore(leaf: usize, from: u32): u32 {
  let low: u32 = 0;
  let high = load<u32>(leaf) - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const last = leaf + LONG_HEAD + <usize>middle * FOUR_SIZE + FOUR_SIZE - 4;
    if (load<u32>(last) < from) low = middle + 1;
    else high = middle;
  }
  return low;
}
