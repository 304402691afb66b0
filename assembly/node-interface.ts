// What a real node tells of its interfaces: their Ethernet addresses and their own addresses, of which
// MASQUERADE and REDIRECT choose.
import {
  INTERFACE_ADDRESS_BITS,
  INTERFACE_ADDRESS_FAMILY,
  INTERFACE_ADDRESS_FLAGS,
  INTERFACE_ADDRESS_INTERFACE,
  INTERFACE_ADDRESS_NARROW,
  INTERFACE_ADDRESS_SECONDARY,
  INTERFACE_ADDRESS_SIZE,
  INTERFACE_ADDRESS_WORDS,
  INTERFACE_LINK_EXISTS,
  INTERFACE_LINK_FLAGS,
  INTERFACE_LINK_GROUP,
  INTERFACE_LINK_HAS_GROUP,
  INTERFACE_LINK_HAS_MAC,
  INTERFACE_LINK_LOOPBACK,
  INTERFACE_LINK_MAC,
  INTERFACE_LINK_MTU,
  INTERFACE_LINK_MTU6,
  INTERFACE_LINK_LOWER,
  INTERFACE_LINK_SIZE,
  INTERFACE_LINK_UPPER,
  INTERFACE_LINK_VLAN,
  ROUTE_LOCAL,
} from "./layout";
import { Packet } from "./records";
import { localRouteOf, routeKind } from "./route";

const LOOPBACK4: u32 = 0x7f000001;
/** The first half of what interfaces have as link-local IPv6 addresses. */
export const LINK_LOCAL: u32 = 0xfe800000;

let links: usize = 0;
let linkCount: u32 = 0;
let addresses: usize = 0;
let addressCount: u32 = 0;

/** Sets the records of the links, by interface number, and of all addresses in the node's order. */
export function setNodeInterfaces(
  linkRecords: usize,
  linksInAll: u32,
  addressRecords: usize,
  addressesInAll: u32,
): void {
  links = linkRecords;
  linkCount = linksInAll;
  addresses = addressRecords;
  addressCount = addressesInAll;
}

/** The node told its addresses. */
export function addressesTold(): bool {
  return addressCount != 0;
}

export function isLoopback(number: u32): bool {
  return (
    number < linkCount &&
    (load<u16>(linkAt(number), INTERFACE_LINK_FLAGS) & INTERFACE_LINK_LOOPBACK) != 0
  );
}

/** Number of the loopback interface; 0 without one. */
export function loopbackInterface(): u32 {
  for (let number: u32 = 0; number < linkCount; number++) {
    if (isLoopback(number)) return number;
  }
  return 0;
}

/** How many numbers there are; the least real one is 1. */
export function interfaceNumbers(): u32 {
  return linkCount;
}

/** The number belongs to an interface that the node has. */
export function isNodeInterface(number: u32): bool {
  return (
    number < linkCount &&
    (load<u16>(linkAt(number), INTERFACE_LINK_FLAGS) & INTERFACE_LINK_EXISTS) != 0
  );
}

/** INTERFACE_LINK_* bits. */
export function linkFlags(number: u32): u32 {
  return number < linkCount ? load<u16>(linkAt(number), INTERFACE_LINK_FLAGS) : 0;
}

/** The interface that takes its frames; 0 without one. */
export function upperInterface(number: u32): u32 {
  return number < linkCount ? load<u32>(linkAt(number), INTERFACE_LINK_UPPER) : 0;
}

/** The interface below a VLAN; 0: it is none. */
export function lowerInterface(number: u32): u32 {
  return number < linkCount ? load<u32>(linkAt(number), INTERFACE_LINK_LOWER) : 0;
}

/** Its VLAN identifier plus one; 0: it is none. */
export function vlanOf(number: u32): u32 {
  return number < linkCount ? load<u16>(linkAt(number), INTERFACE_LINK_VLAN) : 0;
}

/** How long packets of a family may be there; 0: it was not told. */
export function mtuOf(number: u32, family: u32): u32 {
  if (number >= linkCount) return 0;
  const link = linkAt(number);
  return family == 4 ? load<u32>(link, INTERFACE_LINK_MTU) : load<u32>(link, INTERFACE_LINK_MTU6);
}

let leastMtu: u32 = 0xffffffff;

/** Says how long TCP and UDP packets, or their segments, may be that fit whatever way they go. */
export function setLeastMtu(bytes: u32): void {
  leastMtu = bytes;
}

/** A TCP or UDP packet of so many bytes may be too long for one of the ways out. */
export function isPerhapsTooLong(bytes: u32): bool {
  return bytes > leastMtu;
}

/** Tells whether the frame's source address is that of the interface: the node sends it. */
export function isSourceMac(number: u32, packet: Packet): bool {
  return hasMac(number) && sameMac(linkAt(number), packet.srcMac, packet.srcMacTail);
}

/** Tells whether the frame is for the interface. */
export function isDestinationMac(number: u32, packet: Packet): bool {
  return hasMac(number) && sameMac(linkAt(number), packet.dstMac, packet.dstMacTail);
}

