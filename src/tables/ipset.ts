/** Sets as the text of `ipset save`, which `ipset restore` takes. */
import { hex } from "../match/mark.ts";
import { formatAddress, formatPrefix, prefixOf, addressBits } from "../net/address.ts";
import type { Address, Prefix } from "../net/address.ts";
import { icmpName } from "../net/icmp-names.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, protocolName } from "../net/protocol.ts";
import type { EntrySet, IpSet, PortMember, Ruleset, SetEntry } from "./model.ts";
import { SET_TYPES } from "./set-types.ts";
import type { SetPart } from "./set-types.ts";

/** The first size of the hash; the kernel grows it. */
const HASH_SIZE = 1024;
/** Entries in one of its buckets. > AHASH_MAX_SIZE */
export const BUCKET_SIZE = 12;
/** Felix's MaxIPSetSize. */
const MOST_MEMBERS = 1048576;

/** Renders the sets of all families, in their order; the empty text when there are none. */
export function renderIpsets(rulesets: readonly Pick<Ruleset, "sets">[]): string {
  const sets = rulesets.flatMap((ruleset) => ruleset.sets);
  const isList = (set: IpSet): boolean => set.kind === "entries" && set.type === "list:set";
  // > Lists come last: their members must be there.
  return [...sets.filter((set) => !isList(set)), ...sets.filter(isList)].map(renderIpset).join("");
}

function renderIpset(set: IpSet): string {
  if (set.kind === "entries") return renderEntrySet(set);
  const members = [...new Set(memberTexts(set))];
  const family = set.family === 4 ? "inet" : "inet6";
  const most = Math.max(MOST_MEMBERS, members.length);
  return [
    `create ${set.name} ${set.kind} family ${family} hashsize ${HASH_SIZE} maxelem ${most}`,
    ...members.map((member) => `add ${set.name} ${member}`),
    "",
  ].join("\n");
}

function memberTexts(set: Exclude<IpSet, EntrySet>): string[] {
  switch (set.kind) {
    case "hash:net":
      return set.members.flatMap(halves).map(formatNet);
    case "hash:ip,port":
      return set.members.map(formatPortMember);
  }
}

/** hash:net cannot hold a prefix of no bits (ip_set_hash_net): Felix stores its halves. */
function halves(prefix: Prefix): Prefix[] {
  if (prefix.bits > 0) return [prefix];
  const { family } = prefix.address;
  const upper: Address = { family, words: [0x80000000, 0, 0, 0] };
  return [prefixOf(prefix.address, 1), prefixOf(upper, 1)];
}

/** One address is printed without its length. */
function formatNet(prefix: Prefix): string {
  return prefix.bits === addressBits(prefix.address.family)
    ? formatAddress(prefix.address)
    : formatPrefix(prefix);
}

function formatPortMember(member: PortMember): string {
  return `${formatAddress(member.address)},${protocolName(member.protocol)}:${member.port}`;
}

/** A set of any type; of what a kernel says of its table, what is known. */
function renderEntrySet(set: EntrySet): string {
  const { type, family, entries, range, bitmask, markMask } = set;
  const name = quotedName(set.name);
  const masks = [
    ...option("netmask", set.netmaskBits),
    ...option("bitmask", bitmask && formatAddress(bitmask)),
  ];
  // > Of the types that came to have masks later they are printed at the end.
  const masksLast = type === "hash:ip,port" || type === "hash:net,net";
  const options = [
    ...option("range", range && renderRange(type, range)),
    ...option("family", type.startsWith("bitmap:") ? undefined : family && FAMILIES[family]),
    ...option("markmask", markMask === undefined ? undefined : hexWord(markMask)),
    ...option("hashsize", set.hashSize),
    ...option("maxelem", set.mostEntries),
    ...(masksLast ? [] : masks),
    ...option("size", set.size),
    ...option("timeout", set.timeoutSeconds),
    ...(["counters", "comment", "forceadd", "skbinfo"] as const).filter((flag) => set[flag]),
    ...option("bucketsize", renderBucket(set)),
    ...option("initval", set.seed === undefined ? undefined : hexWord(set.seed)),
    ...(masksLast ? masks : []),
  ];
  const texts = entries.map((entry) => renderEntry(entry, set));
  return [
    ["create", name, type, ...options].join(" "),
    ...texts.map((entry) => `add ${name} ${entry}`),
    "",
  ].join("\n");
}

const FAMILIES = { 4: "inet", 6: "inet6" } as const;

function option(name: string, value: number | string | undefined): string[] {
  return value === undefined ? [] : [name, `${value}`];
}

function quotedName(name: string): string {
  return name.includes(" ") ? `"${name}"` : name;
}

/** What every set has is left out, unless a kernel printed it. */
function renderBucket({ bucketSize, seed }: EntrySet): number | undefined {
  return seed === undefined && bucketSize === BUCKET_SIZE ? undefined : bucketSize;
}

/** Eight hexadecimal digits. */
function hexWord(word: number): string {
  return `0x${word.toString(16).padStart(8, "0")}`;
}

function renderRange(
  type: EntrySet["type"],
  { first, last }: { first: number; last: number },
): string {
  if (type === "bitmap:port") return `${first}-${last}`;
  return [first, last]
    .map((word) => formatAddress({ family: 4, words: [word, 0, 0, 0] }))
    .join("-");
}

function renderEntry(entry: SetEntry, set: EntrySet): string {
  const parts: readonly SetPart[] = SET_TYPES[set.type];
  const texts = parts.flatMap((part, index) => renderPart(part, entry, index > 0) ?? []);
  const { comment } = entry;
  const extras = [
    ...option("timeout", entry.timeoutSeconds),
    ...(entry.wildcard === true ? ["wildcard"] : []),
    ...(entry.nomatch === true ? ["nomatch"] : []),
    ...option("packets", entry.packets),
    ...option("bytes", entry.bytes),
    ...option("comment", comment === undefined ? undefined : `"${comment}"`),
    ...option("skbmark", renderMark(entry)),
    ...option("skbprio", renderClass(entry)),
    ...option("skbqueue", entry.setsQueue === 0 ? undefined : entry.setsQueue),
  ];
  return [texts.join(","), ...extras].join(" ");
}

/** > No bits are no mark. */
function renderMark({ setsMark }: SetEntry): string | undefined {
  if (setsMark === undefined || (setsMark.value === 0 && setsMark.mask === 0)) return undefined;
  const { value, mask } = setsMark;
  return mask === 0xffffffff ? hex(value) : `${hex(value)}/${hex(mask)}`;
}

function renderClass({ setsPriority: priority = 0 }: SetEntry): string | undefined {
  if (priority === 0) return undefined;
  return [Math.floor(priority / 0x10000), priority % 0x10000]
    .map((each) => each.toString(16))
    .join(":");
}

function renderPart(part: SetPart, entry: SetEntry, later: boolean): string | undefined {
  switch (part) {
    case "ip":
    case "net": {
      const prefix = later ? entry.second : entry.first;
      return prefix === undefined ? undefined : formatNet(prefix);
    }
    case "port": {
      const { protocol, port = 0 } = entry;
      if (protocol === undefined) return `${port}`;
      const icmp = protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6;
      const number = icmp ? (icmpName(port, protocol) ?? `${port >> 8}/${port & 0xff}`) : `${port}`;
      return `${protocolName(protocol)}:${number}`;
    }
    case "mark":
      return hexWord(entry.mark ?? 0);
    case "mac":
      return entry.mac?.map((byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(":");
    case "iface":
      return entry.interface;
    case "set":
      return entry.member;
  }
}
