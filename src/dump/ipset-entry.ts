/**
 * The entries of `add` and `del`. Ranges are spread over their addresses, or over the fewest prefixes;
 * every entry is as the kernel holds it.
 */
import { parseMac } from "../match/mac.ts";
import { addressBits, formatAddress, prefixMask } from "../net/address.ts";
import type { Address, Family, Prefix, Words } from "../net/address.ts";
import { icmpNumber } from "../net/icmp-names.ts";
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
  protocolNumber,
} from "../net/protocol.ts";
import type { SetEntry } from "../tables/model.ts";
import { SET_TYPES } from "../tables/set-types.ts";
import type { SetPart, SetType } from "../tables/set-types.ts";
import type { SetSettings } from "./ipset-create.ts";
import {
  addressRange,
  portRange,
  prefixOfText,
  SetFault,
  TIMEOUT_MAX,
  trafficClass,
  valueMask,
  wholeNumber,
} from "./ipset-words.ts";
import type { NumberRange } from "./ipset-words.ts";
import type { Word } from "./words.ts";

/** Most entries that one line may stand for. > IPSET_MAX_RANGE */
const SPREAD_MAX = 1 << 20;
const INTERFACE_NAME_MAX = 15;
const PROTOCOL_MAX = 255;

/** What is said of an entry beside its parts, and where in a list it goes. */
export interface Extras {
  readonly entry: SetEntry;
  readonly place: { readonly side: "before" | "after"; readonly member: Word } | undefined;
}

const NO_EXTRAS: Extras = { entry: {}, place: undefined };

/** Tells entries apart: numbers for single IPv4 addresses and prefixes, which may be millions. */
export function entryKey(entry: SetEntry, type: SetType): number | string {
  const { first } = entry;
  if (first?.address.family === 4 && SET_TYPES[type].length === 1) {
    return first.address.words[0] * 64 + first.bits;
  }
  const { second, port, protocol, mark, mac, interface: name, member } = entry;
  const prefixes = [first, second].map((prefix) =>
    prefix === undefined ? "" : `${formatAddress(prefix.address)}/${prefix.bits}`,
  );
  const address = type === "bitmap:ip,mac" ? undefined : mac?.join(":");
  return [...prefixes, port, protocol, mark, address, name, member].join(" ");
}

/** Reads what an entry may have in a set that was created so. */
export function readExtras(options: readonly Word[], set: SetSettings): Extras {
  if (options.length === 0) return NO_EXTRAS;
  const entry: { -readonly [K in keyof SetEntry]?: SetEntry[K] } = {};
  let place: Extras["place"];
  for (let at = 0; at < options.length; at += 1) {
    const option = options[at];
    if (option === undefined) break;
    const name = option.text.replace(/^--/, "");
    const needed = OPTION_NEEDS[name];
    if (needed === undefined) throw new SetFault(`unknown option "${option.text}"`, option);
    if (!needed.has(set)) {
      throw new SetFault(`${option.text}: set ${set.name} ${needed.without}`, option);
    }
    if (name === "nomatch" || name === "wildcard") {
      entry[name] = true;
      continue;
    }
    const value = options[(at += 1)];
    if (value === undefined || value.text === "") {
      throw new SetFault(`${option.text}: a value is missing`, option);
    }
    if (name === "before" || name === "after") place = { side: name, member: value };
    else VALUE_READERS[name]?.(entry, value);
  }
  return { entry, place };
}

interface OptionNeed {
  readonly has: (set: SetSettings) => boolean;
  /** What is said of a set that has it not. */
  readonly without: string;
}

const needsTimeout: OptionNeed = {
  has: ({ timeoutSeconds }) => timeoutSeconds !== undefined,
  without: "was created without timeout",
};
const needsList: OptionNeed = {
  has: ({ type }) => type === "list:set",
  without: "is no list of sets",
};

function needs(flag: "counters" | "comment" | "skbinfo"): OptionNeed {
  return { has: (set) => set[flag] === true, without: `was created without ${flag}` };
}

const OPTION_NEEDS: Readonly<Record<string, OptionNeed | undefined>> = {
  timeout: needsTimeout,
  packets: needs("counters"),
  bytes: needs("counters"),
  comment: needs("comment"),
  skbmark: needs("skbinfo"),
  skbprio: needs("skbinfo"),
  skbqueue: needs("skbinfo"),
  nomatch: { has: ({ type }) => type.includes("net"), without: "holds no prefixes" },
  wildcard: { has: ({ type }) => type === "hash:net,iface", without: "holds no interfaces" },
  before: needsList,
  after: needsList,
};

type ValueReader = (entry: { -readonly [K in keyof SetEntry]?: SetEntry[K] }, value: Word) => void;

