/**
 * The text of `ipset save`, and of files written by hand for `ipset restore`. Ranges are spread over
 * their addresses, or over the fewest prefixes; every entry is as the kernel holds it.
 */
import type { Diagnostic, OnDiagnostic } from "../errors.ts";
import { addressBits, formatAddress, parseAddress, prefixMask, prefixOf } from "../net/address.ts";
import type { Address, Family, Prefix, Words } from "../net/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, protocolNumber } from "../net/protocol.ts";
import { servicePort } from "../net/service.ts";
import { parseMac } from "../match/mac.ts";
import type { EntrySet, SetEntry } from "../tables/model.ts";
import { SET_TYPES, isSetType } from "../tables/set-types.ts";
import type { SetPart, SetType } from "../tables/set-types.ts";
import { splitWords } from "./words.ts";
import type { Word } from "./words.ts";

/** A fault in a line, at its column. */
class SetFault extends Error {
  readonly column: number;

  constructor(message: string, column: number) {
    super(message);
    this.column = column;
  }
}

interface OpenSet extends Omit<EntrySet, "entries"> {
  entries: SetEntry[];
}

/** Most entries that one line may stand for. */
const SPREAD_MAX = 1 << 20;

/** Options of `create` with a word behind them that say nothing about who is a member. */
const CREATE_IGNORED: ReadonlySet<string> = new Set([
  "bucketsize",
  "initval",
  "size",
  "probes",
  "resize",
]);

/** Parses the file's sets; a line that cannot be read is an error. */
export function parseIpsets(text: string, file: string, onDiagnostic: OnDiagnostic): EntrySet[] {
  const sets = new Map<string, OpenSet>();
  let line = 0;
  const report = (severity: Diagnostic["severity"], message: string, column: number): void => {
    onDiagnostic({ severity, code: "BAD_SET", message, place: { file, line, column } });
  };
  for (const raw of lines(text)) {
    line += 1;
    if (raw === "" || raw.startsWith("#")) continue;
    try {
      parseLine(raw, sets);
    } catch (error) {
      if (!(error instanceof SetFault)) throw error;
      report("error", error.message, error.column);
    }
  }
  for (const set of sets.values()) {
    for (const { member } of set.entries) {
      if (member !== undefined && !sets.has(member)) {
        report("error", `set ${set.name} has member ${member}, which is not in the file`, 1);
      }
    }
  }
  return [...sets.values()];
}

/** Lines without building an array of a million strings. */
function* lines(text: string): Generator<string> {
  let start = 0;
  while (start < text.length) {
    const end = text.indexOf("\n", start);
    const stop = end < 0 ? text.length : end;
    yield text.slice(start, stop).trimEnd();
    start = stop + 1;
  }
}

function parseLine(raw: string, sets: Map<string, OpenSet>): void {
  const words = splitWords(raw);
  if (words === undefined) throw new SetFault("a quote is not closed", 1);
  const given = words.filter(({ text }) => text !== "-exist" && text !== "-!");
  const [command, ...rest] = given;
  switch (command?.text) {
    case undefined:
    case "COMMIT":
      return;
    case "create":
    case "-N":
    case "n":
      createSet(rest, sets);
      return;
    case "add":
    case "-A":
      addEntries(rest, sets, raw.length);
      return;
    case "del":
    case "-D": {
      const { set, entries } = readEntries(rest, sets, raw.length);
      const gone = new Set(entries.map(entryKey));
      set.entries = set.entries.filter((entry) => !gone.has(entryKey(entry)));
      return;
    }
    case "flush":
    case "-F":
      for (const set of rest[0] === undefined ? sets.values() : [setNamed(rest[0], sets)]) {
        set.entries = [];
      }
      return;
    default:
      throw new SetFault(
        `"${command?.text ?? ""}" is no line of ipset save; expected create or add`,
        command?.column ?? 1,
      );
  }
}

