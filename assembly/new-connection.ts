// The entry of a new connection. It enters the table only when its first packet got through the last hook.
// Source: Linux, nf_conntrack_core.c, __nf_conntrack_confirm(); semantics.md section 9.
import { leadsToBackend } from "./backends";
import { now } from "./clock";
import {
  doubtMark,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_MASQUERADED,
  ENTRY_OPEN,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SNAT,
  ENTRY_UNBOUND,
  ENTRY_UNCOUNTED,
  familyOf,
  setStarted,
} from "./entry";
import { hasRoom, linkEntry, refresh } from "./entry-life";
import { addEntry, entryAt } from "./entry-list";
import { removeExpired } from "./flow-table";
import { KNOWN_TCP_FLAGS } from "./layout";
import { countsConnections } from "./match/connbytes";
import { hasPorts } from "./protocol";
import { Packet } from "./records";
import { isRealNode, severalNodes } from "./route";
import { natLoaded } from "./rule";
import { assumeSctp, moveSctp, SCTP_BELONGS, SCTP_UNKNOWN } from "./sctp";
import { assumeTcp, closeTcp, startTcp } from "./tcp-track";
import { DIRECTION_ORIGINAL, keyOfPacket, tracking } from "./tracking";
import { setMaker, setMark, tuplesOf } from "./tuples";
import { Walk } from "./walk";

/** Takes up the entry for a new connection whose packet got through, or whose verdict is unknown. */
export function confirm(packet: Packet, walk: Walk, guessed: bool): bool {
  if (!tracking.fresh) return true;
  if (!hasRoom()) return false;
  keyOfPacket(packet);
  removeExpired();
  const number = addEntry();
  const entry = entryAt(number);
  setStarted(entry, now(), now());
  setMaker(entry, packet.number);
  if (walk.translated) {
    entry.flags |= ENTRY_DNAT;
    tuplesOf(entry).to0 = walk.dst0;
    tuplesOf(entry).to1 = walk.dst1;
    tuplesOf(entry).to2 = walk.dst2;
    tuplesOf(entry).to3 = walk.dst3;
    if (hasPorts(entry.protocol)) tuplesOf(entry).toPort = <u16>walk.dport;
  }
  if (walk.movedId) tuplesOf(entry).fromPort = <u16>walk.newSport;
  if (walk.srcTranslated) {
    entry.flags |= ENTRY_SNAT;
    tuplesOf(entry).from0 = walk.newSrc0;
    tuplesOf(entry).from1 = walk.newSrc1;
    tuplesOf(entry).from2 = walk.newSrc2;
    tuplesOf(entry).from3 = walk.newSrc3;
    tuplesOf(entry).fromPort = <u16>walk.newSport;
    if (walk.sportUnknown) {
      entry.flags |= ENTRY_PORT_UNKNOWN;
      tuplesOf(entry).portFirst = <u16>walk.portFirst;
      tuplesOf(entry).portLast = <u16>walk.portLast;
      tuplesOf(entry).draw = walk.draw != 0 ? walk.draw : nextDraw();
    }
  }
  setMark(entry, walk.connectionMark);
  doubtMark(entry, walk.connectionMarkUnknown != 0);
  if (guessed) entry.flags |= ENTRY_GUESSED;
  if (isRealNode() && !natLoaded(familyOf(entry))) entry.flags |= ENTRY_UNBOUND;
  if (!countsConnections()) entry.flags |= ENTRY_UNCOUNTED;
  // Only answers of backends are looked up by it.
  const backend = walk.masqueraded && leadsToBackend();
  if (backend) entry.flags |= ENTRY_MASQUERADED;
  if (walk.masqueraded && severalNodes() && (guessed || !backend)) entry.flags |= ENTRY_OPEN;
  linkEntry(number);
  if (entry.protocol == 132) {
    const word = moveSctp(entry, packet, DIRECTION_ORIGINAL, true);
    if (word == SCTP_UNKNOWN) assumeSctp(entry);
    if (word != SCTP_BELONGS) refresh(entry);
  } else if (entry.protocol != 6) refresh(entry);
  else if ((packet.known & KNOWN_TCP_FLAGS) != 0) startTcp(entry, packet);
  else assumeTcp(entry, tracking.tcpState);
  if (walk.answeredByReset) closeTcp(number, packet);
  tracking.entry = number;
  return true;
}

let draws: u32 = 0;

function nextDraw(): u32 {
  draws++;
  return draws;
}
