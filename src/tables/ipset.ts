/** Sets as the text of `ipset save`, which `ipset restore` takes. */
import { hex } from "../match/mark.ts";
import { formatAddress, formatPrefix, prefixOf, addressBits } from "../net/address.ts";
import type { Address, Prefix } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import type { EntrySet, IpSet, PortMember, Ruleset, SetEntry } from "./model.ts";
import { SET_TYPES } from "./set-types.ts";
import type { SetPart } from "./set-types.ts";

/** The first size of the hash; the kernel grows it. */
const HASH_SIZE = 1024;
/** Felix's MaxIPSetSize. */
const MOST_MEMBERS = 1048576;

/** Renders the sets of all families, in their order; the empty text when there are none. */
export function renderIpsets(rulesets: readonly Ruleset[]): string {
  return rulesets
    .flatMap((ruleset) => ruleset.sets)
    .map(renderIpset)
    .join("");
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

/** A set of any type, with the options that say who is a member. */
function renderEntrySet(set: EntrySet): string {
  const { name, type, family, entries, range } = set;
  const options = [
    ...(range === undefined ? [] : ["range", renderRange(type, range)]),
    ...(family === undefined || type.startsWith("bitmap:")
      ? []
      : ["family", family === 4 ? "inet" : "inet6"]),
    ...(set.hashSize === undefined ? [] : ["hashsize", `${set.hashSize}`]),
    ...(set.mostEntries === undefined ? [] : ["maxelem", `${set.mostEntries}`]),
    ...(set.netmaskBits === undefined ? [] : ["netmask", `${set.netmaskBits}`]),
    ...(set.bitmask === undefined ? [] : ["bitmask", formatAddress(set.bitmask)]),
    ...(set.markMask === undefined
      ? []
      : ["markmask", `0x${set.markMask.toString(16).padStart(8, "0")}`]),
    ...(set.timeoutSeconds === undefined ? [] : ["timeout", `${set.timeoutSeconds}`]),
    ...(["counters", "comment", "skbinfo", "forceadd"] as const).filter((flag) => set[flag]),
  ];
  return [
    ["create", name, type, ...options].join(" "),
    ...entries.map((entry) => `add ${name} ${renderEntry(entry, set)}`),
    "",
  ].join("\n");
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
  const extras = [
    ...(entry.wildcard === true ? ["wildcard"] : []),
    ...(entry.nomatch === true ? ["nomatch"] : []),
    ...(entry.timeoutSeconds === undefined ? [] : ["timeout", `${entry.timeoutSeconds}`]),
    ...(entry.packets === undefined ? [] : ["packets", `${entry.packets}`]),
    ...(entry.bytes === undefined ? [] : ["bytes", `${entry.bytes}`]),
    ...(entry.setsMark === undefined
      ? []
      : ["skbmark", `${hex(entry.setsMark.value)}/${hex(entry.setsMark.mask)}`]),
  ];
  return [texts.join(","), ...extras].join(" ");
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
      const icmp = protocol === 1 || protocol === 58;
      const number = icmp ? `${port >> 8}/${port & 0xff}` : `${port}`;
      return `${protocolName(protocol)}:${number}`;
    }
    case "mark":
      return `0x${(entry.mark ?? 0).toString(16).padStart(8, "0")}`;
    case "mac":
      return entry.mac?.map((byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(":");
    case "iface":
      return entry.interface;
    case "set":
      return entry.member;
  }
}
