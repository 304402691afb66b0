// Rules of a long chain by what their headers must be: which rule can match next, without a look at those
// between. Only what a rule asks of addresses, interfaces, protocol and ports before anything else is used; the
// walk tests each candidate as it tests any rule, but for those that ask for nothing else. Each rule asks for a
// box in the space of these fields; the boxes lie in a decision tree (candidates-build.ts), which is made once the
// chain was walked some times.
import { growTree } from "./candidates-build";
import { interfaceRank } from "./candidates-interface";
import {
  ChainIndex,
  DEPTH_MAX,
  FOUR_OWNERS,
  FOUR_REACH,
  FOUR_SIZE,
  indexOf,
  key,
  LONG_HEAD,
  Node,
  OWNER_SURE,
  PLACE_BITS,
  PLACE_NODE,
} from "./candidates-index";
import { rankOf } from "./candidates-rank";
import {
  KNOWN_PORTS,
  KNOWN_PROTOCOL,
  MALFORMED_NONE,
  PACKET_AUTHENTICATED,
  PACKET_FRAGMENT,
} from "./layout";
import { hasPorts } from "./protocol";
import { walk } from "./walk";

// Making trees takes about as long as looking so often at each rule.
const WALKS: u32 = 16;
// Lists up to this long are searched from the front.
const SHORT: u32 = 8;

// Rules may be passed over at all.
let allowed: bool = false;
// Places that are still to be looked at, u32 each: a node has one rest.
const rests: usize = memory.data(DEPTH_MAX * 4);

/** The candidate that was named last asks for nothing that is not known to hold. */
export let candidateIsSure: bool = false;

/** Says whether rules may be passed over at all; those that are all looked at are the reference. */
export function setUpCandidates(may: bool): void {
  allowed = may;
}

/**
 * Tells whether rules may be passed over for the packet under way. Where headers cannot be read in full,
 * rules drop packets or ask; where an interface is not known, they ask.
 */
export function hasCandidates(): bool {
  if (!allowed || walk.inUnknown || walk.outUnknown) return false;
  if (walk.packet.malformed != MALFORMED_NONE || (walk.known & KNOWN_PROTOCOL) == 0) return false;
  if ((walk.flags & (PACKET_FRAGMENT | PACKET_AUTHENTICATED)) != 0) return false;
  if (!hasPorts(walk.protocol)) return true;
  return (walk.known & KNOWN_PORTS) != 0 && !walk.sportDrawn;
}

/** The first record from this one on that may match; the chain's end at last. Its rule has RULE_LEAPS. */
export function nextCandidate(rule: u32): u32 {
  candidateIsSure = false;
  const index = indexOf(rule);
  if (index.root == 0 && !isReady(index)) return rule;
  const owner = firstOwner(index, rule << 1);
  candidateIsSure = (owner & OWNER_SURE) != 0;
  return owner >> 1;
}

function isReady(index: ChainIndex): bool {
  index.asked++;
  return index.asked >= (index.end - index.first) * WALKS && growTree(index, walk.family);
}

function firstOwner(index: ChainIndex, from: u32): u32 {
  if (index.asksSport) walk.sportLookedAt = true;
  if (index.asksDport) walk.dportLookedAt = true;
  const face = interfaceRank(index.leaving ? walk.outInterface : walk.inInterface);
  const src =
    index.srcRanks == 0
      ? walk.src0
      : rankOfWords(index.srcRanks, walk.src0, walk.src1, walk.src2, walk.src3);
  const dst =
    index.dstRanks == 0
      ? walk.dst0
      : rankOfWords(index.dstRanks, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  const ports = walk.sport | (walk.dport << 16);
  const rest = walk.protocol | (face << 16);
  const lower = (<u64>src) | ((<u64>dst) << 32);
  return ownerOf(index, lower, (<u64>ports) | ((<u64>rest) << 32), from);
}

/**
 * The first owner from `from` on whose box holds a corner; where there is none, that of the chain's end.
 *
 * @param lower the corner's fields of 32 bits
 * @param upper and those of 16 bits
 */
export function ownerOf(index: ChainIndex, lower: u64, upper: u64, from: u32): u32 {
  const corner = i64x2.replace_lane(i64x2.splat(lower), 1, upper);
  store<u64>(key, lower);
  v128.store(key, i32x4.extend_high_i16x8_u(corner), 8);
  const place = firstFrom(index.wholes, index.wholeCount, from);
  const whole =
    place < index.wholeCount
      ? load<u32>(<usize>index.wholes + ((<usize>place) << 2))
      : index.end << 1;
  const before = from - 1;
  return before - nearest(index.root, corner, before, before - whole);
}

function rankOfWords(ranks: usize, word0: u32, word1: u32, word2: u32, word3: u32): u32 {
  return rankOf(ranks, ((<u64>word0) << 32) | word1, ((<u64>word2) << 32) | word3);
}

// How near behind a number the first owner is whose box holds the corner; `near` where none comes before it. Nearer
// is greater: owners are taken from the number, so that what is not behind it is less than all that is.
// A wrong guess takes longer than boxes that are looked at in vain: next to nothing is asked but how many there are.
function nearest(root: u32, corner: v128, before: u32, near: u32): u32 {
  const src = v128.shuffle<u32>(corner, corner, 0, 0, 0, 0);
  const dst = v128.shuffle<u32>(corner, corner, 1, 1, 1, 1);
  const ports = v128.shuffle<u32>(corner, corner, 2, 2, 2, 2);
  const others = v128.shuffle<u32>(corner, corner, 3, 3, 3, 3);
  let best = i32x4.splat(near);
  let place = root;
  let top = rests;
  while (true) {
    while ((place & PLACE_NODE) != 0) {
      const node = changetype<Node>(<usize>place - PLACE_NODE);
      store<u32>(top, node.rest);
      top += (<usize>(node.rest != 0)) << 2;
      const piece = (load<u32>(node.number) >> node.shift) & node.mask;
      place = load<u32>(changetype<usize>(node) + ((<usize>piece) << 2), offsetof<Node>());
    }
    let four: usize = place & ~PLACE_BITS;
    let fours = (place & PLACE_BITS) >> 1;
    const long = fours == 0;
    if (long) {
      const passed = foursBefore(four, before + 1);
      fours = load<u32>(four) - passed;
      four += LONG_HEAD + <usize>passed * FOUR_SIZE;
    }
    while (true) {
      const held = v128.eq<i32>(beyondFour(four, src, dst, ports, others), i32x4.splat(0));
      const nears = v128.sub<u32>(i32x4.splat(before), v128.load(four, FOUR_OWNERS));
      best = v128.max<u32>(best, v128.and(nears, held));
      four += FOUR_SIZE;
      fours--;
      if (fours == 0) break;
      if (long && before - load<u32>(four, FOUR_OWNERS) < greatest(best)) break;
    }
    if (top == rests) return greatest(best);
    top -= 4;
    place = load<u32>(top);
  }
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

// Place of the first of rising numbers that is not below one.
function firstFrom(at: usize, count: u32, least: u32): u32 {
  let low: u32 = 0;
  let high = count;
  while (high - low > SHORT) {
    const middle = (low + high) >> 1;
    if (load<u32>(at + ((<usize>middle) << 2)) < least) low = middle + 1;
    else high = middle;
  }
  while (low < count && load<u32>(at + ((<usize>low) << 2)) < least) low++;
  return low;
}
