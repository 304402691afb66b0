// Rules of a long chain by what their headers must be: which rule can match next, without a look at those
// between. Only what a rule asks of addresses, interfaces, protocol and single ports before anything else
// is used; the walk tests each candidate as it tests any rule. Rules that ask for the same fields have the
// same shape, and each shape is a hash table from the fields' values to its rules.
// Source of the idea: Srinivasan, Suri, Varghese, "Packet classification using tuple space search";
// Daly et al., "TupleMerge".
import { interfaceName } from "./interface";
import {
  KNOWN_PORTS,
  KNOWN_PROTOCOL,
  MALFORMED_NONE,
  PACKET_AUTHENTICATED,
  PACKET_FRAGMENT,
} from "./layout";
import { hasPorts } from "./protocol";
import { mix } from "./set";
import { Walk, walk } from "./walk";

/** The rules of one chain. The shapes lie behind. */
@unmanaged
export class ChainIndex {
  /** Index of the chain's end. */
  end: u32;
  shapeCount: u32;
}

/** Rules that ask for the same fields. */
@unmanaged
export class Shape {
  /** Prefix lengths; 0: any address. */
  srcBits: u8;
  dstBits: u8;
  /** FIELD_* bits. */
  fields: u8;
  unused: u8;
  /** Address of the slots, three u32 each: hash, first of the rules, how many; none: an empty slot. */
  slots: u32;
  slotMask: u32;
  /** Address of rule indices, u32 each, rising within a slot. */
  rules: u32;
}

export const FIELD_IN: u32 = 1 << 0;
export const FIELD_OUT: u32 = 1 << 1;
export const FIELD_PROTOCOL: u32 = 1 << 2;
export const FIELD_SPORT: u32 = 1 << 3;
export const FIELD_DPORT: u32 = 1 << 4;

export const SLOT_FIRST: usize = 4;
export const SLOT_COUNT: usize = 8;
export const SLOT_SIZE: usize = 12;

// Lists up to this long are searched from the front.
const SHORT: u32 = 8;

const SRC: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const DST: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");

// u32 for each rule: address of its chain's index, or 0.
let chains: usize = 0;

/** Sets the array of each rule's index; 0: none is used. */
export function setUpCandidates(indices: usize): void {
  chains = indices;
}

/**
 * Tells whether rules may be passed over for the packet under way. Where headers cannot be read in full,
 * rules drop packets or ask; where an interface is not known, they ask.
 */
export function hasCandidates(): bool {
  if (chains == 0 || walk.inUnknown || walk.outUnknown) return false;
  if (walk.packet.malformed != MALFORMED_NONE || (walk.known & KNOWN_PROTOCOL) == 0) return false;
  if ((walk.flags & (PACKET_FRAGMENT | PACKET_AUTHENTICATED)) != 0) return false;
  return (walk.known & KNOWN_PORTS) != 0 || !hasPorts(walk.protocol);
}

/** The first rule from this one on that may match; the chain's end at last. */
export function nextCandidate(rule: u32): u32 {
  const at: usize = load<u32>(chains + ((<usize>rule) << 2));
  if (at == 0) return rule;
  const index = changetype<ChainIndex>(at);
  let best = index.end;
  let shape = at + offsetof<ChainIndex>();
  for (let count = index.shapeCount; count > 0; count--) {
    const found = nextOfShape(changetype<Shape>(shape), rule);
    if (found < best) best = found;
    shape += offsetof<Shape>();
  }
  return best;
}

function nextOfShape(shape: Shape, rule: u32): u32 {
  const fields: u32 = shape.fields;
  const hash = hashOfFields(
    shape,
    SRC,
    DST,
    (fields & FIELD_IN) != 0 ? interfaceName(walk.inInterface) : 0,
    (fields & FIELD_OUT) != 0 ? interfaceName(walk.outInterface) : 0,
    walk.protocol,
    ((<u32>walk.sport) << 16) | walk.dport,
  );
  const slot = slotOf(shape, hash);
  const count = load<u32>(slot, SLOT_COUNT);
  if (count == 0) return u32.MAX_VALUE;
  return firstFrom(<usize>shape.rules + ((<usize>load<u32>(slot, SLOT_FIRST)) << 2), count, rule);
}

// The least of rising numbers that is not below one.
function firstFrom(at: usize, count: u32, least: u32): u32 {
  let low: u32 = 0;
  let high = count;
  while (high - low > SHORT) {
    const middle = (low + high) >> 1;
    if (load<u32>(at + ((<usize>middle) << 2)) < least) low = middle + 1;
    else high = middle;
  }
  while (low < count) {
    const number = load<u32>(at + ((<usize>low) << 2));
    if (number >= least) return number;
    low++;
  }
  return u32.MAX_VALUE;
}

/** The slot of a hash, or the empty one where it would be. */
export function slotOf(shape: Shape, hash: u32): usize {
  let number = hash & shape.slotMask;
  while (true) {
    const slot = <usize>shape.slots + <usize>number * SLOT_SIZE;
    if (load<u32>(slot, SLOT_COUNT) == 0 || load<u32>(slot) == hash) return slot;
    number = (number + 1) & shape.slotMask;
  }
}

/**
 * The hash of what a shape asks for. Two values of one hash only cost a look at each other's rules.
 *
 * @param ports source port in the upper half, destination port in the lower one
 */
export function hashOfFields(
  shape: Shape,
  src: usize,
  dst: usize,
  inName: usize,
  outName: usize,
  protocol: u32,
  ports: u32,
): u32 {
  const fields: u32 = shape.fields;
  let hash: u32 = 0;
  if (shape.srcBits != 0) hash = mixAddress(hash, src, shape.srcBits);
  if (shape.dstBits != 0) hash = mixAddress(hash + 1, dst, shape.dstBits);
  if ((fields & FIELD_IN) != 0) hash = mixName(hash, inName);
  if ((fields & FIELD_OUT) != 0) hash = mixName(hash + 1, outName);
  if ((fields & FIELD_PROTOCOL) != 0) hash = mix(hash, protocol);
  const wanted: u32 =
    ((fields & FIELD_SPORT) != 0 ? 0xffff0000 : 0) | ((fields & FIELD_DPORT) != 0 ? 0xffff : 0);
  return wanted == 0 ? hash : mix(hash, ports & wanted);
}

function mixAddress(hash: u32, address: usize, bits: u32): u32 {
  let left = bits;
  while (left >= 32) {
    hash = mix(hash, load<u32>(address));
    address += 4;
    left -= 32;
  }
  return left == 0 ? hash : mix(hash, load<u32>(address) >> (32 - left));
}

function mixName(hash: u32, name: usize): u32 {
  return mix(
    mix(hash, load<u32>(name) ^ load<u32>(name, 8)),
    load<u32>(name, 4) ^ load<u32>(name, 12),
  );
}
