/** `-m hashlimit`: a limit for each address or port. */
import {
  HASHLIMIT_BYTES,
  HASHLIMIT_DPORT,
  HASHLIMIT_DST,
  HASHLIMIT_RATE,
  HASHLIMIT_SPORT,
  HASHLIMIT_SRC,
  MATCH_HASHLIMIT,
} from "../../assembly/layout.ts";
import type { Family } from "../net/address.ts";
import { addressBits } from "../net/address.ts";
import { packTerms, packU64, powerBelow } from "./bucket.ts";
import type { Credits } from "./bucket.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension, OptionUse } from "./extension.ts";
import { parseNumber, refuseInvert, useOf, wordOf } from "./words.ts";

/** `invert` is `--hashlimit-above`. All but it belongs to the table, which matches of one name share. */
export interface HashlimitMatch {
  readonly kind: "hashlimit";
  readonly family: Family;
  readonly name: string;
  readonly invert: boolean;
  /** The rate is of bytes, not packets. */
  readonly bytes: boolean;
  /** Of packets: time between two, in microseconds. Of bytes: 2^32 through sixteenths of the rate. */
  readonly interval: number;
  /** Of packets: how many at once. Of bytes: how often an empty bucket is filled up. */
  readonly burst: number;
  /** What tells entries apart, in the order iptables prints it. */
  readonly modes: readonly (keyof typeof MODES)[];
  readonly srcBits: number;
  readonly dstBits: number;
  /** 0: as many as the kernel chooses. */
  readonly tableSize: number;
  readonly tableMax: number;
  /** Milliseconds. */
  readonly collect: number;
  readonly expire: number;
  /** Counts intervals of this many seconds, instead of a bucket. */
  readonly rateSeconds: number | undefined;
}

const MODES = {
  srcip: HASHLIMIT_SRC,
  srcport: HASHLIMIT_SPORT,
  dstip: HASHLIMIT_DST,
  dstport: HASHLIMIT_DPORT,
} as const;
const MODE_NAMES = ["srcip", "srcport", "dstip", "dstport"] as const;

const SCALE = 1_000_000;
const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["min", 60],
  ["sec", 1],
] as const;
const BURST = 5;
const BURST_MAX = 1_000_000;
const COLLECT = 1000;
const MAX_U32 = 0xffff_ffff;
/** Seconds: how long entries live where the rate is of bytes, without and with a burst. */
const BYTES_EXPIRE = 15;
const BYTES_BURST_EXPIRE = 60;
/** > A table of the usual size of a node with more than 1 GB of memory, and eight entries for each place. */
const USUAL_SIZE = 8192;
const ENTRIES_BY_PLACE = 8;
const NAME_MAX = 254;

const UPTO = ["--hashlimit-upto", "--hashlimit"] as const;

