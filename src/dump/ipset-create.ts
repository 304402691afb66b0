/** The options of `create`, for each type of set those that it has. */
import { addressBits, prefixMask } from "../net/address.ts";
import type { Address, Family } from "../net/address.ts";
import { BUCKET_SIZE } from "../tables/ipset.ts";
import type { EntrySet } from "../tables/model.ts";
import { isSetType, SET_TYPE_ALIASES } from "../tables/set-types.ts";
import type { SetType } from "../tables/set-types.ts";
import {
  addressOf,
  addressRange,
  portRange,
  prefixOfText,
  SetFault,
  TIMEOUT_MAX,
  wholeNumber,
} from "./ipset-words.ts";
import type { NumberRange } from "./ipset-words.ts";
import type { Word } from "./words.ts";

/** What `create` says of a set. */
export type SetSettings = Omit<EntrySet, "entries">;

type Settings = { -readonly [K in keyof SetSettings]: SetSettings[K] };

const NUMBER_MAX = 0xffffffff;
/** > IPSET_MAXNAMELEN, with the zero behind. */
const NAME_MAX = 31;
/** > IPSET_BITMAP_MAX_RANGE */
const BITMAP_MAX = 0x10000;

/** Reads what stands behind `create`. */
export function parseCreate(words: readonly Word[]): SetSettings {
  const [name, typeWord, ...options] = words;
  if (name === undefined || typeWord === undefined) {
    throw new SetFault("expected create NAME TYPE", { column: 1 });
  }
  checkSetName(name);
  const type = SET_TYPE_ALIASES[typeWord.text] ?? typeWord.text;
  if (!isSetType(type)) throw new SetFault(`there is no set type ${typeWord.text}`, typeWord);
  const set: Settings = { kind: "entries", name: name.text, type, family: familyOf(type) };
  const values = readOptions(options, type);
  for (const read of READERS) read(set, values, typeWord);
  return set;
}

/** Refuses names that the kernel does not take. */
export function checkSetName(name: Word): void {
  if (name.text.length <= NAME_MAX) return;
  throw new SetFault(`${name.text}: a name has at most ${NAME_MAX} characters`, name);
}

function familyOf(type: SetType): Family | undefined {
  if (type.startsWith("hash:")) return type === "hash:mac" ? undefined : 4;
  return type.startsWith("bitmap:ip") ? 4 : undefined;
}

/** An option's value by its name; flags have their own word. */
type Values = ReadonlyMap<string, Word>;

const FLAGS: ReadonlySet<string> = new Set(["counters", "comment", "skbinfo", "forceadd"]);

function readOptions(options: readonly Word[], type: SetType): Values {
  const values = new Map<string, Word>();
  const known = optionsOf(type);
  for (let at = 0; at < options.length; at += 1) {
    const option = options[at];
    if (option === undefined) break;
    const name = option.text.replace(/^--/, "");
    if (!known.has(name)) {
      throw new SetFault(`create: ${type} has no option "${option.text}"`, option);
    }
    if (FLAGS.has(name)) {
      values.set(name, option);
      continue;
    }
    if (values.has(name === "-4" || name === "-6" ? "family" : name)) {
      throw new SetFault(`${option.text} a second time`, option);
    }
    if (name === "-4" || name === "-6") {
      values.set("family", { ...option, text: name === "-4" ? "inet" : "inet6" });
      continue;
    }
    const value = options[(at += 1)];
    if (value === undefined) throw new SetFault(`${option.text}: a value is missing`, option);
    values.set(name, value);
  }
  return values;
}

/** > What releases of old took is still read by some types, and says nothing. */
function optionsOf(type: SetType): ReadonlySet<string> {
  const hash = type.startsWith("hash:");
  const bitmap = type.startsWith("bitmap:");
  const masked = ["hash:ip", "hash:ip,port", "hash:net,net"].includes(type);
  const ranged = ["hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net", "hash:ip,mark"];
  return new Set([
    ...["timeout", "counters", "comment", "skbinfo"],
    ...(hash ? ["hashsize", "maxelem", "bucketsize", "initval", "forceadd"] : []),
    ...(hash ? ["probes", "resize", "gc"] : []),
    ...(hash && type !== "hash:mac" ? ["family", "-4", "-6"] : []),
    ...(masked ? ["netmask", "bitmask"] : []),
    ...(type === "bitmap:ip" ? ["netmask"] : []),
    ...(type === "hash:ip,mark" ? ["markmask"] : []),
    ...(bitmap ? ["range"] : []),
    ...(bitmap || ranged.includes(type) ? ["from", "to", "network"] : []),
    ...(type === "list:set" ? ["size"] : []),
  ]);
}

type OptionReader = (set: Settings, values: Values, type: Word) => void;

/** In the order in which they need each other. */
const READERS: readonly OptionReader[] = [
  readFamily,
  readExtensions,
  readHash,
  readMasks,
  readRange,
  readSize,
];

function readFamily(set: Settings, values: Values): void {
  const word = values.get("family");
  if (word === undefined) return;
  const family = FAMILIES[word.text];
  if (family === undefined) {
    throw new SetFault(`family ${word.text}: expected inet or inet6`, word);
  }
  set.family = family;
}

