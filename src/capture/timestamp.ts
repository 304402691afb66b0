/**
 * Writes timestamps as the packet record has them: u64 nanoseconds, little-endian. A double holds no
 * such number exactly, so the arithmetic is done in parts; BigInt only where a clock is unusual.
 */

const WORD = 0x100000000;

/**
 * Writes `seconds * 10^9 + nanoseconds`, exactly; seconds are a u32, nanoseconds below 2^43.
 * Parameters are positional because this runs once per packet.
 */
export function secondsToTime(
  view: DataView,
  at: number,
  seconds: number,
  nanoseconds: number,
): void {
  // seconds = high * 2^16 + low. Every product stays below 2^53; `%` on such numbers is a slow call.
  const high = (seconds >>> 16) * 1e9;
  const upper = Math.floor(high / 0x10000);
  const lower = (seconds & 0xffff) * 1e9 + (high - upper * 0x10000) * 0x10000 + nanoseconds;
  view.setUint32(at, lower, true);
  view.setUint32(at + 4, upper + Math.floor(lower / WORD), true);
}

/** `seconds * perSecond + fraction` in two words; seconds and fraction are u32. */
export function secondsToTicks(
  seconds: number,
  fraction: number,
  perSecond: 1e6 | 1e9,
): { readonly high: number; readonly low: number } {
  const high = (seconds >>> 16) * perSecond;
  const upper = Math.floor(high / 0x10000);
  const lower = (seconds & 0xffff) * perSecond + (high - upper * 0x10000) * 0x10000 + fraction;
  return { high: upper + Math.floor(lower / WORD), low: lower % WORD };
}

/** How the ticks of a pcapng interface become nanoseconds: `ticks * multiplier / divisor + offset`. */
export interface Clock {
  /** `multiplier` where there is no divisor and no offset, and parts of the product fit a double; else 0. */
  readonly scale: number;
  readonly multiplier: bigint;
  readonly divisor: bigint;
  /** Nanoseconds. */
  readonly offset: bigint;
}

/**
 * Builds the clock of `if_tsresol` and `if_tsoffset`; undefined when 64 bits of such ticks cannot
 * count to one second, which libpcap refuses too.
 *
 * @param resolution the option's byte: > if the Most Significant Bit is equal to zero, the remaining
 *   bits indicate the resolution as a negative power of 10, [...] if equal to one, of 2
 * @param offsetSeconds signed
 */
export function clockOf(resolution: number, offsetSeconds: bigint): Clock | undefined {
  const exponent = resolution & 0x7f;
  const offset = offsetSeconds * 1_000_000_000n;
  if (resolution >= 0x80) {
    if (exponent > 63) return undefined;
    return { scale: 0, multiplier: 1_000_000_000n, divisor: 1n << BigInt(exponent), offset };
  }
  if (exponent > 19) return undefined;
  if (exponent > 9)
    return { scale: 0, multiplier: 1n, divisor: 10n ** BigInt(exponent - 9), offset };
  const scale = exponent >= 3 && offset === 0n ? 10 ** (9 - exponent) : 0;
  return { scale, multiplier: 10n ** BigInt(9 - exponent), divisor: 1n, offset };
}

/**
 * Writes the time of `high * 2^32 + low` ticks; false, with nothing written, when it is not a u64.
 * Parameters are positional because this runs once per packet.
 */
export function ticksToTime(
  view: DataView,
  at: number,
  clock: Clock,
  high: number,
  low: number,
): boolean {
  if (clock.scale === 0)
    return ticksToTimeSlowly(view, at, clock, (BigInt(high) << 32n) | BigInt(low));
  const product = low * clock.scale;
  const upper = high * clock.scale + Math.floor(product / WORD);
  if (upper >= WORD) return false;
  view.setUint32(at, product, true);
  view.setUint32(at + 4, upper, true);
  return true;
}

function ticksToTimeSlowly(view: DataView, at: number, clock: Clock, ticks: bigint): boolean {
  const time = (ticks * clock.multiplier) / clock.divisor + clock.offset;
  if (time < 0n || time >= 1n << 64n) return false;
  view.setBigUint64(at, time, true);
  return true;
}
