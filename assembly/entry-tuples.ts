// By which tuples packets meet an entry. Besides the kernel's two these are the sights of a translated flow after its last
// hook, because a capture shows packets there too (semantics.md N-8).
import { clearBytes, copyBytes, sameAddress } from "./bytes";
import { APART_IPV6, Entry, ENTRY_MASQUERADED, ENTRY_OPEN, familyOf, isIcmp } from "./entry";
import { endsOfKey, Key, portsOfKey, sameEnds } from "./key";
import { hasTuples, originalEnds, originalPorts, Tuples, tuplesOf } from "./tuples";

/** As created: what the first packet had. */
export const NODE_ORIGINAL: u32 = 0;
/** What answers have when they arrive. */
export const NODE_REPLY: u32 = 1;
/** The original direction after DNAT. */
export const NODE_ORIGINAL_SEEN: u32 = 2;
/** Answers after the translation was undone. */
export const NODE_REPLY_SEEN: u32 = 3;
/** The client's side only: the backend was chosen at random and is not known yet. */
export const NODE_CLIENT: u32 = 4;
/** The backend's side only: the source was replaced by an address or port that is not known. */
export const NODE_BACKEND: u32 = 5;
/** The client's side only, of a translated source: its next connection may get the same translation. */
export const NODE_SOURCE: u32 = 6;
export const NODE_KINDS: u32 = 7;
/** Neither NODE_ORIGINAL nor NODE_REPLY for certain. */
export const DIRECTION_NEITHER: u32 = 2;
/**
 * Besides the bits of kinds: the reply's tuple is the original's turned round. Both have one hash, and one slot,
 * that of the original's node.
 */
export const REPLY_TURNED: u8 = 1 << 7;
/** A node number is that of its entry, and its kind in the lowest bits. */
export const KIND_BITS: u32 = 3;
export const KIND_MASK: u32 = (1 << KIND_BITS) - 1;

/** The tuple that `tupleOf` computed. */
export const nodeTuple: Key = changetype<Key>(memory.data(offsetof<Key>()));

/** Number of a node. */
export function nodeNumber(number: u32, kind: u32): u32 {
  return (number << KIND_BITS) | kind;
}

export function nodeKind(node: i64): u32 {
  return (<u32>node) & KIND_MASK;
}

export function nodeEntry(node: i64): u32 {
  return (<u32>node) >> KIND_BITS;
}

/** The node by which an entry is met by one of its tuples. */
export function nodeOf(number: u32, kind: u32): i64 {
  return nodeNumber(number, kind);
}

/** Tells whether what answers has the same ends the other way round; ICMP's has another type. */
export function isTurned(entry: Entry): bool {
  if (isIcmp(entry)) return false;
  if (!hasTuples(entry)) return true;
  const tuples = tuplesOf(entry);
  const src = changetype<usize>(tuples);
  const to = src + offsetof<Tuples>("to0");
  return (
    tuples.toPort == tuples.dport &&
    tuples.fromPort == tuples.sport &&
    sameAddress(to, src + 16) &&
    sameAddress(to + 16, src)
  );
}

/**
 * > Where both tuples are equal (to itself, at the same port or none), the reply's is found: it was put in
 * front. Source: nf_conntrack_core.c, __nf_conntrack_hash_insert().
 */
export function answersItself(entry: Entry): bool {
  if (entry.protocol == 1 || entry.protocol == 58) return false;
  if (!hasTuples(entry))
    return entry.ends == rotl<u64>(entry.ends, 32) && entry.ports == rotl<u32>(entry.ports, 16);
  const src = changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("src0");
  const to = changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("to0");
  // Source and destination lie behind each other, and so do what they became.
  return (
    sameAddress(src, to) &&
    sameAddress(src + 16, to + 16) &&
    tuplesOf(entry).sport == tuplesOf(entry).toPort &&
    tuplesOf(entry).dport == tuplesOf(entry).fromPort
  );
}

/**
 * The direction of a packet of IPv4 in a connection that is not translated on the packet's way, whose node is what
 * `findCertainNode` finds; DIRECTION_NEITHER: it takes a closer look.
 *
 * @param node  the only one that has the tuple's hash
 * @param ends  source's address, destination's << 32
 * @param ports the source's in the lower half
 */
export function plainDirection(node: i64, entry: Entry, ends: u64, ports: u32, protocol: u32): u32 {
  if (entry.protocol != <u8>protocol) return DIRECTION_NEITHER;
  if (hasTuples(entry)) return directionByTuples(node, entry, ends, ports);
  return directionOf(entry, entry.ends, entry.ports, ends, ports);
}

function directionByTuples(node: i64, entry: Entry, ends: u64, ports: u32): u32 {
  if (familyOf(entry) != 4) return DIRECTION_NEITHER;
  const kind = nodeKind(node);
  if (kind == NODE_ORIGINAL)
    return directionOf(entry, originalEnds(entry), originalPorts(entry), ends, ports);
  if (kind != NODE_REPLY) return DIRECTION_NEITHER;
  const tuples = tuplesOf(entry);
  const own = (<u32>tuples.toPort) | ((<u32>tuples.fromPort) << 16);
  const same = tuples.to0 == <u32>ends && tuples.from0 == <u32>(ends >> 32) && own == ports;
  return same ? kind : DIRECTION_NEITHER;
}

