/** When a rollout is: the words of `--rollout-at`. */
import { InvalidArgumentError } from "commander";

/** Nanoseconds since 1970, or since the capture's first packet. */
export interface RolloutTime {
  readonly text: string;
  readonly from: "epoch" | "start";
  readonly ns: bigint;
}

const SECOND_NS = 1_000_000_000n;
const MILLISECOND_NS = 1_000_000n;
const UNITS: Readonly<Record<string, bigint>> = {
  ms: MILLISECOND_NS,
  s: SECOND_NS,
  m: 60n * SECOND_NS,
  h: 3600n * SECOND_NS,
};
const ACCEPTED =
  "Expected RFC 3339 (2026-11-23T20:41:07Z), seconds since 1970 (1763930467.5), or a time after the capture's first packet (+30s, +250ms, +5m, +1h).";

/** Reads a time; ends the command where it is none. */
export function parseRolloutTime(text: string): RolloutTime {
  const time = readOffset(text) ?? readSeconds(text) ?? readRfc3339(text);
  if (time === undefined) throw new InvalidArgumentError(ACCEPTED);
  return { text, ...time };
}

function readOffset(text: string): Omit<RolloutTime, "text"> | undefined {
  const [, number, unit = ""] = /^\+(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)$/.exec(text) ?? [];
  const scale = UNITS[unit];
  if (number === undefined || scale === undefined) return undefined;
  return { from: "start", ns: scaled(number, scale) };
}

function readSeconds(text: string): Omit<RolloutTime, "text"> | undefined {
  if (!/^\d{1,10}(\.\d{1,9})?$/.test(text)) return undefined;
  return { from: "epoch", ns: scaled(text, SECOND_NS) };
}

/** > full-date "T" full-time, with a fraction and an offset. Source: RFC 3339, 5.6. */
function readRfc3339(text: string): Omit<RolloutTime, "text"> | undefined {
  const form = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;
  const [, date, time, fraction = "0", zone = ""] = form.exec(text) ?? [];
  if (date === undefined || time === undefined) return undefined;
  const milliseconds = Date.parse(`${date}T${time}${zone.toUpperCase()}`);
  // Date reads the 30th of February as a day in March.
  const local = new Date(Date.parse(`${date}T${time}Z`));
  if (Number.isNaN(milliseconds) || milliseconds < 0) return undefined;
  if (Number.isNaN(local.getTime()) || !local.toISOString().startsWith(date)) return undefined;
  return {
    from: "epoch",
    ns: BigInt(milliseconds) * MILLISECOND_NS + scaled(`0.${fraction}`, SECOND_NS),
  };
}

/** A decimal number times a whole one, exactly. */
function scaled(number: string, scale: bigint): bigint {
  const [whole = "0", fraction = ""] = number.split(".");
  const digits = 10n ** BigInt(fraction.length);
  return BigInt(whole) * scale + (BigInt(fraction === "" ? "0" : fraction) * scale) / digits;
}
