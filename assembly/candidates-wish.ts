// What a rule asks of a packet's headers before anything that could ask back, drop or change something: ranges of
// addresses, interface names, ports and protocols. What does not fit is left out: the rule may match then.
import {
  CONNTRACK_STATE,
  IPRANGE_DST,
  IPRANGE_INVERT_DST,
  IPRANGE_INVERT_SRC,
  IPRANGE_SRC,
  MATCH_ADDRESS,
  MATCH_CONNTRACK,
  MATCH_HEADER_SIZE,
  MATCH_INTERFACE,
  MATCH_INVERT,
  MATCH_IPRANGE,
  MATCH_KIND,
  MATCH_MARK,
  MATCH_MULTIPORT,
  MATCH_PORT,
  MATCH_PROTOCOL,
  MATCH_SIZE,
  MATCH_STATE,
  SIDE_DST,
  SIDE_EITHER,
  SIDE_SRC,
} from "./layout";
import { hasPorts } from "./protocol";
import { Rule } from "./rule";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

// Ranges of 128 bits: the least and the greatest number, each as two u64, the upper one first.
const RANGE_SIZE: usize = 32;
const ranges: usize = memory.data(4 * 32, 8);
export const WISH_SRC: usize = ranges;
export const WISH_DST: usize = ranges + RANGE_SIZE;
export const WISH_IN: usize = ranges + 2 * RANGE_SIZE;
export const WISH_OUT: usize = ranges + 3 * RANGE_SIZE;

// For each side: how many ranges, u32, and their first and last ports, u16 each.
const PORTS_MAX: u32 = 15;
const PORTS_SIZE: usize = 4 + 4 * 15;
const ports: usize = memory.data(2 * 64, 4);
export const WISH_SPORTS: usize = ports;
export const WISH_DPORTS: usize = ports + PORTS_SIZE;

/** Range of protocols. */
export let protocolLeast: u32 = 0;
export let protocolMost: u32 = 255;
/** The rule asks for nothing else. */
export let wishIsAll: bool = false;
/** Nothing is all that the rule asks for. */
export let wishIsVain: bool = false;

/**
 * Reads a rule's wishes.
 *
 * @param family of its tables: 4 or 6
 */
export function readWish(rule: Rule, family: u32): void {
  for (let at: usize = 0; at < 4 * RANGE_SIZE; at += RANGE_SIZE) {
    v128.store(ranges + at, i64x2.splat(0));
    v128.store(ranges + at, i64x2.splat(-1), 16);
  }
  setPorts(WISH_SPORTS, 0, 0xffff);
  setPorts(WISH_DPORTS, 0, 0xffff);
  protocolLeast = 0;
  protocolMost = 255;
  wishIsAll = true;
  wishIsVain = false;
  let match: usize = rule.matches;
  const end: usize = rule.matchesEnd;
  while (match < end) {
    if (!readMatch(match, family)) {
      wishIsAll = false;
      return;
    }
    match += load<u16>(match, MATCH_SIZE);
  }
}

/** Tells whether a range is every number. */
export function isWhole(range: usize): bool {
  return (
    (load<u64>(range) | load<u64>(range, 8)) == 0 &&
    (load<u64>(range, 16) & load<u64>(range, 24)) == u64.MAX_VALUE
  );
}

/** Tells whether a range begins or ends within what the first 32 bits have in common. */
export function isFine(range: usize): bool {
  return (
    ((load<u64>(range) & 0xffffffff) | load<u64>(range, 8)) != 0 ||
    ((load<u64>(range, 16) | 0xffffffff00000000) & load<u64>(range, 24)) != u64.MAX_VALUE
  );
}

/** Tells whether a list of ports is of all. */
export function isAnyPort(list: usize): bool {
  return load<u32>(list) == 1 && load<u32>(list, 4) == 0xffff0000;
}

/** Makes of each list of ports the one range that holds all of it. */
export function joinPorts(): void {
  joinList(WISH_SPORTS);
  joinList(WISH_DPORTS);
}

function joinList(list: usize): void {
  const count = load<u32>(list);
  if (count > 1) wishIsAll = false;
  for (let index: u32 = 1; index < count; index++) {
    const range = list + 4 + ((<usize>index) << 2);
    store<u16>(list, min(load<u16>(list, 4), load<u16>(range)), 4);
    store<u16>(list, max(load<u16>(list, 6), load<u16>(range, 2)), 6);
  }
  store<u32>(list, 1);
}

// False where what is behind the match does not count: it may ask, or change something, before.
function readMatch(match: usize, family: u32): bool {
  const invert = load<u8>(match, MATCH_INVERT) != 0;
  switch (<i32>load<u16>(match, MATCH_KIND)) {
    case MATCH_ADDRESS: {
      const src = load<u8>(match, PAYLOAD) == SIDE_SRC;
      if (invert) wishIsAll = false;
      else wishAddress(match, src ? WISH_SRC : WISH_DST);
      return true;
    }
    case MATCH_INTERFACE: {
      const arriving = load<u8>(match, PAYLOAD) == SIDE_SRC;
      if (invert) wishIsAll = false;
      else wishInterface(match, arriving ? WISH_IN : WISH_OUT);
      return true;
    }
    case MATCH_PROTOCOL:
      if (invert) wishIsAll = false;
      else wishProtocol(load<u8>(match, PAYLOAD));
      return true;
    case MATCH_IPRANGE:
      wishAddresses(match, family);
      return true;
    case MATCH_PORT:
      wishProtocol(load<u8>(match, PAYLOAD + 10));
      wishPort(WISH_SPORTS, match + PAYLOAD, load<u8>(match, PAYLOAD + 8) != 0);
      wishPort(WISH_DPORTS, match + PAYLOAD + 4, load<u8>(match, PAYLOAD + 9) != 0);
      // It may ask for flags, options or types.
      return load<u8>(match, PAYLOAD + 11) == 0;
    case MATCH_MULTIPORT:
      wishMultiport(match, invert);
      return true;
    case MATCH_CONNTRACK:
      wishIsAll = false;
      return load<u8>(match, PAYLOAD) == CONNTRACK_STATE;
    case MATCH_MARK:
    case MATCH_STATE:
      wishIsAll = false;
      return true;
    default:
      return false;
  }
}

