// Connections as the host knows them: those of before the capture, as the node's dump has them, become
// entries of the flow table that are there when the first packet comes (their seconds count from it); and
// entries are read back.
import { sameAddress } from "./bytes";
import { now, SECOND } from "./clock";
import { isAlive, isOver, latestOf } from "./deadline";
import {
  ENTRY_ASSURED,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_MASQUERADED,
  ENTRY_PERHAPS,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SEEN_REPLY,
  ENTRY_SNAT,
  ENTRY_UNBOUND,
  ENTRY_UNCOUNTED,
  ENTRY_UNDECIDED,
  entryLinked,
  familyOf,
  setStarted,
} from "./entry";
import { linkEntry } from "./entry-life";
import { addEntry, entryAt, entryLimit } from "./entry-list";
import { NODE_ORIGINAL, NODE_REPLY } from "./entry-tuples";
import { expectFromStart } from "./expectation";
import { findNode, removeEntry } from "./flow-table";
import { key } from "./key";
import {
  CONNECTION_AGE_UNKNOWN,
  CONNECTION_ANSWERED,
  CONNECTION_ASSURED,
  CONNECTION_BEYOND,
  CONNECTION_DNAT,
  CONNECTION_HELPED,
  CONNECTION_PORTS,
  CONNECTION_SIZE,
  CONNECTION_SNAT,
  CONNECTION_VAGUE,
  CONNECTION_WORDS,
  REASON_BACKEND,
  REASON_CONNECTION,
  RULE_NONE,
} from "./layout";
import { countsConnections } from "./match/connbytes";
import { PROTOCOL_DCCP } from "./protocol";
import { natLoaded } from "./rule";
import { recallSctp } from "./sctp";
import { recallTcp } from "./tcp-track";
import { leaveEntryUndecided, setMark, Tuples, tuplesOf } from "./tuples";

/** One connection of the dump. Written by the host. */
@unmanaged
class Connection {
  family: u8;
  protocol: u8;
  state: u8;
  flags: u8;
  seconds: u32;
  age: u32;
  mark: u32;
  /** Original source and destination, reply source and destination. */
  src0: v128;
  dst0: v128;
  to0: v128;
  from0: v128;
  sport: u16;
  dport: u16;
  toPort: u16;
  fromPort: u16;
}

if (offsetof<Connection>("src0") != CONNECTION_WORDS) ERROR("CONNECTION_WORDS");
if (offsetof<Connection>("sport") != CONNECTION_PORTS) ERROR("CONNECTION_PORTS");
if (offsetof<Connection>() != CONNECTION_SIZE) ERROR("CONNECTION_SIZE");

// Of entries that have one of these it is not known what they are.
const ENTRY_VAGUE: u32 =
  ENTRY_GUESSED | ENTRY_MASQUERADED | ENTRY_PERHAPS | ENTRY_PORT_UNKNOWN | ENTRY_UNDECIDED;

const connection: Connection = changetype<Connection>(memory.data(offsetof<Connection>(), 16));

let count: u32 = 0;

/** How many there were before the first packet. */
export function knownConnections(): u32 {
  return count;
}

/** Where the host writes the connection that `addConnection` takes. */
export function connectionRecord(): usize {
  return changetype<usize>(connection);
}

