// What the index of a long chain's rules is made of. A rule asks for a box: from least to most of each field.
// Boxes lie in a tree; each node cuts one field's numbers into pieces of the same size, and leaves are lists of
// boxes in the order of their rules.
import { zeros } from "./bytes";

/** The rules of one chain, by the indexes of their records. */
@unmanaged
export class ChainIndex {
  first: u32;
  /** Of the chain's end. */
  end: u32;
  /** How many of its rules were looked at before there was a look-up. */
  asked: u32;
  /** Place of the tree's root. */
  root: u32;
  /** Places of rules by their interface (candidates-named.ts): their address, and how many there are less 1. */
  names: u32;
  namesMask: u32;
  /** Address of the owners that are candidates unasked, u32 each and rising, and how many: no look-up has them. */
  unasked: u32;
  unaskedCount: u32;
  /** Address of the ranks (candidates-rank.ts) that stand for addresses; 0: their first word does. */
  srcRanks: u32;
  dstRanks: u32;
  /** One of CHAIN_*. */
  kind: u8;
  /** Whether the out-interface is the field, and not the in-interface. */
  leaving: bool;
  /** Some box is not of all ports of the source, or of the destination. */
  asksSport: bool;
  asksDport: bool;
}

/** It is not known yet what the chain's rules can be looked up in. */
export const CHAIN_UNKNOWN: u8 = 0;
/** They are walked: interfaces' names do not tell them apart, and there is no tree yet. */
export const CHAIN_WALKED: u8 = 1;
/** An interface's number, candidates-named.ts. */
export const CHAIN_BY_NAME: u8 = 2;
/** The tree at its root. */
export const CHAIN_BY_TREE: u8 = 3;

// u32 for each record: address of its chain's index; 0: none. In pages, which are there for records that have one.
const PAGE_BITS: usize = 6;
const PAGE_SIZE: usize = 4 << PAGE_BITS;
let pages: usize = 0;

/** Prepares for so many records, none of which has an index. */
export function setUpIndexes(recordCount: u32): void {
  const size = (((<usize>recordCount) >> PAGE_BITS) + 1) << 2;
  pages = zeros(size);
}

/** Gives a record its chain's index. */
export function setIndex(record: u32, index: ChainIndex): void {
  const at = pages + (((<usize>record) >> PAGE_BITS) << 2);
  if (load<u32>(at) == 0) {
    const page = zeros(PAGE_SIZE);
    store<u32>(at, <u32>page);
  }
  store<u32>(placeOnPage(load<u32>(at), record), <u32>changetype<usize>(index));
}

/** Tells whether a record's chain has an index. */
export function hasIndex(record: u32): bool {
  const page = load<u32>(pages + (((<usize>record) >> PAGE_BITS) << 2));
  return page != 0 && load<u32>(placeOnPage(page, record)) != 0;
}

/** The index of the chain of a record that has one. */
export function indexOf(record: u32): ChainIndex {
  const page = load<u32>(pages + (((<usize>record) >> PAGE_BITS) << 2));
  return changetype<ChainIndex>(<usize>load<u32>(placeOnPage(page, record)));
}

function placeOnPage(page: usize, record: u32): usize {
  return page + (((<usize>record) & ((1 << PAGE_BITS) - 1)) << 2);
}

/**
 * A node cuts one field's numbers into pieces of the same size. Behind it are the places of as many pieces as its
 * mask tells apart, u32 each: what lies outside of them meets boxes that do not hold it.
 */
@unmanaged
export class Node {
  /** Four times the field that it cuts, FIELD_*. */
  field: u8;
  /** Bits of a piece's size. */
  shift: u8;
  unused: u16;
  mask: u32;
  /** Place of the boxes that reach into too many pieces; 0: there are none. */
  rest: u32;
  /** The first of their owners. */
  restFirst: u32;
}

/**
 * A place: the address of a node or a leaf, which 16 divides, and in its low bits what is there. PLACE_NODE: a node;
 * PLACE_LEFT: what is left of a piece until a packet lies in it (candidates-left.ts); else twice the number of fours in
 * the leaf, up to FOURS_FEW. A longer leaf has 0 there, and in front of its fours their number, u32.
 */
export const PLACE_NODE: u32 = 1;
export const PLACE_FOURS: u32 = 6;
export const PLACE_LEFT: u32 = 8;
export const PLACE_BITS: u32 = 15;
export const FOURS_FEW: u32 = 3;
export const LONG_HEAD: usize = 16;

if (FOURS_FEW << 1 > PLACE_FOURS) ERROR("FOURS_FEW has no room in a place");

/** How many nodes there can be on the way to a leaf. */
export const DEPTH_MAX: u32 = 16;

/** Fields; the first two have 32 bits, the others 16. */
export const FIELD_SRC: u32 = 0;
export const FIELD_DST: u32 = 1;
export const FIELD_SPORT: u32 = 2;
export const FIELD_DPORT: u32 = 3;
export const FIELD_PROTOCOL: u32 = 4;
export const FIELD_INTERFACE: u32 = 5;
export const FIELD_COUNT: u32 = 6;

/** A box: its least corner, then how far it reaches from there, fields as in a corner; its owner, u32. */
export const BOX_REACH: usize = 16;
export const BOX_OWNER: usize = 32;
export const BOX_SIZE: usize = 36;

/** Boxes in a leaf, four at a time: a row of 16 bytes for each u32 of a box; OWNER_NONE where there are fewer. */
export const FOUR: u32 = 4;
export const FOUR_REACH: usize = BOX_REACH * 4;
export const FOUR_OWNERS: usize = BOX_OWNER * 4;
export const FOUR_SIZE: usize = BOX_SIZE * 4;

/** An owner: twice the record's index, and 1 if the rule asks for nothing but its box. */
export const OWNER_SURE: u32 = 1;
export const OWNER_NONE: u32 = 0xffffffff;

/** Where a field lies in a corner. */
export function placeOf(field: u32): usize {
  return field <= FIELD_DST ? (<usize>field) << 2 : 4 + ((<usize>field) << 1);
}

/** A field's number in a corner. */
export function fieldAt(corner: usize, field: u32): u32 {
  return field <= FIELD_DST
    ? load<u32>(corner + placeOf(field))
    : load<u16>(corner + placeOf(field));
}
