/** ipsets to the matcher's memory: one hash table each, as assembly/ipset.ts has them. */
import * as layout from "../../assembly/layout.ts";
import { hostPrefix, prefixMask } from "../net/address.ts";
import type { EntrySet, IpSet, SetEntry } from "../tables/model.ts";
import { SET_TYPES } from "../tables/set-types.ts";
import type { SetPart, SetType } from "../tables/set-types.ts";
import type { MatcherExports } from "./exports.ts";
import type { InterfaceNumbers } from "./topology.ts";

/**
 * Gives every set a number and fills its table.
 *
 * @returns numbers by name
 */
export function packSets(
  exports: MatcherExports,
  sets: readonly IpSet[],
  interfaces: InterfaceNumbers,
): Map<string, number> {
  const numbers = new Map(sets.map((set, index) => [set.name, index]));
  const tables = sets.map((set) => packSet(exports, entrySetOf(set), numbers, interfaces));
  const array = exports.allocate(4 * Math.max(1, sets.length));
  const view = new DataView(exports.memory.buffer);
  tables.forEach((table, index) => view.setUint32(array + 4 * index, table, true));
  exports.setSets(array);
  return numbers;
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

function flagsOf({ type, counters }: EntrySet): number {
  return (
    (counters === true ? layout.SET_COUNTERS : 0) |
    (type === "list:set" ? layout.SET_LIST : 0) |
    (type.startsWith("bitmap:") ? layout.SET_BITMAP : 0) |
    (type === "bitmap:port" ? layout.SET_ONLY_TCP_UDP : 0) |
    (type.includes("net") ? layout.SET_NETS : 0) |
    (type === "hash:ip" ? layout.SET_NO_ZERO : 0)
  );
}

function packSet(
  exports: MatcherExports,
  set: EntrySet,
  numbers: ReadonlyMap<string, number>,
  interfaces: InterfaceNumbers,
): number {
  const table = exports.makeIpSet(fieldsOf(set.type), set.family ?? 0, set.entries.length);
  if (set.type === "list:set") {
    packMembers(exports, table, set.entries, numbers);
    return table;
  }
  writeHead(exports, table, set);
  for (const entry of set.entries) {
    const number = entry.interface === undefined ? 0 : interfaces.add(entry.interface);
    writeEntry(exports, entry, { set, number });
    exports.insertEntry(table);
  }
  return table;
}

function writeHead(exports: MatcherExports, table: number, set: EntrySet): void {
  const view = new DataView(exports.memory.buffer);
  view.setUint32(table + layout.IPSET_FLAGS, flagsOf(set), true);
  view.setUint32(table + layout.IPSET_INCOMPLETE, set.origin?.incomplete === true ? 1 : 0, true);
  view.setUint32(table + layout.IPSET_MARK_MASK, set.markMask ?? 0xffffffff, true);
  view.setUint32(table + layout.IPSET_LOW, set.range?.first ?? 0, true);
  view.setUint32(table + layout.IPSET_HIGH, set.range?.last ?? 0xffffffff, true);
  const mask =
    set.bitmask?.words ?? (set.netmaskBits === undefined ? undefined : prefixMask(set.netmaskBits));
  mask?.forEach((word, index) => {
    view.setUint32(table + layout.IPSET_MASK + 4 * index, word, true);
  });
}

function writeEntry(
  exports: MatcherExports,
  entry: SetEntry,
  context: { readonly set: EntrySet; readonly number: number },
): void {
  const { set, number } = context;
  const at = exports.setProbe();
  const view = new DataView(exports.memory.buffer);
  const { first, second } = entry;
  first?.address.words.forEach((word, index) => {
    view.setUint32(at + layout.SET_ENTRY_A + 4 * index, word, true);
  });
  second?.address.words.forEach((word, index) => {
    view.setUint32(at + layout.SET_ENTRY_B + 4 * index, word, true);
  });
  view.setUint16(at + layout.SET_ENTRY_PORT, entry.port ?? 0, true);
  view.setUint8(at + layout.SET_ENTRY_PROTOCOL, entry.protocol ?? 0);
  view.setUint8(at + layout.SET_ENTRY_BITS_A, first?.bits ?? 0);
  view.setUint8(at + layout.SET_ENTRY_BITS_B, second?.bits ?? 0);
  view.setUint8(at + layout.SET_ENTRY_FLAGS, entry.nomatch === true ? layout.SET_ENTRY_NOMATCH : 0);
  view.setBigUint64(at + layout.SET_ENTRY_WORD, wordOf(entry, number), true);
  view.setBigUint64(at + layout.SET_ENTRY_PACKETS, BigInt(entry.packets ?? 0), true);
  view.setBigUint64(at + layout.SET_ENTRY_BYTES, BigInt(entry.bytes ?? 0), true);
  const seconds = entry.timeoutSeconds ?? set.timeoutSeconds ?? 0;
  view.setBigUint64(at + layout.SET_ENTRY_DEADLINE, BigInt(seconds) * 1_000_000_000n, true);
}

/** Mark, Ethernet address as it lies in a frame, or the interface's number. */
function wordOf({ mark, mac, interface: name }: SetEntry, number: number): bigint {
  if (mac !== undefined) {
    return mac.reduce((word, byte, index) => word | (BigInt(byte) << BigInt(8 * index)), 0n);
  }
  return BigInt(name === undefined ? (mark ?? 0) >>> 0 : number);
}

function packMembers(
  exports: MatcherExports,
  table: number,
  entries: readonly SetEntry[],
  numbers: ReadonlyMap<string, number>,
): void {
  const members = entries.flatMap(({ member }) => numbers.get(member ?? "") ?? []);
  const list = exports.allocate(4 * Math.max(1, members.length));
  const view = new DataView(exports.memory.buffer);
  members.forEach((member, index) => view.setUint32(list + 4 * index, member, true));
  view.setUint32(table + layout.IPSET_FLAGS, layout.SET_LIST, true);
  view.setUint32(table + layout.IPSET_MEMBERS, list, true);
  view.setUint32(table + layout.IPSET_MEMBER_COUNT, members.length, true);
}