export function hasMac(number: u32): bool {
  return (
    number < linkCount &&
    (load<u16>(linkAt(number), INTERFACE_LINK_FLAGS) & INTERFACE_LINK_HAS_MAC) != 0
  );
}

/** The node told the interface's group by number. */
export function hasGroup(number: u32): bool {
  return (
    number < linkCount &&
    (load<u16>(linkAt(number), INTERFACE_LINK_FLAGS) & INTERFACE_LINK_HAS_GROUP) != 0
  );
}

export function groupOf(number: u32): u32 {
  return load<u32>(linkAt(number), INTERFACE_LINK_GROUP);
}

/**
 * The address that the node takes as source on an interface: the first primary one of global scope whose
 * subnet holds the next hop, else the first; 0 without one. Gives the address of its four words.
 * Source: Linux, inet_select_addr().
 */
export function sourceAddress4(number: u32, nextHop: u32): usize {
  let chosen: usize = 0;
  for (let index: u32 = 0; index < addressCount; index++) {
    const at = addressAt(index);
    if (!isCandidate(at, number, 4)) continue;
    const bits: u32 = load<u8>(at, INTERFACE_ADDRESS_BITS);
    const mask: u32 = bits == 0 ? 0 : 0xffffffff << (32 - bits);
    const words = at + INTERFACE_ADDRESS_WORDS;
    if (((load<u32>(words) ^ nextHop) & mask) == 0) return words;
    if (chosen == 0) chosen = words;
  }
  if (chosen != 0 || number == 0) return chosen;
  // > Not all interfaces have one: that of the first other one does.
  for (let index: u32 = 0; index < addressCount; index++) {
    const at = addressAt(index);
    const owner: u32 = load<u32>(at, INTERFACE_ADDRESS_INTERFACE);
    if (isCandidate(at, owner, 4)) return at + INTERFACE_ADDRESS_WORDS;
  }
  return 0;
}

/**
 * The same for IPv6: of the interface's global addresses, or else of all, the one that shares most bits
 * with the destination. Source: RFC 6724; Linux, ipv6_dev_get_saddr().
 */
export function sourceAddress6(number: u32, destination: usize): usize {
  const own = closestAddress6(number, destination);
  return own != 0 ? own : closestAddress6(ANY_INTERFACE, destination);
}

const ANY_INTERFACE: u32 = 0xffffffff;

function closestAddress6(number: u32, destination: usize): usize {
  let chosen: usize = 0;
  let most: u32 = 0;
  for (let index: u32 = 0; index < addressCount; index++) {
    const at = addressAt(index);
    const owner: u32 = load<u32>(at, INTERFACE_ADDRESS_INTERFACE);
    if (number == ANY_INTERFACE && isLoopback(owner)) continue;
    if (!isCandidate(at, number == ANY_INTERFACE ? owner : number, 6)) continue;
    const words = at + INTERFACE_ADDRESS_WORDS;
    // > An address has no more in common with any other than its prefix.
    const bits: u32 = load<u8>(at, INTERFACE_ADDRESS_BITS);
    const common = min(commonBits(words, destination), bits);
    if (chosen != 0 && common <= most) continue;
    chosen = words;
    most = common;
  }
  return chosen;
}

/**
 * The address of an interface to which what was sent to a destination is redirected: the first; in IPv6
 * the first of the destination's scope, where that is narrower than the world. 0 without one.
 * Source: Linux, nf_nat_redirect.c, nf_nat_redirect_ipv6_usable(), since 6.7.
 */
export function redirectAddress(number: u32, family: u32, destination: usize): usize {
  const scope = family == 6 ? narrowScope(destination) : 0;
  for (let index: u32 = 0; index < addressCount; index++) {
    const at = addressAt(index);
    if (load<u32>(at, INTERFACE_ADDRESS_INTERFACE) != number) continue;
    if (load<u8>(at, INTERFACE_ADDRESS_FAMILY) != family) continue;
    const words = at + INTERFACE_ADDRESS_WORDS;
    if (scope == 0 || narrowScope(words) == scope) return words;
  }
  return 0;
}

/** Tells whether an interface has an address of a family. */
export function hasAddress(number: u32, family: u32): bool {
  for (let index: u32 = 0; index < addressCount; index++) {
    const at = addressAt(index);
    if (load<u32>(at, INTERFACE_ADDRESS_INTERFACE) != number) continue;
    if (load<u8>(at, INTERFACE_ADDRESS_FAMILY) == family) return true;
  }
  return false;
}

/** Tells whether an interface has the IPv4 address; where none was told, the local routes say. */
export function isOwnAddress4(word: u32): bool {
  if (routeKind(localRouteOf(word)) != ROUTE_LOCAL) return false;
  if (!addressesTold()) return word >> 24 != 127 || word == LOOPBACK4;
  for (let index: u32 = 0; index < addressCount; index++) {
    const at = addressAt(index);
    if (load<u8>(at, INTERFACE_ADDRESS_FAMILY) != 4) continue;
    if (load<u32>(at, INTERFACE_ADDRESS_WORDS) == word) return true;
  }
  return false;
}