/** `-m hashlimit --hashlimit-upto|--hashlimit-above RATE --hashlimit-name NAME ...`. */
export const hashlimitMatch: MatchExtension<HashlimitMatch> = {
  kind: "hashlimit",
  id: MATCH_HASHLIMIT,
  modules: [
    {
      name: "hashlimit",
      options: {
        "--hashlimit-upto": 1,
        "--hashlimit": 1,
        "--hashlimit-above": 1,
        "--hashlimit-burst": 1,
        "--hashlimit-mode": 1,
        "--hashlimit-name": 1,
        "--hashlimit-srcmask": 1,
        "--hashlimit-dstmask": 1,
        "--hashlimit-htable-size": 1,
        "--hashlimit-htable-max": 1,
        "--hashlimit-htable-expire": 1,
        "--hashlimit-htable-gcinterval": 1,
        "--hashlimit-rate-match": 0,
        "--hashlimit-rate-interval": 1,
      },
      parse: (options, { family }) => parseHashlimit(options, family),
    },
  ],
  render(match) {
    const { bytes, interval, burst, modes, family } = match;
    const expire = bytes
      ? (burst === 0 ? BYTES_EXPIRE : BYTES_BURST_EXPIRE) * 1000
      : rateOf(interval).unit[1] * 1000;
    const bits = addressBits(family);
    return [
      `-m hashlimit --hashlimit-${match.invert ? "above" : "upto"} ${bytes ? formatBytes(interval, burst) : formatPackets(interval, burst)}`,
      ...(modes.length === 0 ? [] : [`--hashlimit-mode ${modes.join(",")}`]),
      `--hashlimit-name ${match.name}`,
      ...(match.tableSize === 0 ? [] : [`--hashlimit-htable-size ${match.tableSize}`]),
      ...(match.tableMax === 0 ? [] : [`--hashlimit-htable-max ${match.tableMax}`]),
      ...(match.collect === COLLECT ? [] : [`--hashlimit-htable-gcinterval ${match.collect}`]),
      ...(match.expire === expire ? [] : [`--hashlimit-htable-expire ${match.expire}`]),
      ...(match.srcBits === bits ? [] : [`--hashlimit-srcmask ${match.srcBits}`]),
      ...(match.dstBits === bits ? [] : [`--hashlimit-dstmask ${match.dstBits}`]),
      ...(match.rateSeconds === undefined ? [] : ["--hashlimit-rate-match"]),
      ...(match.rateSeconds === undefined || match.rateSeconds === 1
        ? []
        : [`--hashlimit-rate-interval ${match.rateSeconds}`]),
    ].join(" ");
  },
  /** As HASHLIMIT_* of layout.ts draw it. */
  pack(match, writer) {
    const { family, name } = match;
    const terms = [JSON.stringify({ ...match, invert: undefined })];
    const shared = { name: `hashlimit ${family} ${name}`, terms, size: 0 };
    writer.u32(writer.sharedId(shared));
    const flags =
      (match.bytes ? HASHLIMIT_BYTES : 0) | (match.rateSeconds === undefined ? 0 : HASHLIMIT_RATE);
    writer.u16(match.modes.reduce((bits, mode) => bits | MODES[mode], flags));
    writer.u8(match.srcBits);
    writer.u8(match.dstBits);
    writer.u32(match.expire);
    writer.u32(match.collect);
    const size = match.tableSize === 0 ? USUAL_SIZE : match.tableSize;
    writer.u32(match.tableMax === 0 ? size * ENTRIES_BY_PLACE : Math.max(match.tableMax, size));
    writer.u32(match.bytes ? match.burst : 0);
    const { second, room } = ratesOf(match);
    writer.u32((match.rateSeconds ?? 0) * 1000);
    packU64(BigInt(second), writer);
    packU64(BigInt(room), writer);
    const interval = BigInt(match.interval);
    if (match.bytes) packTerms((pace) => byteCredits(interval, pace), 1000n, writer);
    else packTerms((pace) => packetCredits(interval, BigInt(match.burst), pace), 1n, writer);
  },
};