function createSet(words: readonly Word[], sets: Map<string, OpenSet>): void {
  const [name, type, ...options] = words;
  if (name === undefined || type === undefined) throw new SetFault("expected create NAME TYPE", 1);
  if (!isSetType(type.text)) throw new SetFault(`there is no set type ${type.text}`, type.column);
  if (sets.has(name.text)) throw new SetFault(`set ${name.text} is there already`, name.column);
  const chosen = type.text;
  let family: Family | undefined = withFamily(chosen) ? 4 : undefined;
  const settings: { -readonly [K in keyof EntrySet]?: EntrySet[K] } = {};
  for (let at = 0; at < options.length; at += 1) {
    const option = options[at];
    if (option === undefined) break;
    const value = (): Word => {
      at += 1;
      const word = options[at];
      if (word === undefined)
        throw new SetFault(`${option.text}: a value is missing`, option.column);
      return word;
    };
    switch (option.text) {
      case "family": {
        const word = value();
        if (word.text !== "inet" && word.text !== "inet6") {
          throw new SetFault(`family ${word.text}: expected inet or inet6`, word.column);
        }
        family = word.text === "inet" ? 4 : 6;
        break;
      }
      case "timeout":
        settings.timeoutSeconds = wholeNumber(value(), 0xffffffff);
        break;
      case "maxelem":
        settings.mostEntries = wholeNumber(value(), 0xffffffff);
        break;
      case "hashsize":
        settings.hashSize = wholeNumber(value(), 0xffffffff);
        break;
      case "netmask":
        settings.netmaskBits = wholeNumber(value(), 128);
        break;
      case "bitmask":
        settings.bitmask = bitmaskOf(value());
        break;
      case "markmask":
        settings.markMask = wholeNumber(value(), 0xffffffff);
        break;
      case "range":
        settings.range = rangeOf(value(), chosen);
        break;
      case "counters":
      case "comment":
      case "skbinfo":
      case "forceadd":
        settings[option.text] = true;
        break;
      default:
        if (!CREATE_IGNORED.has(option.text)) {
          throw new SetFault(`create: unknown option "${option.text}"`, option.column);
        }
        value();
    }
  }
  if (chosen.startsWith("bitmap:") && settings.range === undefined) {
    throw new SetFault(`${chosen} needs a range`, type.column);
  }
  if (chosen.startsWith("bitmap:ip")) family = 4;
  sets.set(name.text, {
    kind: "entries",
    name: name.text,
    type: chosen,
    family,
    ...settings,
    entries: [],
  });
}

function withFamily(type: SetType): boolean {
  return type.startsWith("hash:") && type !== "hash:mac";
}

function setNamed(word: Word | undefined, sets: Map<string, OpenSet>): OpenSet {
  const set = sets.get(word?.text ?? "");
  if (set === undefined) {
    throw new SetFault(
      `there is no set ${word?.text ?? ""}: create stands before add`,
      word?.column ?? 1,
    );
  }
  return set;
}

function addEntries(words: readonly Word[], sets: Map<string, OpenSet>, length: number): void {
  const { set, entries } = readEntries(words, sets, length);
  for (const entry of entries) set.entries.push(entry);
}

function entryKey(entry: SetEntry): string {
  return [entry.first, entry.second]
    .map((prefix) =>
      prefix === undefined ? "" : `${formatAddress(prefix.address)}/${prefix.bits}`,
    )
    .concat(
      [
        entry.port,
        entry.protocol,
        entry.mark,
        entry.mac?.join(":"),
        entry.interface,
        entry.member,
      ].map(String),
    )
    .join(" ");
}

function readEntries(
  words: readonly Word[],
  sets: Map<string, OpenSet>,
  length: number,
): { set: OpenSet; entries: SetEntry[] } {
  const [name, member, ...options] = words;
  const set = setNamed(name, sets);
  if (member === undefined) throw new SetFault("an entry is missing", length + 1);
  const extras = readExtras(options);
  const parts = SET_TYPES[set.type];
  const texts = parts[0] === "set" ? [member.text] : member.text.split(",");
  if (texts.length !== parts.length && !(set.type === "bitmap:ip,mac" && texts.length === 1)) {
    throw new SetFault(
      `${member.text}: an entry of ${set.type} has ${parts.length} parts`,
      member.column,
    );
  }
  let entries: SetEntry[] = [extras];
  texts.forEach((text, index) => {
    const part = parts[index];
    if (part === undefined) return;
    const word = { ...member, text };
    const second = index === 2 || (index === 1 && part === "net");
    const choices = readPart(part, word, set, second);
    if (entries.length * choices.length > SPREAD_MAX) {
      throw new SetFault(`${member.text} stands for too many entries`, member.column);
    }
    entries = entries.flatMap((entry) => choices.map((choice) => ({ ...entry, ...choice })));
  });
  return { set, entries };
}