/** The interface itself has the IPv6 address. */
export function isOwnAddress6(number: u32, word0: u32, word1: u32, word2: u32, word3: u32): bool {
  for (let index: u32 = 0; index < addressCount; index++) {
    const at = addressAt(index);
    if (load<u32>(at, INTERFACE_ADDRESS_INTERFACE) != number) continue;
    const words = at + INTERFACE_ADDRESS_WORDS;
    const same = load<u32>(words) == word0 && load<u32>(words, 4) == word1;
    if (same && load<u32>(words, 8) == word2 && load<u32>(words, 12) == word3) return true;
  }
  return false;
}

/** The interface has a link-local IPv6 address of the usual subnet. */
export function hasLinkLocal(number: u32): bool {
  for (let index: u32 = 0; index < addressCount; index++) {
    const at = addressAt(index);
    if (load<u32>(at, INTERFACE_ADDRESS_INTERFACE) != number) continue;
    const words = at + INTERFACE_ADDRESS_WORDS;
    if (load<u32>(words) == LINK_LOCAL && load<u32>(words, 4) == 0) return true;
  }
  return false;
}

/**
 * Tells whether addresses that end in these 24 bits are asked for at the interface: those that it has, and on a router
 * the anycast address of each of its subnets. Source: Linux, addrconf.c, addrconf_join_solict(), addrconf_join_anycast().
 */
export function isSolicitedAt(number: u32, tail: u32, router: bool): bool {
  // > Nobody is asked where there are no neighbours' addresses.
  if (!hasMac(number)) return false;
  for (let index: u32 = 0; index < addressCount; index++) {
    const at = addressAt(index);
    if (load<u32>(at, INTERFACE_ADDRESS_INTERFACE) != number) continue;
    if (load<u8>(at, INTERFACE_ADDRESS_FAMILY) != 6) continue;
    const own = load<u32>(at + INTERFACE_ADDRESS_WORDS, 12) & 0xffffff;
    if (own == tail) return true;
    const bits: u32 = load<u8>(at, INTERFACE_ADDRESS_BITS);
    // > Links of two (RFC 6164), and single addresses, have none.
    if (!router || bits >= 127) continue;
    const subnet: u32 = bits <= 104 ? 0 : own & (0xffffffff << (128 - bits));
    if (subnet == tail) return true;
  }
  return false;
}

const SCOPE_INTERFACE: u32 = 1;
const SCOPE_LINK: u32 = 2;
const SCOPE_SITE: u32 = 5;
const SCOPE_COMPATIBLE: u32 = 16;

// The scope of an IPv6 address that is narrower than the world (or that of an old IPv4-compatible one), as
// multicast counts them; else 0. Source: Linux, addrconf_core.c, __ipv6_addr_type().
function narrowScope(words: usize): u32 {
  const word0 = load<u32>(words);
  if (word0 >> 24 == 0xff) {
    const scope = (word0 >> 16) & 0xf;
    return scope == SCOPE_INTERFACE || scope == SCOPE_LINK || scope == SCOPE_SITE ? scope : 0;
  }
  if (word0 >> 22 == 0x3fa) return SCOPE_LINK;
  if (word0 >> 22 == 0x3fb) return SCOPE_SITE;
  if ((word0 | load<u32>(words, 4) | load<u32>(words, 8)) != 0) return 0;
  const word3 = load<u32>(words, 12);
  return word3 == 0 ? 0 : word3 == 1 ? SCOPE_INTERFACE : SCOPE_COMPATIBLE;
}

function isCandidate(at: usize, number: u32, family: u32): bool {
  const never = INTERFACE_ADDRESS_SECONDARY | INTERFACE_ADDRESS_NARROW;
  return (
    load<u32>(at, INTERFACE_ADDRESS_INTERFACE) == number &&
    load<u8>(at, INTERFACE_ADDRESS_FAMILY) == family &&
    (load<u8>(at, INTERFACE_ADDRESS_FLAGS) & never) == 0
  );
}

function commonBits(one: usize, other: usize): u32 {
  let bits: u32 = 0;
  for (let word: usize = 0; word < 16; word += 4) {
    const same = clz(load<u32>(one + word) ^ load<u32>(other + word));
    bits += same;
    if (same < 32) break;
  }
  return bits;
}

function sameMac(link: usize, head: u32, tail: u16): bool {
  return (
    load<u32>(link, INTERFACE_LINK_MAC) == head && load<u16>(link, INTERFACE_LINK_MAC + 4) == tail
  );
}

function linkAt(number: u32): usize {
  return links + <usize>number * INTERFACE_LINK_SIZE;
}

function addressAt(index: u32): usize {
  return addresses + <usize>index * INTERFACE_ADDRESS_SIZE;
}