// By the original tuple, and by that turned round, if it is the reply's.
function directionOf(entry: Entry, ownEnds: u64, ownPorts: u32, ends: u64, ports: u32): u32 {
  const differs = (ownEnds ^ ends) | (ownPorts ^ ports);
  const turned = (ownEnds ^ rotl<u64>(ends, 32)) | (ownPorts ^ rotl<u32>(ports, 16));
  const isReply = (turned | (~entry.linked & REPLY_TURNED)) == 0;
  // As many have one direction as the other: no branches.
  const back = select<u32>(NODE_REPLY, DIRECTION_NEITHER, isReply);
  return select<u32>(NODE_ORIGINAL, back, differs == 0);
}

/** Tells whether the tuple is the one by which a kind of the entry's nodes is indexed. */
export function hangsUnder(entry: Entry, kind: u32, tuple: Key): bool {
  if (entry.protocol != tuple.protocol || familyOf(entry) != tuple.family) return false;
  if (kind == NODE_ORIGINAL && tuple.family == 4)
    return originalEnds(entry) == endsOfKey(tuple) && originalPorts(entry) == portsOfKey(tuple);
  if (kind == NODE_REPLY && !isIcmp(entry)) {
    if (!hasTuples(entry)) {
      const ends = rotl<u64>(endsOfKey(tuple), 32);
      return entry.ends == ends && entry.ports == rotl<u32>(portsOfKey(tuple), 16);
    }
    const tuples = tuplesOf(entry);
    if (tuples.toPort != tuple.sport || tuples.fromPort != tuple.dport) return false;
    const to = changetype<usize>(tuples) + offsetof<Tuples>("to0");
    const at = changetype<usize>(tuple);
    return sameAddress(to, at) && sameAddress(to + 16, at + 16);
  }
  tupleOf(entry, kind);
  return sameEnds(nodeTuple, tuple);
}

/** Writes the tuple by which a kind of an entry's nodes is indexed to `nodeTuple`. */
export function tupleOf(entry: Entry, kind: u32): void {
  if (!hasTuples(entry) && kind == NODE_ORIGINAL) {
    clearBytes(changetype<usize>(nodeTuple), offsetof<Key>());
    nodeTuple.src0 = <u32>entry.ends;
    nodeTuple.dst0 = <u32>(entry.ends >> 32);
    nodeTuple.sport = <u16>entry.ports;
    nodeTuple.dport = <u16>(entry.ports >> 16);
    nodeTuple.family = <u8>familyOf(entry);
    nodeTuple.protocol = entry.protocol;
    return;
  }
  const at = changetype<usize>(nodeTuple);
  const tuples = tuplesOf(entry);
  const src = changetype<usize>(tuples);
  const dst = src + 16;
  const to = dst + 16;
  const from = to + 16;
  const icmp = isIcmp(entry);
  nodeTuple.family = <u8>familyOf(entry);
  nodeTuple.protocol = entry.protocol;
  nodeTuple.unused = 0;
  switch (<i32>kind) {
    case NODE_ORIGINAL:
    case NODE_ORIGINAL_SEEN:
      copyBytes(at, kind == NODE_ORIGINAL ? src : from, 16);
      copyBytes(at + 16, kind == NODE_ORIGINAL ? dst : to, 16);
      nodeTuple.sport = kind == NODE_ORIGINAL ? tuples.sport : tuples.fromPort;
      nodeTuple.dport = kind == NODE_ORIGINAL || icmp ? tuples.dport : tuples.toPort;
      break;
    case NODE_REPLY:
    case NODE_REPLY_SEEN:
      copyBytes(at, kind == NODE_REPLY ? to : dst, 16);
      copyBytes(at + 16, kind == NODE_REPLY ? from : src, 16);
      if (icmp) {
        nodeTuple.sport = kind == NODE_REPLY ? tuples.fromPort : tuples.sport;
        nodeTuple.dport = inverseIcmp(entry.protocol, tuples.dport);
      } else {
        nodeTuple.sport = kind == NODE_REPLY ? tuples.toPort : tuples.dport;
        nodeTuple.dport = kind == NODE_REPLY ? tuples.fromPort : tuples.sport;
      }
      break;
    case NODE_CLIENT:
    case NODE_SOURCE:
      copyBytes(at, src, 16);
      memory.fill(at + 16, 0, 16);
      nodeTuple.sport = tuples.sport;
      nodeTuple.dport = 0;
      break;
    case NODE_BACKEND:
      if ((entry.flags & ENTRY_OPEN) != 0) {
        memory.fill(at, 0, 32);
        nodeTuple.sport = 0;
        nodeTuple.dport = 0;
        break;
      }
      copyBytes(at, to, 16);
      if ((entry.flags & ENTRY_MASQUERADED) != 0) memory.fill(at + 16, 0, 16);
      else copyBytes(at + 16, from, 16);
      nodeTuple.sport = icmp ? 0 : tuples.toPort;
      nodeTuple.dport = icmp ? inverseIcmp(entry.protocol, tuples.dport) : 0;
      break;
    default:
      unreachable();
  }
}

/** Type and code that answer a query's; the same where there is none. */
export function inverseIcmp(protocol: u32, typeCode: u16): u16 {
  const type: u32 = typeCode >> 8;
  const code = typeCode & 0xff;
  if (protocol == 1) {
    if (type == 8) return code;
    if (type == 0) return 0x800 | code;
    if (type == 13 || type == 15 || type == 17) return (<u16>((type + 1) << 8)) | code;
    if (type == 14 || type == 16 || type == 18) return (<u16>((type - 1) << 8)) | code;
  } else {
    if (type == 128 || type == 139) return (<u16>((type + 1) << 8)) | code;
    if (type == 129 || type == 140) return (<u16>((type - 1) << 8)) | code;
  }
  return typeCode;
}
