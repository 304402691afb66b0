// Network address translation: the nat table is asked by the packet that creates a connection, once for
// each side; every later packet gets what that one got. The targets (target/nat.ts) say what to choose
// from; here the source's port is chosen and translations are carried out.
// Source: Linux, nf_nat_core.c; semantics.md N-1 to N-9.
import { end } from "./attempt";
import {
  Entry,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SNAT,
  ENTRY_UNBOUND,
  ENTRY_UNDECIDED,
  entryAt,
  findNode,
  inverseIcmp,
  key,
  nextNode,
  NODE_REPLY,
  NODE_SOURCE,
  nodeEntry,
  touchEntry,
  Tuples,
  tuplesOf,
} from "./flow-table";
import { ask } from "./fork";
import { exists, isDrawTaken, isTupleDrawn, isTupleTaken } from "./half-known";
import {
  CT_DNAT,
  CT_NEW,
  CT_RELATED,
  CT_SNAT,
  KNOWN_PORTS,
  NAT_PORTS,
  NAT_RANDOM,
  NAT_RANGE_FLAGS,
  NAT_RANGE_PORT_FIRST,
  NAT_RANGE_PORT_LAST,
  REASON_BACKEND,
  REASON_NAT_FAILED,
  REASON_NAT_PORT,
  REASON_NO_ICMP,
  RULE_NONE,
  TABLE_NAT,
  VERDICT_DROP,
  VERDICT_UNKNOWN,
} from "./layout";
import { hasPorts } from "./protocol";
import { ICMP_HEADER, quotedHeader } from "./quote";
import { isRealNode } from "./route";
import { natHooked, natLoaded } from "./rule";
import { runTable } from "./run-table";
import { DIRECTION_ORIGINAL, DIRECTION_REPLY, ENTRY_NONE, tracking } from "./tracking";
import { TCP_SYN_SENT, TCP_TIME_WAIT } from "./tcp";
import { isAfter, sideOf } from "./tcp-side";
import { hasWindowFacts, segmentEnd } from "./tcp-window";
import { cutPath, pathSize } from "./traverse";
import { Walk, walk } from "./walk";

const walkSrc: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const walkDst: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");
const walkNewSrc: usize = changetype<usize>(walk) + offsetof<Walk>("newSrc0");

/** Translates the destination, at PREROUTING and OUTPUT; false when the try has ended. */
export function translateDestination(): bool {
  if (walk.again) return translateAgain();
  if (!tracking.fresh) {
    if (tracking.entry == ENTRY_NONE)
      return !quotesUnknown() || end(VERDICT_UNKNOWN, REASON_NO_ICMP);
    const entry = entryAt(tracking.entry);
    if (isAskedInVain(entry) && !runTable(TABLE_NAT)) return false;
    if (!translatesError(entry, false) || !translatesHead(entry, false)) return fail();
    repeatDestination(entry);
    if (isIcmp() && isTranslated(entry, false) && tuplesOf(entry).fromPort != tuplesOf(entry).sport)
      walk.rewritten = true;
    return true;
  }
  if (!runTable(TABLE_NAT)) return false;
  if (walk.candidatesMany) return end(VERDICT_UNKNOWN, REASON_BACKEND);
  settleIcmpId();
  if (!walk.translated) return true;
  walk.ctState |= CT_DNAT;
  return hasHead(false) || fail();
}

// > The kernel asks nat for a connection's first packet only; here its rules tell at which node that was translated.
function translateAgain(): bool {
  if (!askAgain()) return false;
  if (walk.candidatesMany) return end(VERDICT_UNKNOWN, REASON_BACKEND);
  if (!walk.translated) return true;
  walk.ctState |= CT_DNAT;
  const entry = entryAt(tracking.entry);
  if ((entry.flags & (ENTRY_DNAT | ENTRY_GUESSED)) != ENTRY_DNAT) return true;
  memory.copy(walkDst, changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("to0"), 16);
  if (hasPorts(walk.protocol)) walk.dport = tuplesOf(entry).toPort;
  return true;
}

