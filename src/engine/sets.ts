/** ipsets to the matcher's memory: one hash table each, as assembly/ipset.ts has them. */
import * as layout from "../../assembly/layout.ts";
import { hostPrefix, prefixMask } from "../net/address.ts";
import type { Prefix } from "../net/address.ts";
import type { EntrySet, IpSet, Ruleset, SetEntry, SetOrigin } from "../tables/model.ts";
import { BUCKET_SIZE } from "../tables/ipset.ts";
import { SET_TYPES } from "../tables/set-types.ts";
import type { SetPart, SetType } from "../tables/set-types.ts";
import type { MatcherExports } from "./exports.ts";
import { packNodeBits } from "./topology.ts";
import type { InterfaceNumbers, NodeNumbers } from "./topology.ts";

/** Gives every set a number. One node's tables share their sets. */
export function numberSets(rulesets: readonly Ruleset[]): Map<string, number> {
  return new Map(setsOf(rulesets).map((set, index) => [set.name, index]));
}

/** Fills the tables of all sets. */
export function packSets(
  exports: MatcherExports,
  rulesets: readonly Ruleset[],
  context: {
    readonly numbers: ReadonlyMap<string, number>;
    readonly interfaces: InterfaceNumbers;
    readonly nodes: NodeNumbers;
    /** Names of those that rules change. */
    readonly changed: ReadonlySet<string>;
  },
): void {
  const sets = setsOf(rulesets);
  const changing = withMembers(context.changed, sets);
  const emptyByKind = new Map<string, number>();
  const tables = sets.map((set) => {
    const places = set.origin?.places;
    if (places !== undefined) return packPlaces(exports, places, context.nodes);
    const changes = changing.has(set.name);
    const pack = (): number => packSet(exports, entrySetOf(set), { ...context, changes });
    if (changes || set.kind === "entries" || set.members.length > 0) return pack();
    // Sets that nothing is in and nothing comes into are one table: of a family that no pod has all are such.
    const kind = `${set.kind} ${set.family} ${incompleteness(set)}`;
    const table = emptyByKind.get(kind) ?? pack();
    emptyByKind.set(kind, table);
    return table;
  });
  const array = exports.allocate(4 * Math.max(1, sets.length));
  const view = new DataView(exports.memory.buffer);
  tables.forEach((table, index) => view.setUint32(array + 4 * index, table, true));
  exports.setSets(array);
}

/** Of nodes that are told apart it is known who is there: no address is looked for. */
function packPlaces(
  exports: MatcherExports,
  { nodes: names, spared }: NonNullable<SetOrigin["places"]>,
  numbers: NodeNumbers,
): number {
  const flags = layout.SET_PLACE | (spared ? layout.SET_PLACE_SPARED : 0);
  const table = exports.makeIpSet(layout.SET_FIELD_A, 0, 0, flags);
  const bits = packNodeBits(exports, numbers, { names, others: false });
  new DataView(exports.memory.buffer).setUint32(table + layout.IPSET_NODES, bits, true);
  return table;
}

function setsOf(rulesets: readonly Ruleset[]): IpSet[] {
  return [...new Set(rulesets.flatMap((ruleset) => ruleset.sets))];
}

interface SetSurroundings {
  readonly numbers: ReadonlyMap<string, number>;
  readonly interfaces: InterfaceNumbers;
  /** Rules add or delete entries. */
  readonly changes: boolean;
}

/** What changes a list changes its members. */
function withMembers(changed: ReadonlySet<string>, sets: readonly IpSet[]): Set<string> {
  const names = new Set(changed);
  for (const set of sets) {
    if (set.kind !== "entries" || !names.has(set.name)) continue;
    for (const { member } of set.entries) if (member !== undefined) names.add(member);
  }
  return names;
}

/** The compiled kinds in the form that has room for all. */
function entrySetOf(set: IpSet): EntrySet {
  if (set.kind === "entries") return set;
  const { name, family } = set;
  const origin = set.origin === undefined ? {} : { origin: set.origin };
  const entries =
    set.kind === "hash:net"
      ? set.members.map((first): SetEntry => ({ first }))
      : set.members.map(({ address, protocol, port }): SetEntry => {
          return { first: hostPrefix(address), protocol, port };
        });
  return { kind: "entries", name, type: set.kind, family, entries, ...origin };
}

const FIELD: Readonly<Record<Exclude<SetPart, "set">, number>> = {
  ip: layout.SET_FIELD_A,
  net: layout.SET_FIELD_A,
  port: layout.SET_FIELD_PORT,
  mark: layout.SET_FIELD_MARK,
  mac: layout.SET_FIELD_MAC,
  iface: layout.SET_FIELD_IFACE,
};

function fieldsOf(type: SetType): number {
  const parts: readonly SetPart[] = SET_TYPES[type];
  return parts.reduce((fields, part, index) => {
    if (part === "set") return fields;
    const again = (part === "ip" || part === "net") && index > 0;
    return fields | (again ? layout.SET_FIELD_B : FIELD[part]);
  }, 0);
}

