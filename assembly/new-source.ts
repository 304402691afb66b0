// The source that a new connection gets behind the last hook: which port or ICMP id is free, and which others the
// node may draw. Targets (target/nat.ts) put in its address.
// Source: Linux, nf_nat_core.c; semantics.md N-1 to N-9.
import { isDrawTaken, isTupleDrawn } from "./drawn-port";
import { Entry, ENTRY_PORT_UNKNOWN, ENTRY_SNAT, ENTRY_UNDECIDED } from "./entry";
import { entryAt } from "./entry-list";
import { inverseIcmp, NODE_REPLY, NODE_SOURCE, nodeEntry } from "./entry-tuples";
import { findNode, nextNode } from "./flow-table";
import { ask } from "./fork";
import { isTupleTaken } from "./half-known";
import { key } from "./key";
import {
  NAT_PORTS,
  NAT_RANDOM,
  NAT_RANGE_FLAGS,
  NAT_RANGE_PORT_FIRST,
  NAT_RANGE_PORT_LAST,
  REASON_NAT_PORT,
  RULE_NONE,
} from "./layout";
import { hasPorts } from "./protocol";
import { natHooked } from "./rule";
import { TCP_SYN_SENT, TCP_TIME_WAIT } from "./tcp";
import { isAfter, sideOf } from "./tcp-side";
import { hasWindowFacts, segmentEnd } from "./tcp-window";
import { tracking } from "./tracking";
import { Tuples, tuplesOf } from "./tuples";
import { isIcmp, Walk, walk } from "./walk";
import { exists, touchEntry } from "./worlds";

const walkSrc: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const walkDst: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");
const walkNewSrc: usize = changetype<usize>(walk) + offsetof<Walk>("newSrc0");

/** Begins with the source as it is. */
export function startSource(): void {
  memory.copy(walkNewSrc, walkSrc, 16);
  walk.newSport = identifier();
}

/**
 * Gives the connection a free ICMP id where its own is taken.
 * > Whether a rule translates the destination or not, the id gives way there to the first that is free; it counts as a
 * translation of the destination.
 * Source: Linux, nf_nat_core.c, get_unique_tuple() and nf_nat_l4proto_unique_tuple().
 */
export function settleIcmpId(): void {
  if (!isIcmp() || !natHooked(walk.family, walk.hook) || !isTaken()) return;
  for (let id: u32 = 0; id < ICMP_IDS_TRIED; id++) {
    walk.newSport = id;
    if (isTaken()) continue;
    walk.translated = true;
    walk.rewritten = true;
    walk.movedId = true;
    return;
  }
  walk.newSport = identifier();
}

const ICMP_IDS_TRIED: u32 = 128;

/**
 * Gives the connection's new source, whose address is already in place, its port: the same where it is
 * free, else one that the node draws.
 *
 * @param range ports to choose from, as NAT_RANGE_* draws them; 0 for none
 */
export function settleSource(range: usize): void {
  walk.sourceSettled = true;
  walk.natBound = true;
  const numbered = hasPorts(walk.protocol) || isIcmp();
  if (numbered) choosePort(range);
  else if (isTaken()) walk.natFailed = true;
  walk.srcTranslated =
    walk.sportUnknown ||
    (walk.newSport != identifier() && !walk.movedId) ||
    memory.compare(walkNewSrc, walkSrc, 16) != 0;
  // Other connections decide, too.
  if (walk.srcTranslated || walk.natFailed || range != 0) walk.volatile = true;
  else walk.staysIfFree = true;
}

// Source: Linux, nf_nat_core.c, get_unique_tuple() and nf_nat_l4proto_unique_tuple().
function choosePort(range: usize): void {
  const flags: u32 = range == 0 ? 0 : load<u8>(range, NAT_RANGE_FLAGS);
  const limited = (flags & NAT_PORTS) != 0;
  const first: u32 = limited ? load<u16>(range, NAT_RANGE_PORT_FIRST) : 0;
  const last: u32 = limited ? load<u16>(range, NAT_RANGE_PORT_LAST) : 0xffff;
  const wanted = walk.newSport;
  const random = (flags & NAT_RANDOM) != 0;
  const fits = wanted >= first && wanted <= last;
  if (!random) {
    const keeps = fits && memory.compare(walkNewSrc, walkSrc, 16) == 0;
    if (!keeps && repeatsMapping(first, last)) return;
    if (fits && !isTaken()) return;
  }
  if (limited && first == last) {
    walk.newSport = first;
    // > Of two connections with one tuple the second is dropped when it would be confirmed. Only where the
    // port had to change, it is looked at harder.
    const changes = random || wanted != first;
    walk.natFailed = isTaken() && !(changes && takesOver());
    return;
  }
  walk.sportUnknown = true;
  walk.portFirst = first;
  walk.portLast = last;
  if ((flags & NAT_RANDOM) != 0) {
    walk.newSport = 0;
  } else if (!limited && hasPorts(walk.protocol)) {
    walk.portFirst = walk.newSport < 512 ? 1 : walk.newSport < 1024 ? 600 : 1024;
    walk.portLast = walk.newSport < 512 ? 511 : walk.newSport < 1024 ? 1023 : 0xffff;
  }
}