// Of a mask that is no prefix's the leading ones count.
function wishAddress(match: usize, range: usize): void {
  const upperMask = pairAt(match + PAYLOAD + 20);
  const lowerMask = pairAt(match + PAYLOAD + 28);
  const upper = leadingOnes(upperMask);
  const lower = upper == u64.MAX_VALUE ? leadingOnes(lowerMask) : 0;
  if (upper != upperMask || lower != lowerMask) wishIsAll = false;
  const least0 = pairAt(match + PAYLOAD + 4) & upper;
  const least1 = pairAt(match + PAYLOAD + 12) & lower;
  narrow(range, least0, least1, least0 | ~upper, least1 | ~lower);
}

function leadingOnes(mask: u64): u64 {
  const ones = clz<u64>(~mask);
  return ones == 0 ? 0 : ~(<u64>0) << (64 - ones);
}

// Two words, the upper one first.
function pairAt(words: usize): u64 {
  return ((<u64>load<u32>(words)) << 32) | load<u32>(words, 4);
}

function wishAddresses(match: usize, family: u32): void {
  const flags: u32 = load<u8>(match, PAYLOAD);
  if ((flags & (IPRANGE_INVERT_SRC | IPRANGE_INVERT_DST)) != 0) wishIsAll = false;
  if ((flags & IPRANGE_SRC) != 0 && (flags & IPRANGE_INVERT_SRC) == 0)
    wishBetween(WISH_SRC, match + PAYLOAD + 4, family);
  if ((flags & IPRANGE_DST) != 0 && (flags & IPRANGE_INVERT_DST) == 0)
    wishBetween(WISH_DST, match + PAYLOAD + 36, family);
}

// Behind an address of IPv4 are zeros, and every number is as good.
function wishBetween(range: usize, ends: usize, family: u32): void {
  const behind: u64 = family == 4 ? 0xffffffff : 0;
  const below: u64 = family == 4 ? u64.MAX_VALUE : 0;
  narrow(
    range,
    pairAt(ends),
    pairAt(ends + 8),
    pairAt(ends + 16) | behind,
    pairAt(ends + 24) | below,
  );
}

// The name's letters as one number, and the mask's zeros as any letters.
function wishInterface(match: usize, range: usize): void {
  const name = match + PAYLOAD + 4;
  const least0 = bswap<u64>(load<u64>(name));
  const least1 = bswap<u64>(load<u64>(name, 8));
  const most0 = least0 | ~bswap<u64>(load<u64>(name, 16));
  const most1 = least1 | ~bswap<u64>(load<u64>(name, 24));
  narrow(range, least0, least1, most0, most1);
}

function narrow(range: usize, least0: u64, least1: u64, most0: u64, most1: u64): void {
  if (isLess(load<u64>(range), load<u64>(range, 8), least0, least1)) {
    store<u64>(range, least0);
    store<u64>(range, least1, 8);
  }
  if (isLess(most0, most1, load<u64>(range, 16), load<u64>(range, 24))) {
    store<u64>(range, most0, 16);
    store<u64>(range, most1, 24);
  }
  const ended = isLess(
    load<u64>(range, 16),
    load<u64>(range, 24),
    load<u64>(range),
    load<u64>(range, 8),
  );
  if (ended) wishIsVain = true;
}

function isLess(upper: u64, lower: u64, otherUpper: u64, otherLower: u64): bool {
  return upper < otherUpper || (upper == otherUpper && lower < otherLower);
}

function wishProtocol(protocol: u32): void {
  if (protocol < protocolLeast || protocol > protocolMost) wishIsVain = true;
  protocolLeast = protocol;
  protocolMost = protocol;
}

function setPorts(list: usize, first: u32, last: u32): void {
  store<u32>(list, 1);
  store<u16>(list, <u16>first, 4);
  store<u16>(list, <u16>last, 6);
}

function wishPort(list: usize, range: usize, negated: bool): void {
  const first: u32 = load<u16>(range);
  const last: u32 = load<u16>(range, 2);
  if (negated || first > last) wishIsAll = false;
  else if (isAny(list)) setPorts(list, first, last);
  else wishIsAll = false;
}

function isAny(list: usize): bool {
  return load<u32>(list) == 1 && load<u16>(list, 4) == 0 && load<u16>(list, 6) == 0xffff;
}

// Only a protocol that has ports makes sure that there are some.
function wishMultiport(match: usize, invert: bool): void {
  const side: u32 = load<u8>(match, PAYLOAD);
  const count: u32 = load<u8>(match, PAYLOAD + 1);
  const list = side == SIDE_DST ? WISH_DPORTS : WISH_SPORTS;
  const ported = protocolLeast == protocolMost && hasPorts(protocolLeast);
  if (invert || side == SIDE_EITHER || !ported || !isAny(list) || count == 0 || count > PORTS_MAX) {
    wishIsAll = false;
    return;
  }
  store<u32>(list, count);
  memory.copy(list + 4, match + PAYLOAD + 4, (<usize>count) << 2);
}