function readExtras(options: readonly Word[]): SetEntry {
  const extras: { -readonly [K in keyof SetEntry]?: SetEntry[K] } = {};
  for (let at = 0; at < options.length; at += 1) {
    const option = options[at];
    const value = options[at + 1];
    switch (option?.text) {
      case "nomatch":
      case "wildcard":
        extras[option.text] = true;
        break;
      case "skbmark":
        if (value === undefined) throw new SetFault("skbmark: a value is missing", option.column);
        extras.setsMark = valueMask(value);
        at += 1;
        break;
      case "timeout":
        if (value === undefined) throw new SetFault("timeout: a value is missing", option.column);
        extras.timeoutSeconds = wholeNumber(value, 0xffffffff);
        at += 1;
        break;
      case "packets":
      case "bytes":
        if (value === undefined)
          throw new SetFault(`${option.text}: a value is missing`, option.column);
        extras[option.text] = wholeNumber(value, Number.MAX_SAFE_INTEGER);
        at += 1;
        break;
      case "comment":
      case "skbprio":
      case "skbqueue":
      case "before":
      case "after":
        if (value === undefined)
          throw new SetFault(`${option.text}: a value is missing`, option.column);
        at += 1;
        break;
      default:
        throw new SetFault(`add: unknown option "${option?.text ?? ""}"`, option?.column ?? 1);
    }
  }
  return extras;
}

function readPart(part: SetPart, word: Word, set: OpenSet, second: boolean): SetEntry[] {
  switch (part) {
    case "ip":
    case "net":
      return readAddresses(part, word, set).map((prefix) =>
        second ? { second: prefix } : { first: prefix },
      );
    case "port":
      return readPorts(word, set);
    case "mark":
      return [{ mark: (wholeNumber(word, 0xffffffff) & (set.markMask ?? 0xffffffff)) >>> 0 }];
    case "mac": {
      const mac = parseMac(word.text);
      if (mac === undefined)
        throw new SetFault(`${word.text}: expected an Ethernet address`, word.column);
      return [{ mac }];
    }
    case "iface":
      if (word.text.startsWith("physdev:")) {
        throw new SetFault(`${word.text}: bridge ports are not modelled`, word.column);
      }
      return [{ interface: word.text }];
    case "set":
      return [{ member: word.text }];
  }
}

/** One prefix, the prefixes of a range, or each address of either where the set holds addresses. */
function readAddresses(part: "ip" | "net", word: Word, set: OpenSet): Prefix[] {
  const family = set.family ?? 4;
  const whole = addressBits(family);
  const dash = family === 4 ? word.text.indexOf("-") : -1;
  const prefixes =
    dash < 0
      ? [prefixOfText(word, family)]
      : prefixesOf(
          addressOf({ ...word, text: word.text.slice(0, dash) }).words[0],
          addressOf({ ...word, text: word.text.slice(dash + 1) }).words[0],
        );
  if (part === "net") {
    if (prefixes.some(({ bits }) => bits === 0) && set.type !== "hash:net,iface") {
      throw new SetFault(`${word.text}: a set cannot hold a prefix of no bits`, word.column);
    }
    return prefixes;
  }
  const spread = prefixes.flatMap((prefix) => addressesIn(prefix, word));
  const mask = maskOf(set, whole);
  const masked = mask === undefined ? spread : spread.map((address) => masked4(address, mask));
  const seen = new Map(masked.map((address) => [formatAddress(address), address]));
  const { range } = set;
  if (range !== undefined) {
    for (const { words } of seen.values()) {
      if (words[0] < range.first || words[0] > range.last) {
        throw new SetFault(`${word.text} lies outside of the set's range`, word.column);
      }
    }
  }
  return [...seen.values()].map((address) => ({ address, bits: whole }));
}

/** The mask under which a set holds addresses; undefined for all bits. */
function maskOf(set: OpenSet, whole: number): Words | undefined {
  if (set.bitmask !== undefined) return set.bitmask.words;
  return set.netmaskBits === undefined || set.netmaskBits === whole
    ? undefined
    : prefixMask(set.netmaskBits);
}