function flagsOf(set: EntrySet, changes: boolean): number {
  const { type, counters } = set;
  return (
    (changes ? layout.SET_CHANGES : 0) |
    (!changes && isPlain(set) ? layout.SET_PLAIN : 0) |
    (set.timeoutSeconds === undefined ? 0 : layout.SET_TIMEOUT) |
    (set.skbinfo === true ? layout.SET_SKBINFO : 0) |
    (mayForce(set) ? layout.SET_FORCEADD : 0) |
    (counters === true ? layout.SET_COUNTERS : 0) |
    (type === "list:set" ? layout.SET_LIST : 0) |
    (type.startsWith("bitmap:") ? layout.SET_BITMAP : 0) |
    (type === "bitmap:port" ? layout.SET_ONLY_TCP_UDP : 0) |
    (type.includes("net") ? layout.SET_NETS : 0) |
    (type === "hash:ip" ? layout.SET_NO_ZERO : 0)
  );
}

/** > ipset 7.17 does not print forceadd: of a set that a kernel has printed it is not known. */
function mayForce({ forceadd, seed }: EntrySet): boolean {
  return forceadd === true || seed !== undefined;
}

const PLAIN: ReadonlySet<SetType> = new Set([
  "hash:ip",
  "hash:net",
  "hash:ip,port",
  "hash:net,port",
]);

/** Nothing is asked of an entry but whether it is there. */
function isPlain(set: EntrySet): boolean {
  const { type, family, counters, timeoutSeconds, skbinfo, bitmask, netmaskBits, entries } = set;
  if (family !== 4 || !PLAIN.has(type)) return false;
  if (counters === true || skbinfo === true || timeoutSeconds !== undefined) return false;
  if (bitmask !== undefined || netmaskBits !== undefined) return false;
  return entries.every(({ nomatch }) => nomatch !== true);
}

function packSet(
  exports: MatcherExports,
  set: EntrySet,
  { numbers, interfaces, changes }: SetSurroundings,
): number {
  const room = changes ? Math.max(set.entries.length, roomOf(set)) : set.entries.length;
  const flags = flagsOf(set, changes);
  const table = exports.makeIpSet(fieldsOf(set.type), set.family ?? 0, room, flags);
  writeHead(exports, table, set, changes);
  if (set.type === "list:set") {
    packMembers(exports, table, set, numbers);
    return table;
  }
  for (const entry of set.entries) {
    const number = entry.interface === undefined ? 0 : interfaces.add(entry.interface);
    writeEntry(exports, entry, { set, number });
    exports.insertEntry(table);
  }
  return table;
}

/** > IPSET_DEFAULT_MAXELEM */
const MOST_ENTRIES = 65536;

/** How many entries a set may get. */
function roomOf({ type, mostEntries = MOST_ENTRIES, range }: EntrySet): number {
  if (type === "list:set") return 0;
  const most = range === undefined ? mostEntries : range.last - range.first + 1;
  return Math.min(most, 1 << 20);
}

function writeHead(exports: MatcherExports, table: number, set: EntrySet, changes: boolean): void {
  const view = new DataView(exports.memory.buffer);
  const limited = changes && set.type.startsWith("hash:");
  const limit = limited ? (set.mostEntries ?? MOST_ENTRIES) : 0;
  view.setUint32(table + layout.IPSET_LIMIT, limit, true);
  view.setUint32(table + layout.IPSET_TIMEOUT, set.timeoutSeconds ?? 0, true);
  view.setUint32(table + layout.IPSET_HASH_SIZE, limited ? roomyBuckets(set) : 0, true);
  view.setUint32(table + layout.IPSET_INCOMPLETE, incompleteness(set), true);
  view.setUint32(table + layout.IPSET_MARK_MASK, set.markMask ?? 0xffffffff, true);
  view.setUint32(table + layout.IPSET_LOW, set.range?.first ?? 0, true);
  view.setUint32(table + layout.IPSET_HIGH, set.range?.last ?? 0xffffffff, true);
  const mask =
    set.bitmask?.words ?? (set.netmaskBits === undefined ? undefined : prefixMask(set.netmaskBits));
  mask?.forEach((word, index) => {
    view.setUint32(table + layout.IPSET_MASK + 4 * index, word, true);
  });
}

/**
 * The buckets, or as many of twelve entries each as are as unlikely to lack room: the chance that a bucket
 * is full is below one in a hundred thousand, of Poisson's distribution.
 */
function roomyBuckets({ hashSize = 1024, bucketSize = BUCKET_SIZE }: EntrySet): number {
  const load = (size: number): number => {
    let factorial = 1;
    for (let factor = 2; factor <= size; factor++) factorial *= factor;
    return (factorial * 1e-5) ** (1 / size);
  };
  return Math.max(1, Math.floor((hashSize * load(bucketSize)) / load(BUCKET_SIZE)));
}