// Sets `key` to the tuple of answers to the new source.
function keyOfAnswers(): void {
  memory.copy(changetype<usize>(key), walkDst, 16);
  memory.copy(changetype<usize>(key) + 16, walkNewSrc, 16);
  key.family = <u8>walk.family;
  key.protocol = <u8>walk.protocol;
  key.unused = 0;
  key.sport = 0;
  key.dport = 0;
  if (hasPorts(walk.protocol)) {
    key.sport = <u16>walk.dport;
    key.dport = <u16>walk.newSport;
  } else if (isIcmp()) {
    key.sport = <u16>walk.newSport;
    key.dport = inverseIcmp(walk.protocol, <u16>((walk.icmpType << 8) | walk.icmpCode));
  }
}

// That tuple belongs to another connection.
function isTaken(): bool {
  keyOfAnswers();
  return isTupleTaken() || isTupleDrawn();
}

// > A source that is translated already keeps its translation to another destination, its port included,
// where that is in the range and is not taken; the newest counts.
// Source: Linux, nf_nat_core.c, find_appropriate_src().
function repeatsMapping(first: u32, last: u32): bool {
  memory.copy(changetype<usize>(key), walkSrc, 16);
  memory.fill(changetype<usize>(key) + 16, 0, 16);
  key.family = <u8>walk.family;
  key.protocol = <u8>walk.protocol;
  key.unused = 0;
  key.sport = <u16>identifier();
  key.dport = 0;
  for (let node = findNode(1 << NODE_SOURCE); node >= 0; node = nextNode(node)) {
    const number = nodeEntry(node);
    const entry = entryAt(number);
    if ((entry.flags & ENTRY_UNDECIDED) != 0) continue;
    if (!mapsInto(entry, first, last) || !exists(number)) continue;
    walk.newSport = tuplesOf(entry).fromPort;
    if ((entry.flags & ENTRY_PORT_UNKNOWN) == 0) {
      if (!isTaken()) return true;
    } else {
      keyOfAnswers();
      if (!isDrawTaken(tuplesOf(entry).draw)) {
        walk.sportUnknown = true;
        walk.portFirst = tuplesOf(entry).portFirst > first ? tuplesOf(entry).portFirst : first;
        walk.portLast = tuplesOf(entry).portLast < last ? tuplesOf(entry).portLast : last;
        walk.draw = tuplesOf(entry).draw;
        return true;
      }
    }
    walk.newSport = identifier();
    return false;
  }
  return false;
}

function mapsInto(entry: Entry, first: u32, last: u32): bool {
  const from = changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("from0");
  if (memory.compare(from, walkNewSrc, 16) != 0) return false;
  if ((entry.flags & ENTRY_PORT_UNKNOWN) != 0) return drewInto(entry, first, last);
  return tuplesOf(entry).fromPort >= first && tuplesOf(entry).fromPort <= last;
}

// Where only some of the ports that the node may have drawn are in the range, that is asked.
function drewInto(entry: Entry, first: u32, last: u32): bool {
  if (tuplesOf(entry).portFirst >= first && tuplesOf(entry).portLast <= last) return true;
  if (tuplesOf(entry).portLast < first || tuplesOf(entry).portFirst > last) return false;
  return ask(QUESTION_RANGE | tuplesOf(entry).draw, REASON_NAT_PORT, RULE_NONE);
}

const QUESTION_RANGE: u64 = 1 << 48;

// > A SYN takes the port of a translated connection that is over, when its numbers are behind that one's.
// Source: Linux, nf_nat_core.c, nf_nat_used_tuple_harder(). `key` is the tuple that is taken.
function takesOver(): bool {
  const packet = walk.packet;
  if (walk.protocol != 6 || tracking.tcpState != TCP_SYN_SENT || !hasWindowFacts(packet))
    return false;
  const node = findNode(1 << NODE_REPLY);
  if (node < 0) return false;
  const number = nodeEntry(node);
  const entry = entryAt(number);
  if (entry.tcpState < <u8>TCP_TIME_WAIT || (entry.flags & ENTRY_SNAT) == 0) return false;
  if (!isAfter(segmentEnd(packet), sideOf(entry, 0).end)) return false;
  touchEntry(number);
  entry.deadline = 0;
  return true;
}

// The number that tells connections of one source apart: a port, or an ICMP id; 0: there is none.
function identifier(): u32 {
  if (isIcmp()) return walk.packet.icmpId;
  return hasPorts(walk.protocol) ? walk.sport : 0;
}
