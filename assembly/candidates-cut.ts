// Where to cut boxes: for each field and some sizes of pieces it is counted how many boxes reach into each piece.
// Good cuts leave few boxes in a piece, and few boxes in more than one.
// Source of the idea: Gupta, McKeown, "Packet classification using hierarchical intelligent cuttings"; that what
// is wide goes to trees of its own: Vamanan, Voskuilen, Vijaykumar, "EffiCuts".
import { BOX_REACH, fieldAt, FIELD_COUNT, FOUR } from "./candidates-index";

// No field was found.
const FIELD_NONE: u32 = 255;

/** Of the best cut. */
export let cutField: u32 = FIELD_NONE;
export let cutShift: u32 = 0;
/** Its first piece, in pieces from 0. */
export let cutFirst: u32 = 0;
export let cutCount: u32 = 0;
/** Boxes that are wide in its field are kept apart. */
export let cutParts: bool = false;

// What one level more costs, in boxes that could be looked at instead.
const LEVEL_COST: u64 = 4;
// What a copy of every box costs.
const COPY_COST: u64 = 2;
// What it costs to look at boxes that are kept apart, and how that grows with how many they are.
const REST_COST: u64 = 3;
const REST_BITS_COST: u64 = 2;
// Of eight boxes so many may be kept apart.
const WIDE_EIGHTHS: u32 = 5;
// A box that reaches into more pieces is wide.
const PIECES_NARROW: u32 = 4;
// Costs are compared in parts of a box.
const PARTS: u64 = 16;
const PIECES_MAX: u32 = 1 << 19;
/** A cut makes no fewer pieces, where there are as many numbers. */
export const PIECES_MIN: u32 = 4;
const PIECES_MIN_BITS: u32 = 2;

// u32[FIELD_COUNT] each: the part of each field under way, ends included.
export const regionLeast: usize = memory.data(6 * 4);
export const regionMost: usize = memory.data(6 * 4);
/** Bytes of either. */
export const REGION_SIZE: usize = (<usize>FIELD_COUNT) << 2;

// u32[]: how many boxes more, or less, reach into a piece than into the one before.
let steps: usize = 0;
let list: usize = 0;
let listed: u32 = 0;

/** Where a listed box begins in a field, within the region. */
export function leastOf(box: usize, field: u32): u32 {
  return max(fieldAt(box, field), load<u32>(regionLeast + ((<usize>field) << 2)));
}

/** Where it ends. */
export function mostOf(box: usize, field: u32): u32 {
  const most = fieldAt(box, field) + fieldAt(box + BOX_REACH, field);
  return min(most, load<u32>(regionMost + ((<usize>field) << 2)));
}

/** A box of a list of addresses. */
export function listedBox(addresses: usize, index: u32): usize {
  return load<u32>(addresses + ((<usize>index) << 2));
}

/**
 * Finds the best cut of the boxes of a list.
 *
 * @param addresses  theirs, u32 each
 * @param piecesMost how many pieces there may be
 * @param copiesMost how many boxes more than now there may be in all of them
 * @param free       memory for a number of each piece and one more, u32 each
 * @returns false if there is none worth it
 */
export function findCut(
  addresses: usize,
  count: u32,
  piecesMost: u32,
  copiesMost: u32,
  free: usize,
): bool {
  cutField = FIELD_NONE;
  list = addresses;
  steps = free;
  listed = count;
  // A power of 2.
  piecesLimit = 1 << (bitsOf(min(piecesMost, PIECES_MAX)) - 1);
  copiesLimit = copiesMost;
  least = (<u64>count - min<u64>(count, LEVEL_COST)) * PARTS;
  const most = bitsOf(count) + 1;
  const fine = max(bitsOf(count), 7) - 5;
  for (let field: u32 = 0; field < FIELD_COUNT; field++) {
    if (measure(field)) tryCuts(field, fine, most);
  }
  if (cutField != FIELD_NONE) return true;
  // Boxes that are wide in each field cannot be cut small.
  for (let field: u32 = 0; field < FIELD_COUNT; field++) {
    if (measure(field)) tryCuts(field, PIECES_MIN_BITS, fine);
  }
  return cutField != FIELD_NONE;
}

// Cuts of the field that was measured, into from 2 to the power of `fewest` pieces on.
function tryCuts(field: u32, fewest: u32, most: u32): void {
  for (let bits = fewest; bits <= most; bits += 2) {
    const shiftBefore = triedShift;
    place(field, min(max(1 << bits, PIECES_MIN), piecesLimit));
    // There are no more numbers, or no more pieces.
    if (bits > fewest && triedShift == shiftBefore) return;
    const apart = costOf(field, PIECES_NARROW);
    if (apart < least) {
      least = apart;
      keepCut(field, stepped < listed);
    }
    if (stepped == listed) continue;
    const copied = costOf(field, u32.MAX_VALUE);
    if (copied >= least) continue;
    least = copied;
    keepCut(field, false);
  }
}

