// DNAT, REDIRECT, SNAT, MASQUERADE and NETMAP: what a connection's addresses become. Where several
// destinations are possible the node draws one; every one of them is tried. A connection that is there already is
// not translated.
// Source: Linux, xt_nat.c, xt_MASQUERADE.c, nf_nat_masquerade.c, nf_nat_redirect.c, xt_NETMAP.c.
import { attempt } from "../attempt";
import { ask } from "../fork";
import {
  HOOK_INPUT,
  HOOK_OUTPUT,
  HOOK_POSTROUTING,
  NAT_ADDRESSES,
  NAT_PORT_OFFSET,
  NAT_PORTS,
  NAT_RANDOM,
  NAT_RANGE_FIRST,
  NAT_RANGE_FLAGS,
  NAT_RANGE_LAST,
  NAT_RANGE_PORT_BASE,
  NAT_RANGE_PORT_FIRST,
  NAT_RANGE_PORT_LAST,
  REASON_BACKEND,
  ROUTE_NONE,
} from "../layout";
import { hasPorts } from "../protocol";
import { settleSource } from "../new-source";
import { redirectAddress, sourceAddress4, sourceAddress6 } from "../node-interface";
import { isRealNode, routeGateway } from "../route";
import { tracking } from "../tracking";
import { Walk, walk } from "../walk";
import { EFFECT_ACCEPT, EFFECT_DROP } from "./effect";

const walkSrc: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const walkDst: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");
const walkNewSrc: usize = changetype<usize>(walk) + offsetof<Walk>("newSrc0");
// The destination before the target.
const before: usize = memory.data(16);
const chosen: usize = memory.data(16);

/** Destinations that are tried one by one. */
const CANDIDATES_MAX: u32 = 64;

/** DNAT: a new destination. */
export function translateTo(range: usize, index: u32): u32 {
  if (!tracking.fresh && !walk.again) return EFFECT_ACCEPT;
  const flags: u32 = load<u8>(range, NAT_RANGE_FLAGS);
  let addresses: u32 = 1;
  memory.copy(chosen, walkDst, 16);
  if ((flags & NAT_ADDRESSES) != 0) {
    memory.copy(chosen, range + NAT_RANGE_FIRST, 16);
    addresses = addressesOf(range);
  }
  const first: u32 = load<u16>(range, NAT_RANGE_PORT_FIRST);
  const size: u32 = <u32>load<u16>(range, NAT_RANGE_PORT_LAST) - first + 1;
  let port = walk.dport;
  let ports: u32 = 1;
  if ((flags & NAT_PORTS) != 0 && hasPorts(walk.protocol)) {
    if ((flags & NAT_PORT_OFFSET) != 0) {
      port = first + (((walk.dport - <u32>load<u16>(range, NAT_RANGE_PORT_BASE)) & 0xffff) % size);
    } else if (!keepsPort(range, first, size)) {
      port = first;
      ports = size;
    }
  }
  if (addresses > CANDIDATES_MAX || ports > CANDIDATES_MAX / addresses) {
    walk.natBound = true;
    walk.candidatesMany = true;
    return EFFECT_ACCEPT;
  }
  const candidate = choose(addresses * ports, index);
  const last: usize = walk.family == 4 ? 0 : 12;
  store<u32>(chosen + last, load<u32>(chosen + last) + candidate / ports);
  walk.translator = index;
  return setDestination(chosen, port + (candidate % ports));
}

/** REDIRECT: the node itself. */
export function redirect(range: usize, index: u32): u32 {
  memory.fill(chosen, 0, 16);
  if (walk.hook == HOOK_OUTPUT) {
    if (walk.family == 4) store<u32>(chosen, 0x7f000001);
    else store<u32>(chosen, 1, 12);
  } else {
    const own = redirectAddress(walk.inInterface, walk.family, walkDst);
    if (own == 0) {
      walk.natFailed = true;
      return EFFECT_DROP;
    }
    memory.copy(chosen, own, 16);
  }
  if (!tracking.fresh) return EFFECT_ACCEPT;
  let port = walk.dport;
  if ((load<u8>(range, NAT_RANGE_FLAGS) & NAT_PORTS) != 0 && hasPorts(walk.protocol)) {
    const first: u32 = load<u16>(range, NAT_RANGE_PORT_FIRST);
    const size: u32 = <u32>load<u16>(range, NAT_RANGE_PORT_LAST) - first + 1;
    const keeps = keepsPort(range, first, size);
    if (size > CANDIDATES_MAX && !keeps) {
      walk.natBound = true;
      walk.candidatesMany = true;
      return EFFECT_ACCEPT;
    }
    if (!keeps) port = first + choose(size, index);
  }
  return setDestination(chosen, port);
}