const VALUE_READERS: Readonly<Record<string, ValueReader | undefined>> = {
  timeout: (entry, value) => {
    entry.timeoutSeconds = wholeNumber(value, TIMEOUT_MAX);
  },
  packets: (entry, value) => {
    entry.packets = wholeNumber(value, Number.MAX_SAFE_INTEGER);
  },
  bytes: (entry, value) => {
    entry.bytes = wholeNumber(value, Number.MAX_SAFE_INTEGER);
  },
  comment: (entry, value) => {
    entry.comment = value.text;
  },
  skbmark: (entry, value) => {
    entry.setsMark = valueMask(value);
  },
  skbprio: (entry, value) => {
    entry.setsPriority = trafficClass(value);
  },
  skbqueue: (entry, value) => {
    entry.setsQueue = wholeNumber(value, 0xffff);
  },
};

/** The entries that the text of one stands for, each with its parts only. */
export function readParts(member: Word, set: SetSettings): SetEntry[] {
  const parts: readonly SetPart[] = SET_TYPES[set.type];
  const texts = parts[0] === "set" ? [member.text] : member.text.split(",");
  const mayLack = set.type === "bitmap:ip,mac" && texts.length === 1;
  if (texts.length !== parts.length && !mayLack) {
    throw new SetFault(`${member.text}: an entry of ${set.type} has ${parts.length} parts`, member);
  }
  let entries: SetEntry[] = [{}];
  texts.forEach((text, index) => {
    const part = parts[index];
    if (part === undefined) return;
    const second =
      index > 0 && parts.slice(0, index).some((each) => each === "ip" || each === "net");
    const choices = readPart(part, { ...member, text }, { set, second });
    if (entries.length * choices.length > SPREAD_MAX) {
      throw new SetFault(`${member.text} stands for too many entries`, member);
    }
    entries =
      index === 0
        ? choices
        : entries.flatMap((entry) => choices.map((choice) => ({ ...entry, ...choice })));
  });
  return entries;
}

interface PartPlace {
  readonly set: SetSettings;
  /** It stands behind another address. */
  readonly second: boolean;
}

function readPart(part: SetPart, word: Word, { set, second }: PartPlace): SetEntry[] {
  switch (part) {
    case "ip":
    case "net": {
      const prefixes = part === "net" ? readNets(word, set) : readAddresses(word, { set, second });
      return prefixes.map((prefix) => (second ? { second: prefix } : { first: prefix }));
    }
    case "port":
      return readPorts(word, set);
    case "mark":
      return [{ mark: (wholeNumber(word, 0xffffffff) & (set.markMask ?? 0xffffffff)) >>> 0 }];
    case "mac": {
      const mac = parseMac(word.text);
      if (mac === undefined) throw new SetFault(`${word.text}: expected an Ethernet address`, word);
      return [{ mac }];
    }
    case "iface":
      return [{ interface: readInterface(word) }];
    case "set":
      return [{ member: word.text }];
  }
}

function readInterface(word: Word): string {
  if (word.text.startsWith("physdev:")) {
    throw new SetFault(`${word.text}: bridge ports are not modelled`, word);
  }
  if (word.text === "" || word.text.length > INTERFACE_NAME_MAX) {
    throw new SetFault(`"${word.text}": expected the name of an interface`, word);
  }
  return word.text;
}

/** > Sets whose kernel code says so (IP_SET_HASH_WITH_NET0) can hold the prefix of all addresses. */
const WITH_ALL: ReadonlySet<SetType> = new Set(["hash:net,iface", "hash:net,port,net"]);

function readNets(word: Word, set: SetSettings): Prefix[] {
  const family = set.family ?? 4;
  const range = family === 4 ? addressRange(word) : undefined;
  const prefixes = range === undefined ? [prefixOfText(word, family)] : prefixesOf(range);
  if (prefixes.some(({ bits }) => bits === 0) && !WITH_ALL.has(set.type)) {
    throw new SetFault(`${word.text}: a set cannot hold a prefix of no bits`, word);
  }
  return prefixes;
}

/** The fewest prefixes that make up a range of IPv4 addresses. */
function prefixesOf({ first, last }: NumberRange): Prefix[] {
  const prefixes: Prefix[] = [];
  for (let at = first; at <= last;) {
    let size = 1;
    while (at % (size * 2) === 0 && at + size * 2 - 1 <= last) size *= 2;
    prefixes.push({ address: addressOfNumber(at), bits: 32 - Math.log2(size) });
    at += size;
  }
  return prefixes;
}

function addressOfNumber(number: number): Address {
  return { family: 4, words: [number, 0, 0, 0] };
}

function readAddresses(word: Word, { set, second }: PartPlace): Prefix[] {
  const family = set.family ?? 4;
  const bits = addressBits(family);
  const range = family === 4 ? addressRange(word) : undefined;
  const prefix = range === undefined ? prefixOfText(word, family) : undefined;
  const mask = maskOf(set, family);
  if (prefix?.bits === bits) {
    const address = masked(prefix.address, mask);
    checkAddress(address, prefix.address, { set, word });
    return [{ address, bits }];
  }
  if (second || family === 6 || set.type === "bitmap:ip,mac" || prefix?.bits === 0) {
    throw new SetFault(`${word.text}: expected a single address`, word);
  }
  const { first = 0, last = 0 } = range ?? (prefix === undefined ? {} : rangeOf(prefix));
  return spread({ first, last }, { set, mask, word }).map((address) => ({ address, bits }));
}