function parseHashlimit(options: readonly OptionUse[], family: Family): HashlimitMatch {
  const rate = useOf(options, ...UPTO, "--hashlimit-above");
  if (rate === undefined)
    throw new RuleError("expected --hashlimit-upto or --hashlimit-above", undefined);
  refuseInvert(...options.filter((use) => use !== rate));
  const numberOf = (name: string, otherwise: number, max = MAX_U32): number => {
    const use = useOf(options, name);
    return use === undefined ? otherwise : parseNumber(wordOf(use), use, max);
  };
  const nameUse = useOf(options, "--hashlimit-name");
  const name = nameUse === undefined ? "" : wordOf(nameUse);
  if (name === "" || name.length > NAME_MAX || /^\.\.?$|\//.test(name)) {
    throw new RuleError("expected --hashlimit-name", nameUse);
  }
  const bytes = parseBytes(rate);
  const packets = bytes === undefined ? parsePackets(rate) : undefined;
  const burstUse = useOf(options, "--hashlimit-burst");
  const burst = parseBurst(burstUse, bytes);
  const ownExpire =
    bytes === undefined
      ? (packets?.seconds ?? 1)
      : burstUse === undefined
        ? BYTES_EXPIRE
        : BYTES_BURST_EXPIRE;
  const rateMatch = useOf(options, "--hashlimit-rate-match");
  const secondsUse = useOf(options, "--hashlimit-rate-interval");
  const seconds = numberOf("--hashlimit-rate-interval", packets?.seconds ?? 1);
  if (seconds === 0) throw new RuleError("an interval has a second at least", secondsUse);
  const interval =
    bytes ??
    Math.floor((packets?.interval ?? 0) / (rateMatch === undefined ? 1 : (packets?.seconds ?? 1)));
  const match: HashlimitMatch = {
    kind: "hashlimit",
    family,
    name,
    invert: (rate.name === "--hashlimit-above") !== rate.invert,
    bytes: bytes !== undefined,
    interval,
    burst,
    modes: parseModes(useOf(options, "--hashlimit-mode")),
    srcBits: numberOf("--hashlimit-srcmask", addressBits(family), addressBits(family)),
    dstBits: numberOf("--hashlimit-dstmask", addressBits(family), addressBits(family)),
    tableSize: numberOf("--hashlimit-htable-size", 0),
    tableMax: numberOf("--hashlimit-htable-max", 0),
    collect: numberOf("--hashlimit-htable-gcinterval", COLLECT),
    expire: numberOf("--hashlimit-htable-expire", ownExpire * 1000),
    rateSeconds: rateMatch === undefined ? undefined : seconds,
  };
  refuseOverflow(match, burstUse ?? rate);
  return match;
}

function refuseOverflow(match: HashlimitMatch, use: OptionUse): void {
  const { bytes, burst, collect, expire, rateSeconds } = match;
  const interval = BigInt(match.interval);
  if (collect === 0 || expire === 0) {
    throw new RuleError("entries live for a millisecond at least", use);
  }
  if (rateSeconds !== undefined) {
    if (interval > BigInt(MAX_U32)) throw new RuleError("the rate is too low", use);
    return;
  }
  const { cost, room } = bytes
    ? byteCredits(interval, 250n)
    : packetCredits(interval, BigInt(burst), 250n);
  if (cost === 0n || room < cost) {
    throw new RuleError("the kernel cannot count this rate and burst", use);
  }
}

/** > Source: Linux, xt_hashlimit.c, user2credits(): 64 bits, and what is more is lost. */
function packetCredits(interval: bigint, burst: bigint, pace: bigint): Credits {
  const perSecond = pace * powerBelow(0xffff_ffff_ffff_ffffn / (pace * 86_400n));
  const factor = perSecond / BigInt(SCALE);
  const wrap = (credits: bigint): bigint => credits & 0xffff_ffff_ffff_ffffn;
  return {
    perSecond,
    cost: wrap(interval * factor),
    room: wrap(wrap(interval * burst) * factor),
  };
}

/** > user2credits_byte(): the cost of sixteen bytes; the bucket has room for a second's credits. */
function byteCredits(interval: bigint, pace: bigint): Credits {
  const perSecond = pace * powerBelow(BigInt(MAX_U32) / pace);
  return { perSecond, cost: (interval * perSecond) >> 32n, room: perSecond };
}

/** > user2rate() and user2rate_bytes(): what a second, and what an interval has room for. */
function ratesOf({ bytes, interval, burst }: HashlimitMatch): {
  readonly second: number;
  readonly room: number;
} {
  if (!bytes) {
    const second = Math.floor(SCALE / interval);
    return { second, room: burst + second };
  }
  const second = bytesOf(interval);
  return { second, room: (burst === 0 ? 1 : burst) * second };
}

/** Time between packets in microseconds, and the unit's seconds. */
function parsePackets(use: OptionUse): { readonly interval: number; readonly seconds: number } {
  const text = wordOf(use);
  const [amount = "", unitText = "second"] = text.split(/\/(.*)/s);
  const names = { day: "day", hour: "hour", min: "minute", sec: "second" } as const;
  const unit = UNITS.find(([name]) => names[name].startsWith(unitText.toLowerCase()));
  const count = Number.parseInt(amount, 10);
  if (unit === undefined || unitText === "" || !(count > 0)) {
    throw new RuleError(`${use.name} ${text}: expected a rate`, use);
  }
  const interval = Math.floor((SCALE * unit[1]) / count);
  if (interval === 0) throw new RuleError(`${use.name} ${text} is too fast`, use);
  return { interval, seconds: unit[1] };
}

