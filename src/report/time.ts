/** Capture times as text. Nanoseconds do not fit a double, so they stay `bigint` until they are text. */

const SECOND_NS = 1_000_000_000n;

/**
 * Formats nanoseconds since 1970 as RFC 3339 in UTC, or those since midnight as `20:41:07.123456789`.
 *
 * @returns undefined when there is no time
 */
export function formatTime(
  timestampNs: bigint | undefined,
  timeOfDay: boolean,
): string | undefined {
  if (timestampNs === undefined) return undefined;
  const fraction = `${timestampNs % SECOND_NS}`.padStart(9, "0");
  const date = new Date(Number(timestampNs / SECOND_NS) * 1000);
  // 64 bits of nanoseconds end in the year 2554, well inside what Date can say.
  const seconds = date.toISOString().slice(0, 19);
  return timeOfDay ? `${seconds.slice(11)}.${fraction}` : `${seconds}.${fraction}Z`;
}
