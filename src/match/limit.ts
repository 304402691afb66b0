/** `-m limit`: as many packets as a token bucket lets through. */
import { MATCH_LIMIT } from "../../assembly/layout.ts";
import { PACES, packBucket, packTerms, powerBelow } from "./bucket.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension, OptionUse } from "./extension.ts";
import { parseNumber, refuseInvert, useOf, wordOf } from "./words.ts";

export interface LimitMatch {
  readonly kind: "limit";
  /** Time between two packets, in units of 1/10000 second. */
  readonly interval: number;
  readonly burst: number;
}

const SCALE = 10_000;
const DEFAULT_BURST = 5;
const DEFAULT_INTERVAL = 1200 * SCALE;

/** Seconds of each unit of time, the longest first. */
const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["min", 60],
  ["sec", 1],
] as const;

/** `-m limit --limit N/UNIT --limit-burst N`. */
export const limitMatch: MatchExtension<LimitMatch> = {
  kind: "limit",
  id: MATCH_LIMIT,
  modules: [
    {
      name: "limit",
      options: { "--limit": 1, "--limit-burst": 1 },
      parse(options, { backend }) {
        refuseInvert(...options);
        const rate = useOf(options, "--limit");
        const burstUse = useOf(options, "--limit-burst");
        const interval = rate === undefined ? DEFAULT_INTERVAL : parseInterval(rate);
        const burst =
          burstUse === undefined ? DEFAULT_BURST : parseNumber(wordOf(burstUse), burstUse, 10_000);
        if (backend === "nft") return { kind: "limit", interval, burst: burst || DEFAULT_BURST };
        if (acceptingPaces(interval, burst).length === 0) {
          throw new RuleError("the burst takes more time than the kernel can count", burstUse);
        }
        return { kind: "limit", interval, burst };
      },
    },
  ],
  render({ interval, burst }) {
    const { count, unit } = rateOf(interval);
    const more = burst === DEFAULT_BURST ? "" : ` --limit-burst ${burst}`;
    return `-m limit --limit ${count}/${unit[0]}${more}`;
  },
  /** Terms of iptables-legacy's bucket, terms of iptables-nft's (see bucket.ts); the bucket (state). */
  pack({ interval, burst }, writer) {
    const paces = acceptingPaces(interval, burst);
    packTerms(
      (pace) => ({
        perSecond: creditsPerSecond(pace),
        cost: creditsOf(BigInt(interval), pace),
        room: creditsOf(wrap(interval, burst), pace),
      }),
      1n,
      writer,
      // > iptables-nft takes every burst, and has no use for these.
      paces.length > 0 ? paces : PACES,
    );
    // > iptables-nft hands the rate over as it prints it, and its bucket counts nanoseconds.
    const { count, unit } = rateOf(interval);
    const cost = (BigInt(unit[1]) * NANOSECONDS) / BigInt(count);
    packTerms(() => ({ perSecond: NANOSECONDS, cost, room: cost * BigInt(burst) }), 1n, writer);
    packBucket(writer);
  },
};

const NANOSECONDS = 1_000_000_000n;

/**
 * The paces at which the kernel takes the rule, that of the fewest packets in a burst first: so many are
 * there whatever the pace.
 */
function acceptingPaces(interval: number, burst: number): readonly bigint[] {
  const packets = (pace: bigint): number =>
    Number(creditsOf(wrap(interval, burst), pace) / creditsOf(BigInt(interval), pace));
  // > limit_mt_check() refuses what overflows.
  return PACES.filter((pace) => packets(pace) > 0).sort(
    (one, other) => packets(one) - packets(other),
  );
}

// The kernel multiplies 32-bit numbers.
function wrap(interval: number, burst: number): bigint {
  return (BigInt(interval) * BigInt(burst)) & 0xffffffffn;
}

function parseInterval(use: OptionUse): number {
  const text = wordOf(use);
  const [amount = "", unitText = "second"] = text.split(/\/(.*)/s);
  const unit = UNITS.find(([name]) => longName(name).startsWith(unitText.toLowerCase()));
  const count = Number.parseInt(amount, 10);
  if (unit === undefined || unitText === "" || !(count > 0)) {
    throw new RuleError(`--limit ${text}: expected packets by second, minute, hour or day`, use);
  }
  const interval = Math.floor((SCALE * unit[1]) / count);
  if (interval === 0) throw new RuleError(`--limit ${text} is too fast`, use);
  return interval;
}

function longName(name: (typeof UNITS)[number][0]): string {
  return name === "sec" ? "second" : name === "min" ? "minute" : name;
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

// Source: Linux, xt_limit.c, user2credits(): 32 bits, and what is more is lost.
function creditsOf(units: bigint, pace: bigint): bigint {
  const perSecond = creditsPerSecond(pace);
  if (units > 0xffffffffn / perSecond) return ((units / 10_000n) * perSecond) & 0xffffffffn;
  return (units * perSecond) / 10_000n;
}

function creditsPerSecond(pace: bigint): bigint {
  return pace * powerBelow(0xffffffffn / (pace * 86_400n));
}
