// Rules of a long chain by what their headers must be: which rule can match next, without a look at those
// between. Only what a rule asks of addresses, interfaces, protocol and ports before anything else is used; the
// walk tests each candidate as it tests any rule, but for those that ask for nothing else. Each rule asks for a
// box in the space of these fields; the boxes lie in a decision tree (candidates-build.ts), which is made once the
// chain was walked some times.
import { growTree } from "./candidates-build";
import { interfaceRank } from "./candidates-interface";
import {
  ChainIndex,
  EIGHT_SIZE,
  FOUR_OWNERS,
  FOUR_SIZE,
  indexOf,
  LONG_HEAD,
  Node,
  OWNER_SURE,
  PLACE_LONG,
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
// The packet's fields, u32 each, by FIELD_*.
const key: usize = memory.data(6 * 4, 8);
// The same as the words of a box's corner.
const words: usize = memory.data(16, 16);

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
  v128.store(words, corner);
  store<u64>(key, lower);
  v128.store(key, i32x4.extend_high_i16x8_u(corner), 8);
  const place = firstFrom(index.wholes, index.wholeCount, from);
  const whole =
    place < index.wholeCount
      ? load<u32>(<usize>index.wholes + ((<usize>place) << 2))
      : index.end << 1;
  return leastLane(ownersInTree(index.root, i32x4.splat(from), i32x4.splat(whole)));
}

function rankOfWords(ranks: usize, word0: u32, word1: u32, word2: u32, word3: u32): u32 {
  return rankOf(ranks, ((<u64>word0) << 32) | word1, ((<u64>word2) << 32) | word3);
}

// The first owners from `from` on whose boxes hold the corner, in any lane; `best` where none comes before it.
// What is often guessed wrong takes longer than what is looked at in vain: there are no questions but by how many
// boxes there are.
function ownersInTree(at: u32, from: v128, best: v128): v128 {
  let place = at;
  let rest: u32 = 0;
  while (true) {
    while ((place & PLACE_NODE) != 0) {
      const node = changetype<Node>(<usize>place - PLACE_NODE);
      if (node.rest != 0) {
        if (rest != 0) best = ownersInTree(rest, from, best);
        rest = node.rest;
      }
      const number = load<u32>(key + ((<usize>node.field) << 2));
      const piece = min((number - node.base) >> node.shift, node.count);
      place = load<u32>(changetype<usize>(node) + ((<usize>piece) << 2), offsetof<Node>());
    }
    best =
      (place & PLACE_LONG) != 0
        ? ownersInLong(<usize>place - PLACE_LONG, from, best)
        : v128.min<u32>(best, ownersInFour(place, from));
    if (rest == 0) return best;
    place = rest;
    rest = 0;
  }
}

function ownersInLong(at: usize, from: v128, best: v128): v128 {
  const end = at + LONG_HEAD + <usize>load<u32>(at) * EIGHT_SIZE;
  let eight = eightFrom(at, i32x4.extract_lane(from, 0));
  while (true) {
    const one = ownersInFour(eight, from);
    const other = ownersInFour(eight + FOUR_SIZE, from);
    best = v128.min<u32>(best, v128.min<u32>(one, other));
    eight += EIGHT_SIZE;
    if (eight == end || load<u32>(eight, FOUR_OWNERS) >= leastLane(best)) return best;
  }
}

// The first eight of a long leaf that has an owner from `from` on, or its last one.
function eightFrom(at: usize, from: u32): usize {
  let low: u32 = 0;
  let high = load<u32>(at) - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const last = eightAt(at, middle + 1) - 4;
    if (load<u32>(last) < from) low = middle + 1;
    else high = middle;
  }
  return eightAt(at, low);
}

function eightAt(at: usize, index: u32): usize {
  return at + LONG_HEAD + <usize>index * EIGHT_SIZE;
}

// Of each lane its box's owner, if the box holds the corner and comes from `from` on; else OWNER_NONE.
function ownersInFour(four: usize, from: v128): v128 {
  const src = beyond(v128.load32_splat(words), v128.load(four), v128.load(four, 64));
  const dst = beyond(v128.load32_splat(words, 4), v128.load(four, 16), v128.load(four, 80));
  const ports = beyondShort(v128.load32_splat(words, 8), v128.load(four, 32), v128.load(four, 96));
  const rest = beyondShort(v128.load32_splat(words, 12), v128.load(four, 48), v128.load(four, 112));
  const owners = v128.load(four, FOUR_OWNERS);
  const far = v128.or(v128.or(src, dst), v128.or(ports, rest));
  const before = v128.gt<i32>(from, owners);
  return v128.or(owners, v128.or(before, v128.ne<i32>(far, i32x4.splat(0))));
}

// Not 0 where a number is farther from the least one than it reaches.
function beyond(number: v128, least: v128, reach: v128): v128 {
  const far = v128.sub<u32>(number, least);
  return v128.xor(v128.min<u32>(far, reach), far);
}

function beyondShort(number: v128, least: v128, reach: v128): v128 {
  return v128.sub_sat<u16>(v128.sub<u16>(number, least), reach);
}

function leastLane(numbers: v128): u32 {
  const halves = v128.min<u32>(numbers, v128.shuffle<u64>(numbers, numbers, 1, 0));
  return min(i32x4.extract_lane(halves, 0), i32x4.extract_lane(halves, 1));
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