function masked4({ family, words }: Address, mask: Words): Address {
  const [a, b, c, d] = words;
  return {
    family,
    words: [(a & mask[0]) >>> 0, (b & mask[1]) >>> 0, (c & mask[2]) >>> 0, (d & mask[3]) >>> 0],
  };
}

function prefixOfText(word: Word, family: Family): Prefix {
  const slash = word.text.indexOf("/");
  const address = parseAddress(slash < 0 ? word.text : word.text.slice(0, slash));
  if (address?.family !== family) {
    throw new SetFault(`${word.text}: expected an IPv${family} address or prefix`, word.column);
  }
  const whole = addressBits(family);
  const bits = slash < 0 ? whole : Number(word.text.slice(slash + 1));
  if (!(bits >= 0 && bits <= whole))
    throw new SetFault(`${word.text}: no such prefix length`, word.column);
  return prefixOf(address, bits);
}

/** The fewest prefixes that make up a range of IPv4 addresses. */
function prefixesOf(first: number, last: number): Prefix[] {
  const prefixes: Prefix[] = [];
  for (let at = first; at <= last;) {
    let size = 1;
    while (at % (size * 2) === 0 && at + size * 2 - 1 <= last && size < 2 ** 31) size *= 2;
    prefixes.push({ address: { family: 4, words: [at, 0, 0, 0] }, bits: 32 - Math.log2(size) });
    at += size;
  }
  return prefixes;
}

function addressesIn({ address, bits }: Prefix, word: Word): Address[] {
  if (bits === addressBits(address.family)) return [address];
  if (address.family === 6 || bits < 12) {
    throw new SetFault(`${word.text} stands for too many addresses`, word.column);
  }
  return Array.from({ length: 2 ** (32 - bits) }, (_, index) => ({
    family: 4 as const,
    words: [address.words[0] + index, 0, 0, 0] as const,
  }));
}

/** `80`, `80-90`, `tcp:80`, `udp:dns`, `icmp:echo-request`, `icmp:8/0`, `253:0`. */
function readPorts(word: Word, set: OpenSet): SetEntry[] {
  const colon = word.text.indexOf(":");
  const bitmap = set.type === "bitmap:port";
  const protocolText = colon < 0 ? undefined : word.text.slice(0, colon);
  const protocol =
    protocolText === undefined
      ? PROTOCOL_TCP
      : (PROTOCOL_ALIASES.get(protocolText) ?? protocolNumber(protocolText));
  if (protocol === undefined)
    throw new SetFault(`${word.text}: there is no such protocol`, word.column);
  const text = word.text.slice(colon + 1);
  const base = bitmap ? {} : { protocol };
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) {
    return [{ ...base, port: icmpNumber(text, protocol, word) }];
  }
  const [low = "", high] = text.split("-");
  const first = portNumber(low, word);
  const last = high === undefined ? first : portNumber(high, word);
  if (last < first) throw new SetFault(`${word.text}: the end is below the start`, word.column);
  if (set.range !== undefined && (first < set.range.first || last > set.range.last)) {
    throw new SetFault(`${word.text} lies outside of the set's range`, word.column);
  }
  return Array.from({ length: last - first + 1 }, (_, index) => ({ ...base, port: first + index }));
}

const PROTOCOL_ALIASES: ReadonlyMap<string, number> = new Map([["icmpv6", PROTOCOL_ICMPV6]]);

function portNumber(text: string, word: Word): number {
  const port = servicePort(text);
  if (port === undefined) throw new SetFault(`${word.text}: expected a port`, word.column);
  return port;
}

/** Type and code as one number; ipset prints names for some. Source: ipset(8), `ipset help hash:ip,port`. */
function icmpNumber(text: string, protocol: number, word: Word): number {
  const names = protocol === PROTOCOL_ICMP ? ICMP_NAMES : ICMPV6_NAMES;
  const named = Object.hasOwn(names, text) ? names[text] : undefined;
  if (named !== undefined) return named;
  const [type = "", code = "0"] = text.split("/");
  const value = Number(type) * 256 + Number(code);
  if (!/^\d+(\/\d+)?$/.test(text) || value > 0xffff) {
    throw new SetFault(`${word.text}: there is no such ICMP type`, word.column);
  }
  return value;
}