function incompleteness({ origin }: IpSet): number {
  if (origin?.unknown === true) return layout.INCOMPLETE_ANY;
  return origin?.incomplete === true ? layout.INCOMPLETE_MISSING : 0;
}

/** Fills the probe, which is empty but for what is written: most entries are an address, and a port. */
function writeEntry(
  exports: MatcherExports,
  entry: SetEntry,
  context: { readonly set: EntrySet; readonly number: number },
): void {
  const { set, number } = context;
  const at = exports.setProbe();
  const view = new DataView(exports.memory.buffer);
  const { first, second, port = 0, protocol = 0 } = entry;
  if (first !== undefined)
    writePrefix(view, first, at + layout.SET_ENTRY_A, at + layout.SET_ENTRY_BITS_A);
  if (second !== undefined)
    writePrefix(view, second, at + layout.SET_ENTRY_B, at + layout.SET_ENTRY_BITS_B);
  view.setUint16(at + layout.SET_ENTRY_PORT, port, true);
  view.setUint8(at + layout.SET_ENTRY_PROTOCOL, protocol);
  const flags =
    (entry.nomatch === true ? layout.SET_ENTRY_NOMATCH : 0) |
    (entry.wildcard === true ? layout.SET_ENTRY_WILDCARD : 0);
  view.setUint8(at + layout.SET_ENTRY_FLAGS, flags);
  const word = wordOf(entry, number);
  if (word !== undefined) view.setBigUint64(at + layout.SET_ENTRY_WORD, word, true);
  const { packets, bytes, setsMark } = entry;
  if (packets !== undefined) {
    view.setBigUint64(at + layout.SET_ENTRY_PACKETS, BigInt(packets), true);
  }
  if (bytes !== undefined) view.setBigUint64(at + layout.SET_ENTRY_BYTES, BigInt(bytes), true);
  if (setsMark !== undefined) {
    view.setUint32(at + layout.SET_ENTRY_MARK, setsMark.value, true);
    view.setUint32(at + layout.SET_ENTRY_MARK_MASK, setsMark.mask, true);
  }
  writeTimeout(view, at, set, entry);
}

function writePrefix(
  view: DataView,
  { address, bits }: Prefix,
  words: number,
  length: number,
): void {
  const [a, b, c, d] = address.words;
  view.setUint32(words, a, true);
  view.setUint32(words + 4, b, true);
  view.setUint32(words + 8, c, true);
  view.setUint32(words + 12, d, true);
  view.setUint8(length, bits);
}

const SECOND = 1_000_000_000n;

/** > A timeout is printed in whole seconds that are left, and as 1 in the last of them. */
function writeTimeout(view: DataView, at: number, set: EntrySet, entry: SetEntry): void {
  const told = entry.timeoutSeconds ?? set.timeoutSeconds;
  if (told === undefined) return;
  const seconds = BigInt(told);
  const awaitsMac = set.type === "bitmap:ip,mac" && entry.mac === undefined;
  const least = seconds === 1n && !awaitsMac ? 1n : seconds * SECOND;
  view.setBigUint64(at + layout.SET_ENTRY_DEADLINE, least, true);
  const gone = seconds === 0n ? 0n : (seconds + 1n) * SECOND;
  view.setBigUint64(at + layout.SET_ENTRY_GONE_AT, gone, true);
}

/** Mark, Ethernet address as it lies in a frame, or the interface's number. Undefined: none of them. */
function wordOf({ mark, mac, interface: name }: SetEntry, number: number): bigint | undefined {
  if (mac !== undefined) {
    return mac.reduce((word, byte, index) => word | (BigInt(byte) << BigInt(8 * index)), 0n);
  }
  if (name !== undefined) return BigInt(number);
  return mark === undefined ? undefined : BigInt(mark >>> 0);
}

function packMembers(
  exports: MatcherExports,
  table: number,
  set: EntrySet,
  numbers: ReadonlyMap<string, number>,
): void {
  const members = set.entries.map((entry) => {
    const number = numbers.get(entry.member ?? "");
    if (number === undefined) throw new Error(`bug: no set ${entry.member ?? ""}`);
    writeEntry(exports, entry, { set, number: 0 });
    return { number, entry: exports.insertEntry(table) };
  });
  const list = exports.allocate(layout.LIST_MEMBER_SIZE * Math.max(1, members.length));
  const view = new DataView(exports.memory.buffer);
  members.forEach(({ number, entry }, index) => {
    view.setUint32(list + layout.LIST_MEMBER_SIZE * index, number, true);
    view.setUint32(list + layout.LIST_MEMBER_SIZE * index + 4, entry, true);
  });
  view.setUint32(table + layout.IPSET_MEMBERS, list, true);
  view.setUint32(table + layout.IPSET_MEMBER_COUNT, members.length, true);
}