function rangeOf({ address, bits }: Prefix): NumberRange {
  return { first: address.words[0], last: address.words[0] + 2 ** (32 - bits) - 1 };
}

/**
 * > A hash begins with the first address as it is masked, a bitmap with the address itself; both go on
 * in steps of what one netmask covers, but hash:ip,port and bitmasks in steps of one, which leaves the
 * following ones unmasked.
 */
function spread(
  { first, last }: NumberRange,
  { set, mask, word }: { readonly set: SetSettings; readonly mask: Words; readonly word: Word },
): Address[] {
  const bitmap = set.type === "bitmap:ip";
  const steps = bitmap || set.type === "hash:ip" ? (set.netmaskBits ?? 32) : 32;
  const step = 2 ** (32 - steps);
  const start = bitmap ? first : (first & mask[0]) >>> 0;
  if ((last - start) / step >= SPREAD_MAX) {
    throw new SetFault(`${word.text} stands for too many addresses`, word);
  }
  const addresses: Address[] = [];
  for (let at = start; at <= last; at += step) {
    const address = addressOfNumber(bitmap ? (at & mask[0]) >>> 0 : at);
    checkAddress(address, addressOfNumber(at), { set, word });
    addresses.push(address);
  }
  if (set.range !== undefined && last > set.range.last) refuseOutside(word);
  return addresses;
}

function maskOf({ bitmask, netmaskBits }: SetSettings, family: Family): Words {
  return bitmask?.words ?? prefixMask(netmaskBits ?? addressBits(family));
}

function masked({ family, words }: Address, mask: Words): Address {
  const [a, b, c, d] = words;
  return {
    family,
    words: [(a & mask[0]) >>> 0, (b & mask[1]) >>> 0, (c & mask[2]) >>> 0, (d & mask[3]) >>> 0],
  };
}

/** Refuses what a set cannot hold: the address as it would be stored, and as it was given. */
function checkAddress(
  stored: Address,
  given: Address,
  { set, word }: { readonly set: SetSettings; readonly word: Word },
): void {
  const { range, type } = set;
  if (range !== undefined && (given.words[0] < range.first || given.words[0] > range.last)) {
    refuseOutside(word);
  }
  if (type === "hash:ip" && stored.words.every((each) => each === 0)) {
    throw new SetFault(`${word.text}: hash:ip cannot hold an address of zeros`, word);
  }
}

function refuseOutside(word: Word): never {
  throw new SetFault(`${word.text} lies outside of the set's range`, word);
}

const WITH_PORTS = [PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP, PROTOCOL_UDPLITE];

/** `80`, `80-90`, `tcp:80`, `udp:domain`, `icmp:echo-request`, `icmp:8/0`, `253:0`. */
function readPorts(word: Word, set: SetSettings): SetEntry[] {
  const colon = word.text.indexOf(":");
  const protocol = colon < 0 ? PROTOCOL_TCP : readProtocol(word.text.slice(0, colon), word);
  const value = { ...word, text: word.text.slice(colon + 1) };
  if (set.type === "bitmap:port") {
    if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) {
      throw new SetFault(`${word.text}: a set of ports has those of TCP and UDP`, word);
    }
    const { first, last } = portRange(value);
    if (set.range !== undefined && (first < set.range.first || last > set.range.last)) {
      refuseOutside(word);
    }
    return numbers(first, last).map((port) => ({ port }));
  }
  if (protocol === (set.family === 6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP)) {
    return [{ protocol, port: readIcmp(value, protocol) }];
  }
  if (WITH_PORTS.includes(protocol)) {
    const { first, last } = portRange(value);
    return numbers(first, last).map((port) => ({ protocol, port }));
  }
  const other = protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6;
  if (other || !/^0+$/.test(value.text)) {
    throw new SetFault(`${word.text}: of such a protocol a set has no ports, but 0`, word);
  }
  return [{ protocol, port: 0 }];
}

function readProtocol(text: string, word: Word): number {
  const protocol = text === "icmpv6" ? PROTOCOL_ICMPV6 : protocolNumber(text);
  if (protocol === undefined || protocol === 0 || protocol > PROTOCOL_MAX) {
    throw new SetFault(`${word.text}: there is no such protocol`, word);
  }
  return protocol;
}

/** Type and code as one number. */
function readIcmp(word: Word, protocol: number): number {
  const named = icmpNumber(word.text, protocol);
  if (named !== undefined) return named;
  const [type, code] = /^(\d+)\/(\d+)$/.exec(word.text)?.slice(1).map(Number) ?? [];
  if (type === undefined || code === undefined || type > 255 || code > 255) {
    throw new SetFault(`${word.text}: there is no such ICMP type with its code`, word);
  }
  return type * 256 + code;
}

function numbers(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
