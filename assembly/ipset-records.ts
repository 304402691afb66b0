// What an ipset and an entry of it are, and the entry that is looked for.
import { clearBytes } from "./bytes";
import {
  IPSET_FLAGS,
  IPSET_HASH_SIZE,
  IPSET_HIGH,
  IPSET_INCOMPLETE,
  IPSET_LIMIT,
  IPSET_LOW,
  IPSET_MARK_MASK,
  IPSET_MASK,
  IPSET_NODES,
  IPSET_MEMBER_COUNT,
  IPSET_MEMBERS,
  IPSET_TIMEOUT,
  SET_ENTRY_A,
  SET_ENTRY_B,
  SET_ENTRY_BITS_A,
  SET_ENTRY_BITS_B,
  SET_ENTRY_BYTES,
  SET_ENTRY_DEADLINE,
  SET_ENTRY_FLAGS,
  SET_ENTRY_GONE_AT,
  SET_ENTRY_MARK,
  SET_ENTRY_MARK_MASK,
  SET_ENTRY_PACKETS,
  SET_ENTRY_PORT,
  SET_ENTRY_PROTOCOL,
  SET_ENTRY_WORD,
} from "./layout";

/** A set. */
@unmanaged
export class IpSet {
  /** SET_FIELD_* bits: what its entries have. */
  fields: u32;
  /** 4, 6, or 0 for every family. */
  family: u32;
  /** How many flags a rule has to give. */
  dimensions: u32;
  /** SET_* flags of layout.ts. */
  flags: u32;
  /** Address of u32[bucketMask + 1]: entry addresses, 0 at the end. */
  buckets: u32;
  bucketMask: u32;
  /** Entries in chains, whether they are there or not. */
  linked: u32;
  /** Address of u16[pairCount]: lengths in use, first << 8 | second, in the order they are tried. */
  pairs: u32;
  pairCount: u32;
  /** INCOMPLETE_*, or 0: what may be a member without being here. */
  incomplete: u32;
  /** Of the first address. */
  mask0: u32;
  mask1: u32;
  mask2: u32;
  mask3: u32;
  markMask: u32;
  /** bitmap: the least and the greatest address or port. */
  low: u32;
  high: u32;
  /** list:set: address of the members in their order, LIST_MEMBER_SIZE apart. */
  members: u32;
  memberCount: u32;
  /** Most entries; 0: as many as there are. */
  limit: u32;
  /** Seconds that an entry lives which no one says it of; 0: for ever. */
  timeout: u32;
  /** Buckets of the kernel's own table. */
  hashSize: u32;
  /** SET_PLACE: address of a bit for each node, u32[]. */
  nodes: u32;
  /** Address of the counts of lengths. */
  lengths: u32;
  /** Entries that are there, less those that were collected: the first is taken back with a try. */
  present: u32;
  collected: u32;
  /** 1: how many there are is not known. */
  countDoubted: u8;
  /** 1: an entry may have been added that is not known. */
  mayHold: u8;
  /** 1: any entry may have been deleted. */
  mayMiss: u8;
  /** 1: its entries' counters are not known. */
  countsDoubted: u8;
  /** 1: nothing is known of its entries. */
  lost: u8;
  unused0: u8;
  unused1: u16;
  /** Packet time in ns before which no entry is gone. */
  earliest: u64;
}

/** One entry. */
@unmanaged
export class SetEntry {
  /** Address of the next entry of the bucket, or 0. */
  next: u32;
  a0: u32;
  a1: u32;
  a2: u32;
  a3: u32;
  b0: u32;
  b1: u32;
  b2: u32;
  b3: u32;
  port: u16;
  protocol: u8;
  bitsA: u8;
  bitsB: u8;
  /** SET_ENTRY_* bits. */
  flags: u8;
  /** 1: whether it is there is not known. */
  doubted: u8;
  /** 1: it was deleted. */
  gone: u8;
  /** The packet that changed it last: its low bits. Not taken back with a try. */
  changedBy: u32;
  /** Mark, Ethernet address, or interface number. */
  word: u64;
  /**
   * Nanoseconds since the first packet: before, it is there, and from `goneAt` on it is not; 0: it stays.
   * Of a bitmap's entry without an Ethernet address: how long it will live once it has one.
   */
  deadline: u64;
  goneAt: u64;
  packets: u64;
  bytes: u64;
  /** What a packet's mark becomes. */
  mark: u32;
  markMask: u32;
  /** 1: the counters are not known. */
  countsDoubted: u64;
}