const FAMILIES: Readonly<Record<string, Family | undefined>> = {
  inet: 4,
  ipv4: 4,
  inet6: 6,
  ipv6: 6,
};

function readExtensions(set: Settings, values: Values): void {
  const timeout = values.get("timeout");
  if (timeout !== undefined) set.timeoutSeconds = wholeNumber(timeout, TIMEOUT_MAX);
  for (const flag of ["counters", "comment", "skbinfo", "forceadd"] as const) {
    if (values.has(flag)) set[flag] = true;
  }
}

/** > Sizes are rounded up: of the table to a power of two from 64 on, of a bucket to an even number. */
function readHash(set: Settings, values: Values): void {
  if (!set.type.startsWith("hash:")) return;
  const number = (name: string, without: number): number => {
    const word = values.get(name);
    return word === undefined ? without : wholeNumber(word, NUMBER_MAX);
  };
  set.hashSize = Math.max(64, 2 ** Math.ceil(Math.log2(Math.max(1, number("hashsize", 1024)))));
  set.mostEntries = number("maxelem", 0x10000);
  const bucket = number("bucketsize", BUCKET_SIZE);
  set.bucketSize = Math.min(BUCKET_SIZE, Math.max(2, bucket + (bucket % 2)));
  if (values.has("initval")) set.seed = number("initval", 0);
  if (set.type === "hash:ip,mark") set.markMask = number("markmask", NUMBER_MAX);
}

function readMasks(set: Settings, values: Values): void {
  const netmask = values.get("netmask");
  const bitmask = values.get("bitmask");
  if (netmask !== undefined && bitmask !== undefined) {
    throw new SetFault("netmask and bitmask cannot be said both", bitmask);
  }
  const family = set.family ?? 4;
  const whole = addressBits(family);
  if (netmask !== undefined) {
    const bits = wholeNumber(netmask, whole, 1);
    if (bits < whole) set.netmaskBits = bits;
  }
  if (bitmask !== undefined) {
    const mask = bitmaskOf(bitmask, family);
    const same = prefixMask(whole).every((word, index) => word === mask.words[index]);
    if (!same) set.bitmask = mask;
  }
}

/** > ipset save prints bits behind the mask that mean nothing. */
function bitmaskOf(word: Word, family: Family): Address {
  const mask = addressOf({ ...word, text: word.text.replace(/\/\d+$/, "") }, family);
  if (mask.words.every((each) => each === 0)) throw new SetFault("a mask of no bits", word);
  return mask;
}

function readRange(set: Settings, values: Values, type: Word): void {
  if (!set.type.startsWith("bitmap:")) return;
  const [from, to] = [values.get("from"), values.get("to")];
  const whole = values.get("range") ?? values.get("network");
  const text = from === undefined || to === undefined ? undefined : `${from.text}-${to.text}`;
  const word = whole ?? (from === undefined || text === undefined ? undefined : { ...from, text });
  if (word === undefined) throw new SetFault(`${set.type} needs a range`, type);
  set.range = set.type === "bitmap:port" ? portsOf(word) : addressesOf(word, set);
}

/** > Of one end alone ipset says that the other is missing. */
function portsOf(word: Word): NumberRange {
  const text = word.text.replace(/^(tcp|udp):/i, "");
  if (!text.includes("-")) throw new SetFault(`${word.text}: expected FROM-TO`, word);
  return portRange({ ...word, text });
}

function addressesOf(word: Word, { netmaskBits = 32 }: Settings): NumberRange {
  const { first, last } = addressRange(word) ?? prefixRange(word);
  const hosts = 2 ** (32 - netmaskBits);
  const range = {
    first: first - (first % hosts),
    last: last - (last % hosts) + hosts - 1,
  };
  if (hosts > 1 && !isWiderPrefix(range, netmaskBits)) {
    throw new SetFault(`${word.text} is no range of blocks of ${netmaskBits} bits`, word);
  }
  if ((range.last - range.first + 1) / hosts > BITMAP_MAX) {
    throw new SetFault(`${word.text}: a bitmap has at most ${BITMAP_MAX} elements`, word);
  }
  return range;
}

function prefixRange(word: Word): NumberRange {
  const { address, bits } = prefixOfText(word, 4);
  if (bits === 0 || bits === 32)
    throw new SetFault(`${word.text}: expected FROM-TO or a prefix`, word);
  return { first: address.words[0], last: address.words[0] + 2 ** (32 - bits) - 1 };
}

/** > range_to_mask(): the range begins where some prefix that is wider than a block, and holds its end, does. */
function isWiderPrefix({ first, last }: NumberRange, blockBits: number): boolean {
  for (let bits = 31; bits > 0; bits -= 1) {
    const size = 2 ** (32 - bits);
    if (last - (last % size) === first) return blockBits > bits;
  }
  return false;
}

/** > How many members a list may have is said, and never looked at. */
function readSize(set: Settings, values: Values): void {
  if (set.type !== "list:set") return;
  const size = values.get("size");
  set.size = size === undefined ? 8 : Math.max(4, wholeNumber(size, NUMBER_MAX));
}