/** Tells whether a box reaches into few pieces of the cut. */
export function isNarrow(box: usize): bool {
  const first = leastOf(box, cutField) >> cutShift;
  return (mostOf(box, cutField) >> cutShift) - first < PIECES_NARROW;
}

let triedShift: u32 = 0;
let triedFirst: u32 = 0;
let triedCount: u32 = 0;
let fieldLeast: u32 = 0;
let fieldMost: u32 = 0;
let total: u64 = 0;
let stepped: u32 = 0;
let piecesLimit: u32 = 0;
let copiesLimit: u32 = 0;
// Cost of the best cut so far.
let least: u64 = 0;

function keepCut(field: u32, parts: bool): void {
  cutField = field;
  cutShift = triedShift;
  cutFirst = triedFirst;
  cutCount = triedCount;
  cutParts = parts;
}

// How far the boxes reach together; false where they all reach as far.
function measure(field: u32): bool {
  const first = load<u32>(regionLeast + ((<usize>field) << 2));
  const last = load<u32>(regionMost + ((<usize>field) << 2));
  fieldLeast = u32.MAX_VALUE;
  fieldMost = 0;
  for (let index: u32 = 0; index < listed; index++) {
    const box = listedBox(list, index);
    fieldLeast = min(fieldLeast, leastOf(box, field));
    fieldMost = max(fieldMost, mostOf(box, field));
    if (fieldLeast == first && fieldMost == last) break;
  }
  for (let index: u32 = 0; index < listed; index++) {
    const box = listedBox(list, index);
    if (leastOf(box, field) != fieldLeast || mostOf(box, field) != fieldMost) return true;
  }
  return false;
}

// Pieces begin at numbers that their size divides, as prefixes do.
function place(field: u32, pieces: u32): void {
  triedShift = 0;
  while ((fieldMost >> triedShift) - (fieldLeast >> triedShift) >= pieces) triedShift++;
  triedFirst = fieldLeast >> triedShift;
  triedCount = (fieldMost >> triedShift) - triedFirst + 1;
}

// What a cut costs where boxes that reach into more than so many pieces are kept apart.
function costOf(field: u32, reachMost: u32): u64 {
  if (!step(field, reachMost)) return u64.MAX_VALUE;
  const wide = listed - stepped;
  if (stepped == 0 || total > <u64>stepped + copiesLimit) return u64.MAX_VALUE;
  const apart = wide == 0 ? 0 : (REST_COST + <u64>bitsOf(wide) * REST_BITS_COST) * PARTS;
  const copied = ((total - stepped) * COPY_COST * PARTS) / listed;
  return (meetings() * PARTS) / total + copied + apart;
}

// Notes where boxes begin and end that reach into no more than so many pieces, and how many of them there are in all
// pieces. Returns false as soon as there are too many, of these or of the others.
function step(field: u32, reachMost: u32): bool {
  memory.fill(steps, 0, (<usize>triedCount + 1) << 2);
  // With more it takes too many trees until all are in one.
  const wideMost = (listed >> 3) * WIDE_EIGHTHS;
  const totalMost = <u64>listed + copiesLimit;
  let wide: u32 = 0;
  total = 0;
  stepped = 0;
  for (let index: u32 = 0; index < listed; index++) {
    const box = listedBox(list, index);
    const first = (leastOf(box, field) >> triedShift) - triedFirst;
    const last = (mostOf(box, field) >> triedShift) - triedFirst;
    if (last - first >= reachMost) {
      wide++;
      if (wide > wideMost) return false;
      continue;
    }
    stepped++;
    total += last - first + 1;
    if (total > totalMost) return false;
    const firstAt = steps + ((<usize>first) << 2);
    const behind = steps + ((<usize>(last + 1)) << 2);
    store<i32>(firstAt, load<i32>(firstAt) + 1);
    store<i32>(behind, load<i32>(behind) - 1);
  }
  return true;
}

// Adds up how many others each box meets in the pieces.
function meetings(): u64 {
  let count: i32 = 0;
  let together: u64 = 0;
  for (let piece: u32 = 0; piece < triedCount; piece++) {
    count += load<i32>(steps + ((<usize>piece) << 2));
    together += <u64>count * <u64>max<i32>(count, FOUR);
  }
  return together;
}

function bitsOf(count: u32): u32 {
  return 32 - clz<u32>(count);
}