if (offsetof<IpSet>("flags") != IPSET_FLAGS) ERROR("IPSET_FLAGS");
if (offsetof<IpSet>("incomplete") != IPSET_INCOMPLETE) ERROR("IPSET_INCOMPLETE");
if (offsetof<IpSet>("mask0") != IPSET_MASK) ERROR("IPSET_MASK");
if (offsetof<IpSet>("markMask") != IPSET_MARK_MASK) ERROR("IPSET_MARK_MASK");
if (offsetof<IpSet>("low") != IPSET_LOW) ERROR("IPSET_LOW");
if (offsetof<IpSet>("high") != IPSET_HIGH) ERROR("IPSET_HIGH");
if (offsetof<IpSet>("members") != IPSET_MEMBERS) ERROR("IPSET_MEMBERS");
if (offsetof<IpSet>("memberCount") != IPSET_MEMBER_COUNT) ERROR("IPSET_MEMBER_COUNT");
if (offsetof<IpSet>("limit") != IPSET_LIMIT) ERROR("IPSET_LIMIT");
if (offsetof<IpSet>("timeout") != IPSET_TIMEOUT) ERROR("IPSET_TIMEOUT");
if (offsetof<IpSet>("hashSize") != IPSET_HASH_SIZE) ERROR("IPSET_HASH_SIZE");
if (offsetof<IpSet>("nodes") != IPSET_NODES) ERROR("IPSET_NODES");
if (offsetof<SetEntry>("a0") != SET_ENTRY_A) ERROR("SET_ENTRY_A");
if (offsetof<SetEntry>("b0") != SET_ENTRY_B) ERROR("SET_ENTRY_B");
if (offsetof<SetEntry>("port") != SET_ENTRY_PORT) ERROR("SET_ENTRY_PORT");
if (offsetof<SetEntry>("protocol") != SET_ENTRY_PROTOCOL) ERROR("SET_ENTRY_PROTOCOL");
if (offsetof<SetEntry>("bitsA") != SET_ENTRY_BITS_A) ERROR("SET_ENTRY_BITS_A");
if (offsetof<SetEntry>("bitsB") != SET_ENTRY_BITS_B) ERROR("SET_ENTRY_BITS_B");
if (offsetof<SetEntry>("flags") != SET_ENTRY_FLAGS) ERROR("SET_ENTRY_FLAGS");
if (offsetof<SetEntry>("word") != SET_ENTRY_WORD) ERROR("SET_ENTRY_WORD");
if (offsetof<SetEntry>("deadline") != SET_ENTRY_DEADLINE) ERROR("SET_ENTRY_DEADLINE");
if (offsetof<SetEntry>("goneAt") != SET_ENTRY_GONE_AT) ERROR("SET_ENTRY_GONE_AT");
if (offsetof<SetEntry>("packets") != SET_ENTRY_PACKETS) ERROR("SET_ENTRY_PACKETS");
if (offsetof<SetEntry>("bytes") != SET_ENTRY_BYTES) ERROR("SET_ENTRY_BYTES");
if (offsetof<SetEntry>("mark") != SET_ENTRY_MARK) ERROR("SET_ENTRY_MARK");
if (offsetof<SetEntry>("markMask") != SET_ENTRY_MARK_MASK) ERROR("SET_ENTRY_MARK_MASK");

/** What is looked for; also what is inserted. */
export const probe: SetEntry = changetype<SetEntry>(memory.data(offsetof<SetEntry>(), 8));

/** Address of `probe`, for the host to fill. */
export function setProbe(): usize {
  clearBytes(changetype<usize>(probe), offsetof<SetEntry>());
  return changetype<usize>(probe);
}
