// Rules of a long chain by what their headers must be: which rule can match next, without a look at those
// between. Only what a rule asks of addresses, interfaces, protocol and ports before anything else is used; the
// walk tests each candidate as it tests any rule, but for those that ask for nothing else. Where rules ask for an
// interface each, it has a table (candidates-named.ts). Else each rule asks for a box in the space of these fields; the
// boxes lie in a decision tree (candidates-build.ts), which is begun once the chain was walked some times, and grows
// where packets lie.
import { growTree } from "./candidates-build";
import { growPiece } from "./candidates-grow";
import { interfaceRank } from "./candidates-interface";
import {
  CHAIN_BY_NAME,
  CHAIN_WALKED,
  ChainIndex,
  indexOf,
  Node,
  OWNER_SURE,
} from "./candidates-index";
import { goesByName, ownerOfInterface } from "./candidates-named";
import { leftNode, leftPiece, nearest, NEAREST_LEFT } from "./candidates-nearest";
import { rankOf } from "./candidates-rank";
import {
  KNOWN_PORTS,
  KNOWN_PROTOCOL,
  MALFORMED_NONE,
  PACKET_AUTHENTICATED,
  PACKET_FRAGMENT,
} from "./layout";
import { hasPorts, PROTOCOL_DCCP } from "./protocol";
import { walk } from "./walk";

// A chain's tree is made once each of its rules was looked at so often: for fewer packets it would be in vain.
const WALKS: u32 = 16;
// Where that would be more looks, a tree in vain takes less time than these: it is made after so many, and one walk.
const LOOKS_MOST: u32 = 100_000;
// Lists up to this long are searched from the front.
const SHORT: u32 = 8;

// Rules may be passed over at all.
let allowed: bool = false;

/** The candidate that was named last asks for nothing that is not known to hold. */
export let candidateIsSure: bool = false;

/** Says whether rules may be passed over at all; those that are all looked at are the reference. */
export function setUpCandidates(may: bool): void {
  allowed = may;
}

/**
 * Tells whether rules may be passed over for the packet under way. Where headers cannot be read in full,
 * rules drop packets or ask; where an interface or the source is not known, they ask.
 */
export function hasCandidates(): bool {
  if (!allowed || walk.inUnknown || walk.outUnknown || walk.srcHidden) return false;
  if (walk.packet.malformed != MALFORMED_NONE || (walk.known & KNOWN_PROTOCOL) == 0) return false;
  if ((walk.flags & (PACKET_FRAGMENT | PACKET_AUTHENTICATED)) != 0) return false;
  // Rules read DCCP's header, which may be too short for them, and malformed to nobody else.
  if (!hasPorts(walk.protocol)) return walk.protocol != PROTOCOL_DCCP;
  return (walk.known & KNOWN_PORTS) != 0 && !walk.sportDrawn;
}

/** The first record from this one on that may match; the chain's end at last. Its rule has RULE_LEAPS. */
export function nextCandidate(rule: u32): u32 {
  candidateIsSure = false;
  const index = indexOf(rule);
  if (index.kind <= CHAIN_WALKED && !isReady(index)) return rule;
  const owner = firstOwner(index, rule << 1);
  candidateIsSure = (owner & OWNER_SURE) != 0;
  return owner >> 1;
}

function isReady(index: ChainIndex): bool {
  index.asked++;
  const rules = index.end - index.first;
  if (index.asked < rules) return false;
  if (goesByName(index)) return true;
  return index.asked >= min(rules * WALKS, LOOKS_MOST) && growTree(index, walk.family);
}

function firstOwner(index: ChainIndex, from: u32): u32 {
  if (index.kind == CHAIN_BY_NAME) {
    const own = ownerOfInterface(index, index.leaving ? walk.outInterface : walk.inInterface);
    const unasked = firstUnasked(index, from);
    return own < from ? unasked : min(own, unasked);
  }
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
  const before = from - 1;
  const unasked = before - firstUnasked(index, from);
  let near = nearest(index.root, lower, upper, before, unasked);
  while (near == NEAREST_LEFT) {
    growPiece(changetype<Node>(leftNode), leftPiece);
    near = nearest(index.root, lower, upper, before, unasked);
  }
  return before - near;
}

// The first from `from` on that is a candidate unasked, or the chain's end.
function firstUnasked(index: ChainIndex, from: u32): u32 {
  const place = firstFrom(index.unasked, index.unaskedCount, from);
  return place < index.unaskedCount
    ? load<u32>(<usize>index.unasked + ((<usize>place) << 2))
    : index.end << 1;
}

function rankOfWords(ranks: usize, word0: u32, word1: u32, word2: u32, word3: u32): u32 {
  return rankOf(ranks, ((<u64>word0) << 32) | word1, ((<u64>word2) << 32) | word3);
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