let rulesChanged: bool = false;

/** Other rules translate from now on; connections stay as they were translated. */
export function noteOtherRules(): void {
  rulesChanged = true;
}

/** Today's rules translate a connection otherwise than those of its first packet did, or nobody knows. */
export function translatesOtherwise(): bool {
  if (!rulesChanged) return false;
  const flags = entryAt(tracking.entry).flags;
  return (flags & ENTRY_GUESSED) != 0 || ((flags & ENTRY_DNAT) != 0) != walk.translated;
}

function askAgain(): bool {
  const counted = pathSize();
  if (!runTable(TABLE_NAT)) return false;
  cutPath(counted);
  return true;
}

// > Whether a rule translates the destination or not, an ICMP id that is taken there gives way to the first
// that is free; it counts as a translation of the destination.
// Source: Linux, nf_nat_core.c, get_unique_tuple() and nf_nat_l4proto_unique_tuple().
function settleIcmpId(): void {
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

// An error about a connection that the capture does not name: nor does it say what it is translated to.
function quotesUnknown(): bool {
  return tracking.quoteMissing && (walk.ctState & CT_RELATED) != 0 && natLoaded(walk.family);
}

/** Chooses the connection's new source, at POSTROUTING and INPUT; false when the try has ended. */
export function translateSource(): bool {
  if (walk.again) return !natLoaded(walk.family) || askAgain();
  if (!tracking.fresh && tracking.entry != ENTRY_NONE) {
    const entry = entryAt(tracking.entry);
    if (isAskedInVain(entry) && !runTable(TABLE_NAT)) return false;
    return (translatesError(entry, true) && translatesHead(entry, true)) || fail();
  }
  if (!tracking.fresh || !natLoaded(walk.family)) return true;
  if (!runTable(TABLE_NAT)) return false;
  if (walk.masqueraded) return true;
  if (!walk.sourceSettled) settleSource(0);
  if (walk.natFailed) return fail();
  if (!walk.srcTranslated) return true;
  walk.ctState |= CT_SNAT;
  return hasHead(true) || fail();
}

// > A connection that began without nat tables has no binding, and gets none: as long as nobody has answered, its
// packets go through the tables that came later, and nothing is translated.
// Source: Linux, nf_nat_core.c, nf_nat_inet_fn() and nf_nat_setup_info().
function isAskedInVain(entry: Entry): bool {
  return (entry.flags & ENTRY_UNBOUND) != 0 && (walk.ctState & CT_NEW) != 0;
}

function fail(): bool {
  return end(VERDICT_DROP, REASON_NAT_FAILED);
}

/** Gives the walk the source that it has behind the last hook: what the connection's first packet got. */
export function takeNewSource(): void {
  if (tracking.fresh) {
    if (!walk.srcTranslated) return;
    memory.copy(walkSrc, walkNewSrc, 16);
    walk.sport = walk.newSport;
    if (walk.sportUnknown) hideSourcePort();
    return;
  }
  if (tracking.entry == ENTRY_NONE) return;
  // > An error gets the address that packets of its direction get, whoever sent it.
  // Source: Linux, nf_nat_proto.c, nf_nat_icmp_reply_translation().
  const error = (walk.ctState & CT_RELATED) != 0;
  const entry = entryAt(tracking.entry);
  const ports = hasPorts(walk.protocol);
  if (tracking.direction == DIRECTION_ORIGINAL && (entry.flags & ENTRY_SNAT) != 0) {
    memory.copy(walkSrc, changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("from0"), 16);
    if (ports) walk.sport = tuplesOf(entry).fromPort;
    if ((entry.flags & ENTRY_PORT_UNKNOWN) != 0 && !error) hideSourcePort();
  } else if (tracking.direction == DIRECTION_REPLY && (entry.flags & ENTRY_DNAT) != 0) {
    memory.copy(walkSrc, changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("dst0"), 16);
    if (ports) walk.sport = tuplesOf(entry).dport;
  }
}

// Rules that look at ports ask from here on.
function hideSourcePort(): void {
  walk.sportDrawn = true;
  walk.known &= ~(<u32>KNOWN_PORTS);
}

/** Begins with the source as it is. */
export function startSource(): void {
  memory.copy(walkNewSrc, walkSrc, 16);
  walk.newSport = identifier();
}

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

// > The header that an error quotes is translated, too: without its first eight bytes the error is
// dropped, and so is a redirect about a connection that is translated or has no binding.
// Source: Linux, nf_nat_proto.c, nf_nat_icmp_reply_translation().
function translatesError(entry: Entry, source: bool): bool {
  if ((walk.ctState & CT_RELATED) == 0 || !isRealNode() || !natHooked(walk.family, walk.hook))
    return true;
  const plain = (entry.flags & (ENTRY_SNAT | ENTRY_DNAT | ENTRY_UNBOUND)) == 0;
  const redirect: u32 = walk.family == 4 ? 5 : 137;
  if (!plain && walk.icmpType == redirect) return false;
  if (!isTranslated(entry, source) || !needsHead(entry.protocol)) return true;
  const header = quotedHeader(walk.packet);
  if (walk.transportLength < ICMP_HEADER + header + QUOTED_MIN) return false;
  // What was a source there is a destination here.
  const packet = walk.packet;
  const quoted: usize = packet.transport + ICMP_HEADER + header;
  const captured = packet.transport != 0 && packet.end >= <u32>quoted + QUOTED_MIN;
  return entry.protocol != 47 || !source || !captured || isKnownGre(quoted);
}

const QUOTED_MIN: u32 = 8;

// The entry's translation changes packets of this direction at hooks of this side.
function isTranslated(entry: Entry, source: bool): bool {
  const bit = source == (tracking.direction == DIRECTION_ORIGINAL) ? ENTRY_SNAT : ENTRY_DNAT;
  return (entry.flags & bit) != 0;
}

// > A header too short to be rewritten drops the packet; without NAT nobody minds a short GRE header.
// Source: Linux, nf_nat_proto.c, gre_manip_pkt().
function translatesHead(entry: Entry, source: bool): bool {
  if ((walk.ctState & CT_RELATED) != 0 || !isTranslated(entry, source)) return true;
  return hasHead(source) || !natHooked(walk.family, walk.hook);
}

function hasHead(source: bool): bool {
  if (!needsHead(walk.protocol)) return true;
  if (walk.transportLength < QUOTED_MIN) return false;
  const header: usize = walk.packet.transport;
  return walk.protocol != 47 || source || header == 0 || isKnownGre(header);
}

// > Whose version is neither 0 nor 1, its destination is not translated.
function isKnownGre(header: usize): bool {
  return (load<u8>(header, 1) & 7) <= 1;
}

function needsHead(protocol: u32): bool {
  return hasPorts(protocol) || protocol == 1 || protocol == 58 || protocol == 47;
}

// What this connection's first packet got. Errors about it have no ports of their own.
function repeatDestination(entry: Entry): void {
  const src = changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("src0");
  const to = changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("to0");
  const ports = hasPorts(walk.protocol);
  if (tracking.direction == DIRECTION_ORIGINAL && (entry.flags & ENTRY_DNAT) != 0) {
    memory.copy(walkDst, to, 16);
    if (ports) walk.dport = tuplesOf(entry).toPort;
    walk.translated = true;
  } else if (tracking.direction == DIRECTION_REPLY && (entry.flags & ENTRY_SNAT) != 0) {
    memory.copy(walkDst, src, 16);
    if (ports) walk.dport = tuplesOf(entry).sport;
  }
}

function isIcmp(): bool {
  return walk.protocol == 1 || walk.protocol == 58;
}

// The number that tells connections of one source apart: a port, or an ICMP id.
function identifier(): u32 {
  return isIcmp() ? walk.packet.icmpId : walk.sport;
}
