// Makes the index of every long chain: what each rule asks for, the shapes, and their hash tables.
import {
  draftAt,
  draftCount,
  draftFor,
  isLive,
  joinDrafts,
  NOT_JOINED,
  startDrafts,
} from "./candidates-shape";
import {
  ChainIndex,
  FIELD_DPORT,
  FIELD_IN,
  FIELD_OUT,
  FIELD_PROTOCOL,
  FIELD_SPORT,
  hashOfFields,
  setUpCandidates,
  Shape,
  SLOT_COUNT,
  SLOT_FIRST,
  SLOT_SIZE,
  slotOf,
} from "./candidates";
import {
  MATCH_ADDRESS,
  MATCH_HEADER_SIZE,
  MATCH_INTERFACE,
  MATCH_INVERT,
  MATCH_KIND,
  MATCH_MARK,
  MATCH_MULTIPORT,
  MATCH_PORT,
  MATCH_PROTOCOL,
  MATCH_SIZE,
  MATCH_STATE,
  RULE_IS_END,
  SIDE_SRC,
} from "./layout";
import { Rule, ruleAt } from "./rule";

// Shorter chains are walked as fast.
const RULES_MIN: u32 = 8;
const PAYLOAD: usize = MATCH_HEADER_SIZE;

/** What a rule asks for before anything that is not tested by its headers alone. */
@unmanaged
class Wish {
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  dst0: u32;
  dst1: u32;
  dst2: u32;
  dst3: u32;
  /** Addresses of interface names; 0: any. */
  inName: u32;
  outName: u32;
  protocol: u32;
  ports: u32;
  srcBits: u8;
  dstBits: u8;
  fields: u8;
  unused: u8;
  draft: u32;
  /** Number of its shape. */
  shape: u32;
  hash: u32;
}

let wishes: usize = 0;
let wishRoom: u32 = 0;
const shapes: usize = memory.data(12 * 16, 8);

if (offsetof<Shape>() != 16) ERROR("room for SHAPES_MAX shapes");

/** Makes the index of every chain among the rules. */
export function indexChains(ruleCount: u32): void {
  const indices = heap.alloc((<usize>ruleCount) << 2);
  memory.fill(indices, 0, (<usize>ruleCount) << 2);
  let first: u32 = 0;
  for (let rule: u32 = 0; rule < ruleCount; rule++) {
    if ((ruleAt(rule).flags & RULE_IS_END) == 0) continue;
    const index: usize = rule - first < RULES_MIN ? 0 : indexChain(first, rule);
    for (let each = first; index != 0 && each < rule; each++) {
      store<u32>(indices + ((<usize>each) << 2), <u32>index);
    }
    first = rule + 1;
  }
  setUpCandidates(indices);
}

// Address of the chain's index; 0 where its rules ask for nothing that would tell them apart.
function indexChain(first: u32, end: u32): usize {
  const count = end - first;
  if (count > wishRoom) {
    wishRoom = count * 2;
    wishes = heap.alloc(<usize>wishRoom * offsetof<Wish>());
  }
  for (let index: u32 = 0; index < count; index++) readWish(ruleAt(first + index), wishAt(index));
  const shapeCount = findShapes(count);
  const only = shapeAt(0);
  if (shapeCount == 1 && only.srcBits == 0 && only.dstBits == 0 && only.fields == 0) return 0;
  const at = heap.alloc(offsetof<ChainIndex>() + <usize>shapeCount * offsetof<Shape>());
  const index = changetype<ChainIndex>(at);
  index.end = end;
  index.shapeCount = shapeCount;
  for (let number: u32 = 0; number < shapeCount; number++) fillShape(number, first, count);
  memory.copy(at + offsetof<ChainIndex>(), shapes, <usize>shapeCount * offsetof<Shape>());
  return at;
}

function wishAt(index: u32): Wish {
  return changetype<Wish>(wishes + <usize>index * offsetof<Wish>());
}

function shapeAt(number: u32): Shape {
  return changetype<Shape>(shapes + <usize>number * offsetof<Shape>());
}

function readWish(rule: Rule, wish: Wish): void {
  memory.fill(changetype<usize>(wish), 0, offsetof<Wish>());
  let match: usize = rule.matches;
  const end: usize = rule.matchesEnd;
  while (match < end) {
    const invert = load<u8>(match, MATCH_INVERT) != 0;
    switch (<i32>load<u16>(match, MATCH_KIND)) {
      case MATCH_ADDRESS:
        if (!invert) wishAddress(match, wish);
        break;
      case MATCH_INTERFACE:
        if (!invert) wishInterface(match, wish);
        break;
      case MATCH_PROTOCOL:
        if (invert) break;
        wish.protocol = load<u8>(match, PAYLOAD);
        wish.fields |= <u8>FIELD_PROTOCOL;
        break;
      case MATCH_PORT:
        wishPorts(match, wish);
        // It may ask for flags, options or types.
        if (load<u8>(match, PAYLOAD + 11) != 0) return;
        break;
      case MATCH_MULTIPORT:
      case MATCH_MARK:
      case MATCH_STATE:
        break;
      default:
        // It may ask, or change something, before the next match is looked at.
        return;
    }
    match += load<u16>(match, MATCH_SIZE);
  }
}

function wishAddress(match: usize, wish: Wish): void {
  const bits = prefixLength(match + PAYLOAD + 20);
  const src = load<u8>(match, PAYLOAD) == SIDE_SRC;
  const at = changetype<usize>(wish) + (src ? 0 : offsetof<Wish>("dst0"));
  // One is enough where a rule asks twice.
  if (bits <= <u32>(src ? wish.srcBits : wish.dstBits)) return;
  memory.copy(at, match + PAYLOAD + 4, 16);
  if (src) wish.srcBits = <u8>bits;
  else wish.dstBits = <u8>bits;
}