/** `512kb/s`; undefined for another kind of rate. Dumps print rates below 16 as `0b/s`. */
function parseBytes(use: OptionUse): number | undefined {
  const text = wordOf(use);
  const at = text.indexOf("b/s");
  const count = Number.parseInt(text, 10);
  if (at < 1 || !(count >= 0)) return undefined;
  const cost = costOf(count * factorOf(text.charAt(at - 1)));
  if (cost === 0) throw new RuleError(`${use.name} ${text} is too fast`, use);
  return cost;
}

function parseBurst(use: OptionUse | undefined, bytes: number | undefined): number {
  if (use === undefined) return bytes === undefined ? BURST : 0;
  const parts = /^(\d+)(.*)$/s.exec(wordOf(use));
  const count = Number(parts?.[1]) * factorOf(parts?.[2]?.charAt(0) ?? "");
  const plain = parts?.[2] === "" || bytes === undefined;
  if (!(count >= 1) || (plain && count > BURST_MAX)) {
    throw new RuleError(`${use.name}: expected a number from 1 to ${BURST_MAX}`, use);
  }
  if (bytes === undefined) return count;
  const once = bytesOf(bytes);
  if (count < once) throw new RuleError(`a burst below ${once} bytes is less than the rate`, use);
  // By so little each second that there is nothing to divide by.
  if (once === 0) throw new RuleError("the rate is too low for a burst", use);
  return Math.ceil(count / once);
}

function parseModes(use: OptionUse | undefined): HashlimitMatch["modes"] {
  if (use === undefined) return [];
  const given = wordOf(use)
    .split(/[,|]/)
    .filter((each) => each !== "");
  const wrong = given.find((each) => !MODE_NAMES.some((mode) => mode === each));
  if (wrong !== undefined) throw new RuleError(`${use.name}: there is no mode ${wrong}`, use);
  return MODE_NAMES.filter((mode) => given.includes(mode));
}

function factorOf(letter: string): number {
  return letter === "m" ? 1024 * 1024 : letter === "k" ? 1024 : 1;
}

/** > bytes_to_cost() */
function costOf(bytes: number): number {
  return Math.floor(MAX_U32 / ((Math.floor(bytes / 16) >>> 0) + 1));
}

/** > cost_to_bytes() */
function bytesOf(cost: number): number {
  return (Math.floor(MAX_U32 / cost) - 1) * 16;
}

function formatBytes(cost: number, burst: number): string {
  const rate = bytesOf(cost);
  const [letter, size] =
    LETTERS.find(([, each]) => rate >= each && costOf(rate - (rate % each)) === cost) ?? PLAIN;
  const text = `${Math.floor(rate / size)}${letter}b/s`;
  if (burst === 0) return text;
  const bytes = rate * burst;
  const [burstLetter, burstSize] = LETTERS.find(([, each]) => bytes >= each) ?? PLAIN;
  return `${text} --hashlimit-burst ${Math.floor(bytes / burstSize)}${burstLetter}b`;
}

const PLAIN = ["", 1] as const;
const LETTERS = [
  ["m", 1024 * 1024],
  ["k", 1024],
] as const;

function formatPackets(interval: number, burst: number): string {
  const { count, unit } = rateOf(interval);
  return `${count}/${unit[0]} --hashlimit-burst ${burst}`;
}

/** The longest unit of time in which the rate is a whole number, nearly. */
function rateOf(interval: number): {
  readonly count: number;
  readonly unit: (typeof UNITS)[number];
} {
  let chosen: (typeof UNITS)[number] = UNITS[0];
  for (const unit of UNITS.slice(1)) {
    const units = unit[1] * SCALE;
    if (interval > units || Math.floor(units / interval) < units % interval) break;
    chosen = unit;
  }
  return { count: Math.floor((chosen[1] * SCALE) / interval), unit: chosen };
}