const ICMP_NAMES: Readonly<Record<string, number>> = {
  "echo-reply": 0,
  pong: 0,
  "network-unreachable": 0x300,
  "host-unreachable": 0x301,
  "protocol-unreachable": 0x302,
  "port-unreachable": 0x303,
  "fragmentation-needed": 0x304,
  "source-route-failed": 0x305,
  "network-unknown": 0x306,
  "host-unknown": 0x307,
  "network-prohibited": 0x309,
  "host-prohibited": 0x30a,
  "TOS-network-unreachable": 0x30b,
  "TOS-host-unreachable": 0x30c,
  "communication-prohibited": 0x30d,
  "host-precedence-violation": 0x30e,
  "precedence-cutoff": 0x30f,
  "source-quench": 0x400,
  "network-redirect": 0x500,
  "host-redirect": 0x501,
  "TOS-network-redirect": 0x502,
  "TOS-host-redirect": 0x503,
  "echo-request": 0x800,
  ping: 0x800,
  "router-advertisement": 0x900,
  "router-solicitation": 0xa00,
  "ttl-zero-during-transit": 0xb00,
  "ttl-zero-during-reassembly": 0xb01,
  "ip-header-bad": 0xc00,
  "required-option-missing": 0xc01,
  "timestamp-request": 0xd00,
  "timestamp-reply": 0xe00,
  "address-mask-request": 0x1100,
  "address-mask-reply": 0x1200,
};

const ICMPV6_NAMES: Readonly<Record<string, number>> = {
  "no-route": 0x100,
  "communication-prohibited": 0x101,
  "address-unreachable": 0x103,
  "port-unreachable": 0x104,
  "packet-too-big": 0x200,
  "ttl-zero-during-transit": 0x300,
  "ttl-zero-during-reassembly": 0x301,
  "bad-header": 0x400,
  "unknown-header-type": 0x401,
  "unknown-option": 0x402,
  "echo-request": 0x8000,
  ping: 0x8000,
  "echo-reply": 0x8100,
  pong: 0x8100,
  "router-solicitation": 0x8500,
  "router-advertisement": 0x8600,
  "neighbour-solicitation": 0x8700,
  "neigbour-solicitation": 0x8700,
  "neighbour-advertisement": 0x8800,
  "neigbour-advertisement": 0x8800,
  redirect: 0x8900,
};

function wholeNumber(word: Word, max: number): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(word.text) ? Number(word.text) : NaN;
  if (!(value >= 0 && value <= max))
    throw new SetFault(`${word.text}: expected a number`, word.column);
  return value;
}

/** `VALUE` or `VALUE/MASK`. */
function valueMask(word: Word): { value: number; mask: number } {
  const [value = "", mask] = word.text.split("/");
  return {
    value: wholeNumber({ ...word, text: value }, 0xffffffff),
    mask: mask === undefined ? 0xffffffff : wholeNumber({ ...word, text: mask }, 0xffffffff),
  };
}

function addressOf(word: Word): Address {
  const address = parseAddress(word.text);
  if (address === undefined) throw new SetFault(`${word.text}: expected an address`, word.column);
  return address;
}

/** > ipset save prints bits behind the mask that mean nothing. */
function bitmaskOf(word: Word): Address {
  return addressOf({ ...word, text: word.text.replace(/\/\d+$/, "") });
}

/** `A-B`, or a prefix: of ports, or of IPv4 addresses as numbers. */
function rangeOf(word: Word, type: SetType): { first: number; last: number } {
  if (type === "bitmap:port") {
    const [low = "", high] = word.text.split("-");
    const first = portNumber(low, word);
    return { first, last: high === undefined ? first : portNumber(high, word) };
  }
  const dash = word.text.indexOf("-");
  if (dash < 0) {
    const { address, bits } = prefixOfText(word, 4);
    return { first: address.words[0], last: address.words[0] + 2 ** (32 - bits) - 1 };
  }
  return {
    first: addressOf({ ...word, text: word.text.slice(0, dash) }).words[0],
    last: addressOf({ ...word, text: word.text.slice(dash + 1) }).words[0],
  };
}