/** SNAT: a new source. */
export function translateFrom(range: usize): u32 {
  if (!tracking.fresh) return EFFECT_ACCEPT;
  if ((load<u8>(range, NAT_RANGE_FLAGS) & NAT_ADDRESSES) != 0) {
    if (addressesOf(range) > 1) {
      // Which one the node takes, its own secret decides.
      walk.natBound = true;
      walk.masqueraded = true;
      return EFFECT_ACCEPT;
    }
    memory.copy(walkNewSrc, range + NAT_RANGE_FIRST, 16);
  }
  settleSource(range);
  return EFFECT_ACCEPT;
}

/** MASQUERADE: the address of the out-interface. */
export function masquerade(range: usize): u32 {
  if (!isRealNode()) {
    walk.natBound = true;
    walk.masqueraded = true;
    return EFFECT_ACCEPT;
  }
  const own = walk.family == 4 ? masqueradeAddress4() : sourceAddress6(walk.outInterface, walkDst);
  if (own == 0) {
    walk.natFailed = true;
    return EFFECT_DROP;
  }
  if (!tracking.fresh) return EFFECT_ACCEPT;
  memory.copy(walkNewSrc, own, 16);
  settleSource(range);
  return EFFECT_ACCEPT;
}

/** NETMAP: the network's bits change, the host's stay. */
export function mapNetwork(range: usize): u32 {
  if (!tracking.fresh) return EFFECT_ACCEPT;
  const source = walk.hook == HOOK_POSTROUTING || walk.hook == HOOK_INPUT;
  const old = source ? walkSrc : walkDst;
  for (let at: usize = 0; at < 16; at += 4) {
    const first = load<u32>(range + NAT_RANGE_FIRST + at);
    const host = first ^ load<u32>(range + NAT_RANGE_LAST + at);
    store<u32>(chosen + at, (load<u32>(old + at) & host) | (first & ~host));
  }
  if (!source) return setDestination(chosen, walk.dport);
  memory.copy(walkNewSrc, chosen, 16);
  settleSource(0);
  return EFFECT_ACCEPT;
}

// > A port that lies in the range stays, unless one is to be drawn. Source: nf_nat_core.c, get_unique_tuple().
function keepsPort(range: usize, first: u32, size: u32): bool {
  if ((load<u8>(range, NAT_RANGE_FLAGS) & NAT_RANDOM) != 0) return false;
  return size > 1 && walk.dport >= first && walk.dport < first + size;
}

function masqueradeAddress4(): usize {
  let nextHop = walk.dst0;
  if (attempt.dstRoute != ROUTE_NONE) {
    const gateway = load<u32>(routeGateway(attempt.dstRoute));
    if (gateway != 0) nextHop = gateway;
  }
  return sourceAddress4(walk.outInterface, nextHop);
}

function setDestination(words: usize, port: u32): u32 {
  walk.natBound = true;
  memory.copy(before, walkDst, 16);
  memory.copy(walkDst, words, 16);
  if (port != walk.dport || memory.compare(before, walkDst, 16) != 0) walk.translated = true;
  walk.dport = port;
  return EFFECT_ACCEPT;
}

// Addresses in a range; more than CANDIDATES_MAX stand for any number.
function addressesOf(range: usize): u32 {
  const last: usize = walk.family == 4 ? 0 : 12;
  const first = load<u32>(range + NAT_RANGE_FIRST + last);
  const end = load<u32>(range + NAT_RANGE_LAST + last);
  const sameHead =
    last == 0 || memory.compare(range + NAT_RANGE_FIRST, range + NAT_RANGE_LAST, 12) == 0;
  return sameHead && end - first < CANDIDATES_MAX ? end - first + 1 : CANDIDATES_MAX + 1;
}

// One of several choices, all of which are tried.
function choose(count: u32, index: u32): u32 {
  let candidate: u32 = 0;
  while (candidate + 1 < count) {
    const question = QUESTION_CHOICE | ((<u64>index) << 8) | candidate;
    if (ask(question, REASON_BACKEND, index)) return candidate;
    candidate++;
  }
  return candidate;
}

const QUESTION_CHOICE: u64 = 1 << 59;
