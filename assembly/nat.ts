// Network address translation: the nat table is asked by the packet that creates a connection, once for
// each side; every later packet gets what that one got. The targets (target/nat.ts) and new-source.ts choose;
// here translations are carried out.
// Source: Linux, nf_nat_core.c; semantics.md N-1 to N-9.
import { end } from "./attempt";
import {
  Entry,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SNAT,
  ENTRY_UNBOUND,
} from "./entry";
import { entryAt } from "./entry-list";
import {
  CT_DNAT,
  CT_NEW,
  CT_RELATED,
  CT_SNAT,
  KNOWN_PORTS,
  REASON_BACKEND,
  REASON_NAT_FAILED,
  REASON_NO_ICMP,
  TABLE_NAT,
  VERDICT_DROP,
  VERDICT_UNKNOWN,
} from "./layout";
import { settleIcmpId, settleSource } from "./new-source";
import { hasPorts } from "./protocol";
import { ICMP_HEADER, quotedHeader } from "./quote";
import { isRealNode } from "./route";
import { natHooked, natLoaded } from "./rule";
import { runTable } from "./run-table";
import { DIRECTION_ORIGINAL, DIRECTION_REPLY, ENTRY_NONE, tracking } from "./tracking";
import { cutPath, pathSize } from "./traverse";
import { Tuples, tuplesOf } from "./tuples";
import { isIcmp, Walk, walk } from "./walk";

const walkSrc: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const walkDst: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");
const walkNewSrc: usize = changetype<usize>(walk) + offsetof<Walk>("newSrc0");

/**
 * Translates the destination, at PREROUTING and OUTPUT; false when the try has ended. What is shown masqueraded is
 * shown translated.
 */
export function translateDestination(): bool {
  if (walk.srcHidden) return true;
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

// An error about a connection that the capture does not name: nor does it say what it is translated to.
function quotesUnknown(): bool {
  return tracking.quoteMissing && (walk.ctState & CT_RELATED) != 0 && natLoaded(walk.family);
}

/** Chooses the connection's new source, at POSTROUTING and INPUT; false when the try has ended. */
export function translateSource(): bool {
  if (walk.srcHidden) return true;
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
    if (hasPorts(walk.protocol)) walk.sport = walk.newSport;
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
  if ((entry.flags & (ENTRY_DNAT | ENTRY_SNAT)) == 0) return;
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