/** Takes up the connection that the host wrote. Precondition: there is room. */
export function addConnection(): void {
  if (connection.protocol == PROTOCOL_DCCP) leaveDccpPorts();
  const from = changetype<usize>(connection) + offsetof<Connection>("src0");
  memory.copy(changetype<usize>(key), from, 32);
  key.family = connection.family;
  key.protocol = connection.protocol;
  key.sport = connection.sport;
  key.dport = connection.dport;
  key.unused = 0;
  // A dump that is written while connections come and go may have one twice.
  if (findNode((1 << NODE_ORIGINAL) | (1 << NODE_REPLY)) >= 0) return;
  count++;
  const number = addEntry();
  const entry = entryAt(number);
  const flags: u32 = connection.flags;
  if (!isAnsweredTurned()) {
    memory.copy(changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("to0"), from + 32, 32);
    tuplesOf(entry).toPort = connection.toPort;
    tuplesOf(entry).fromPort = connection.fromPort;
  }
  if ((flags & CONNECTION_ANSWERED) != 0) entry.flags |= ENTRY_SEEN_REPLY;
  if ((flags & CONNECTION_ASSURED) != 0) entry.flags |= ENTRY_ASSURED;
  if ((flags & CONNECTION_SNAT) != 0) entry.flags |= ENTRY_SNAT;
  if ((flags & CONNECTION_DNAT) != 0) entry.flags |= ENTRY_DNAT;
  if ((flags & CONNECTION_BEYOND) != 0) leaveEntryUndecided(entry, REASON_CONNECTION, RULE_NONE);
  if ((flags & CONNECTION_HELPED) != 0) expectFromStart();
  if (!natLoaded(familyOf(entry))) entry.flags |= ENTRY_UNBOUND;
  if (!countsConnections()) entry.flags |= ENTRY_UNCOUNTED;
  setMark(entry, connection.mark);
  // > Seconds that are left, and its age, are whole ones: what is behind the point is left out.
  // Source: nf_conntrack_standalone.c, ct_seq_show(); nf_conntrack_netlink.c, ctnetlink_dump_timeout().
  entry.deadline = (<u64>connection.seconds + 1) * SECOND;
  const told = connection.age != CONNECTION_AGE_UNKNOWN;
  const age = <u64>connection.age * SECOND;
  setStarted(entry, told ? age + SECOND : u64.MAX_VALUE, told ? age : 0);
  if (entry.protocol == 6) recallTcp(entry, connection.state);
  if (entry.protocol == 132) recallSctp(entry, connection.state);
  linkEntry(number);
}

// > Only a kernel before 6.17, which followed DCCP, has ports of it: what that says of its packets, nobody knows.
function leaveDccpPorts(): void {
  if ((connection.sport | connection.dport) == 0) return;
  connection.sport = 0;
  connection.dport = 0;
  connection.toPort = 0;
  connection.fromPort = 0;
  connection.flags |= <u8>CONNECTION_BEYOND;
}

// What answers the connection that the host wrote has its tuple turned round.
function isAnsweredTurned(): bool {
  const src = changetype<usize>(connection) + offsetof<Connection>("src0");
  const to = src + 32;
  if (connection.toPort != connection.dport || connection.fromPort != connection.sport)
    return false;
  return sameAddress(to, src + 16) && sameAddress(to + 16, src);
}

/** Numbers of connections are below this. */
export function connectionLimit(): u32 {
  return entryLimit();
}

/** Writes the connection that has a number where the host reads it; false: none has. Marks are left out. */
export function readConnection(number: u32): bool {
  const entry = entryAt(number);
  if (!entryLinked(entry) || isOver(entry)) return false;
  const to = changetype<usize>(connection) + offsetof<Connection>("src0");
  memory.copy(to, changetype<usize>(tuplesOf(entry)), 64);
  connection.family = <u8>familyOf(entry);
  connection.protocol = entry.protocol;
  connection.state = entry.protocol == 6 ? entry.tcpState : 0;
  connection.sport = tuplesOf(entry).sport;
  connection.dport = tuplesOf(entry).dport;
  connection.toPort = tuplesOf(entry).toPort;
  connection.fromPort = tuplesOf(entry).fromPort;
  connection.seconds = <u32>(
    ((latestOf(entry.deadline) - min(now(), latestOf(entry.deadline))) / SECOND)
  );
  const flags: u32 = entry.flags;
  connection.flags = <u8>(
    (((flags & ENTRY_SEEN_REPLY) != 0 ? CONNECTION_ANSWERED : 0) |
      ((flags & ENTRY_ASSURED) != 0 ? CONNECTION_ASSURED : 0) |
      ((flags & ENTRY_SNAT) != 0 ? CONNECTION_SNAT : 0) |
      ((flags & ENTRY_DNAT) != 0 ? CONNECTION_DNAT : 0) |
      ((flags & ENTRY_VAGUE) != 0 || !isAlive(entry) ? CONNECTION_VAGUE : 0))
  );
  return true;
}

/** Nobody knows whether the node still follows the connection: perhaps another backend of its Service takes it over. */
export function doubtConnection(number: u32): void {
  leaveEntryUndecided(entryAt(number), REASON_BACKEND, RULE_NONE);
}

/** The node forgets the connection that has a number. */
export function forgetConnection(number: u32): void {
  removeEntry(number);
}