// Leading ones of a mask of four words; 0 where it is no prefix's.
function prefixLength(mask: usize): u32 {
  let bits: u32 = 0;
  let ended = false;
  for (let at: usize = 0; at < 16; at += 4) {
    const word = load<u32>(mask + at);
    const ones = <u32>clz<u32>(~word);
    const rest: u32 = ones == 32 ? 0 : word << ones;
    if (rest != 0 || (ended && ones != 0)) return 0;
    bits += ones;
    if (ones != 32) ended = true;
  }
  return bits;
}

// A name is asked for in full where the mask reaches its end.
function wishInterface(match: usize, wish: Wish): void {
  const name = match + PAYLOAD + 4;
  let whole = false;
  for (let at: usize = 0; at < 16; at++) {
    if (load<u8>(name + at) != 0) continue;
    whole = load<u8>(name + at, 16) == 0xff;
    break;
  }
  if (!whole) return;
  if (load<u8>(match, PAYLOAD) == SIDE_SRC) {
    wish.inName = <u32>name;
    wish.fields |= <u8>FIELD_IN;
  } else {
    wish.outName = <u32>name;
    wish.fields |= <u8>FIELD_OUT;
  }
}

function wishPorts(match: usize, wish: Wish): void {
  const sport: u32 = load<u16>(match, PAYLOAD);
  const dport: u32 = load<u16>(match, PAYLOAD + 4);
  const negated = load<u16>(match, PAYLOAD + 8) != 0;
  if (negated) return;
  // Of two wishes for the same port the first is enough.
  if (sport == load<u16>(match, PAYLOAD + 2) && (wish.fields & FIELD_SPORT) == 0) {
    wish.ports |= sport << 16;
    wish.fields |= <u8>FIELD_SPORT;
  }
  if (dport == load<u16>(match, PAYLOAD + 6) && (wish.fields & FIELD_DPORT) == 0) {
    wish.ports |= dport;
    wish.fields |= <u8>FIELD_DPORT;
  }
}

// Lengths in whole bytes of IPv4, and of two bytes in IPv6, are fine enough.
function round(bits: u32): u32 {
  return bits <= 32 ? bits & ~7 : bits & ~15;
}

// Gives every wish its shape. @returns how many shapes there are
function findShapes(count: u32): u32 {
  startDrafts();
  for (let index: u32 = 0; index < count; index++) {
    const wish = wishAt(index);
    wish.draft = draftFor(round(wish.srcBits), round(wish.dstBits), wish.fields);
    draftAt(wish.draft).rules++;
  }
  joinDrafts();
  let found: u32 = 0;
  for (let number: u32 = 0; number < draftCount; number++) {
    const draft = draftAt(number);
    if (!isLive(number)) continue;
    const shape = shapeAt(found);
    memory.fill(changetype<usize>(shape), 0, offsetof<Shape>());
    shape.srcBits = <u8>draft.srcBits;
    shape.dstBits = <u8>draft.dstBits;
    shape.fields = <u8>draft.fields;
    draft.shape = found;
    found++;
  }
  for (let index: u32 = 0; index < count; index++) {
    let draft = draftAt(wishAt(index).draft);
    while (draft.joined != NOT_JOINED) draft = draftAt(draft.joined);
    wishAt(index).shape = draft.shape;
  }
  return found;
}

// Counts the rules of each slot, gives each its piece of the list, and fills that.
function fillShape(number: u32, first: u32, count: u32): void {
  const shape = shapeAt(number);
  let members: u32 = 0;
  for (let index: u32 = 0; index < count; index++) {
    if (wishAt(index).shape == number) members++;
  }
  let size: u32 = 2;
  while (size < members * 2) size <<= 1;
  shape.slotMask = size - 1;
  shape.slots = <u32>heap.alloc(<usize>size * SLOT_SIZE);
  memory.fill(<usize>shape.slots, 0, <usize>size * SLOT_SIZE);
  shape.rules = <u32>heap.alloc((<usize>members) << 2);
  for (let index: u32 = 0; index < count; index++) {
    const wish = wishAt(index);
    if (wish.shape != number) continue;
    wish.hash = hashOfWish(shape, wish);
    const slot = slotOf(shape, wish.hash);
    store<u32>(slot, wish.hash);
    store<u32>(slot, load<u32>(slot, SLOT_COUNT) + 1, SLOT_COUNT);
  }
  let behind: u32 = 0;
  for (let place: u32 = 0; place < size; place++) {
    const slot = <usize>shape.slots + <usize>place * SLOT_SIZE;
    behind += load<u32>(slot, SLOT_COUNT);
    store<u32>(slot, behind, SLOT_FIRST);
  }
  // From the back, so that each slot's piece is filled down to its first.
  for (let index = count; index > 0; index--) {
    const wish = wishAt(index - 1);
    if (wish.shape != number) continue;
    const slot = slotOf(shape, wish.hash);
    const place = load<u32>(slot, SLOT_FIRST) - 1;
    store<u32>(slot, place, SLOT_FIRST);
    store<u32>(<usize>shape.rules + ((<usize>place) << 2), first + index - 1);
  }
}

function hashOfWish(shape: Shape, wish: Wish): u32 {
  const at = changetype<usize>(wish);
  return hashOfFields(
    shape,
    at,
    at + offsetof<Wish>("dst0"),
    wish.inName,
    wish.outName,
    wish.protocol,
    wish.ports,
  );
}
