// Chains whose rules each ask for an interface's whole name and for nothing else, as those that find pods' chains: the
// rule of an interface is looked up by its number. Making that is one pass, where a tree would need all names sorted.
import { zeros } from "./bytes";
import {
  CHAIN_BY_NAME,
  CHAIN_WALKED,
  CHAIN_UNKNOWN,
  ChainIndex,
  OWNER_NONE,
  OWNER_SURE,
} from "./candidates-index";
import { interfaceName, interfaceTotal } from "./interface";
import {
  INTERFACE_SIZE,
  MATCH_HEADER_SIZE,
  MATCH_INTERFACE,
  MATCH_INVERT,
  MATCH_KIND,
  MATCH_SIZE,
  SIDE_DST,
} from "./layout";
import { Rule, ruleAt, RULE_LEAPS } from "./rule";
import { mix } from "./set";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const NAME: usize = PAYLOAD + 4;

// Rules that ask for anything else are looked at for every packet: a chain with more of them gets a tree.
const OTHERS_MAX: u32 = 8;

// Places of interfaces by their names, u32 each: their numbers and 1; 0: free.
let numbers: usize = 0;
let numbersMask: u32 = 0;
// No two interfaces have the same name.
let namesDiffer: bool = true;

// A chain's places: an interface's number and 1, and the owner, u32 each; 0: free.
const PLACE_SIZE: usize = 8;

/** Other rules are there from now on, and may be other interfaces. */
export function forgetNames(): void {
  numbers = 0;
}

/** Tells whether a chain's rules are looked up by interface, and makes that look-up when it is first asked about. */
export function goesByName(index: ChainIndex): bool {
  if (index.kind == CHAIN_UNKNOWN) index.kind = indexByName(index) ? CHAIN_BY_NAME : CHAIN_WALKED;
  return index.kind == CHAIN_BY_NAME;
}

function indexByName(index: ChainIndex): bool {
  const notArriving = countOthers(index, false);
  const leaving = !areFew(index, notArriving);
  const others = leaving ? countOthers(index, true) : notArriving;
  if (!areFew(index, others)) return false;
  if (numbers == 0) numberNames();
  if (!namesDiffer) return false;
  const size = sizeFor(index.end - index.first - others);
  const places = zeros(<usize>size * PLACE_SIZE);
  for (let rule = index.first; rule < index.end; rule++) {
    if (asksForName(ruleAt(rule), leaving) && !putRule(places, size - 1, rule)) return false;
  }
  listOthers(index, leaving, others);
  index.leaving = leaving;
  index.names = <u32>places;
  index.namesMask = size - 1;
  return true;
}

/** The owner that an interface has in a chain with such a look-up; OWNER_NONE where no rule asks for it. */
export function ownerOfInterface(index: ChainIndex, number: u32): u32 {
  const places: usize = index.names;
  let at = mix(0, number) & index.namesMask;
  while (true) {
    const place = places + <usize>at * PLACE_SIZE;
    const held = load<u32>(place);
    if (held == number + 1) return load<u32>(place, 4);
    if (held == 0) return OWNER_NONE;
    at = (at + 1) & index.namesMask;
  }
}

// So few of a chain's rules are others that these may be looked at for every packet.
function areFew(index: ChainIndex, others: u32): bool {
  return others <= OTHERS_MAX && others * 2 < index.end - index.first;
}

function countOthers(index: ChainIndex, leaving: bool): u32 {
  let others: u32 = 0;
  for (let rule = index.first; rule < index.end && others <= OTHERS_MAX; rule++) {
    if (!asksForName(ruleAt(rule), leaving)) others++;
  }
  return others;
}

// Whether an interface's whole name on that side is all that a rule asks for.
function asksForName(rule: Rule, leaving: bool): bool {
  const match: usize = rule.matches;
  if (match == rule.matchesEnd || match + load<u16>(match, MATCH_SIZE) != rule.matchesEnd)
    return false;
  if (load<u16>(match, MATCH_KIND) != MATCH_INTERFACE || load<u8>(match, MATCH_INVERT) != 0)
    return false;
  if ((load<u8>(match, PAYLOAD) == SIDE_DST) != leaving) return false;
  return isWholeName(match + NAME);
}

// The mask of a whole name covers the NUL behind it, that of a beginning does not.
function isWholeName(name: usize): bool {
  const nuls = v128.eq<u8>(v128.load(name), i8x16.splat(0));
  return i8x16.bitmask(v128.and(nuls, v128.load(name, INTERFACE_SIZE))) != 0;
}

// Enters a rule under the interface that it asks for, if there is one. @returns false where another rule has it
function putRule(places: usize, mask: u32, rule: u32): bool {
  const held = numberAt(ruleAt(rule).matches + NAME);
  if (held == 0) return true;
  let at = mix(0, held - 1) & mask;
  while (true) {
    const place = places + <usize>at * PLACE_SIZE;
    const other = load<u32>(place);
    if (other == held) return false;
    if (other == 0) {
      store<u32>(place, held);
      store<u32>(place, (rule << 1) | OWNER_SURE, 4);
      return true;
    }
    at = (at + 1) & mask;
  }
}

function listOthers(index: ChainIndex, leaving: bool, others: u32): void {
  if (others == 0) return;
  index.unasked = <u32>heap.alloc((<usize>others) << 2);
  for (let rule = index.first; rule < index.end; rule++) {
    if (asksForName(ruleAt(rule), leaving)) continue;
    ruleAt(rule).flags &= ~RULE_LEAPS;
    store<u32>(<usize>index.unasked + ((<usize>index.unaskedCount) << 2), rule << 1);
    index.unaskedCount++;
  }
}

function numberNames(): void {
  const count = interfaceTotal();
  const size = sizeFor(count);
  numbers = zeros((<usize>size) << 2);
  numbersMask = size - 1;
  namesDiffer = true;
  for (let number: u32 = 0; number < count; number++) {
    const place = placeOfName(interfaceName(number));
    if (load<u32>(place) != 0) namesDiffer = false;
    store<u32>(place, number + 1);
  }
}

// An interface's number and 1 by its name; 0: there is none.
function numberAt(name: usize): u32 {
  return load<u32>(placeOfName(name));
}

// Where an interface of the name is, or would be.
function placeOfName(name: usize): usize {
  const low = mix(load<u32>(name), load<u32>(name, 4));
  let at = mix(mix(low, load<u32>(name, 8)), load<u32>(name, 12)) & numbersMask;
  while (true) {
    const place = numbers + ((<usize>at) << 2);
    const held = load<u32>(place);
    if (held == 0 || isSameName(interfaceName(held - 1), name)) return place;
    at = (at + 1) & numbersMask;
  }
}

function isSameName(one: usize, other: usize): bool {
  return load<u64>(one) == load<u64>(other) && load<u64>(one, 8) == load<u64>(other, 8);
}

// At most half of the places are taken.
function sizeFor(count: u32): u32 {
  return (<u32>2) << (32 - clz<u32>(count));
}
