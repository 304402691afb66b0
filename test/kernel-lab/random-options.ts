/** Random options of IP headers, sound and malformed. */
import type { Random } from "../random.ts";

// Record route, timestamp, loose and strict source route, router alert, a label, two that nobody knows.
const OPTION_TYPES = [7, 68, 131, 137, 148, 134, 0x1e, 0x9e];

/** IPv4 options: whole words. */
export function randomOptions(random: Random): Uint8Array {
  const bytes: number[] = [];
  for (let count = 1 + random.below(3); count > 0; count -= 1) {
    const type = random.chance(0.2) ? 1 : random.pick(OPTION_TYPES);
    if (type === 1) bytes.push(1);
    else {
      const length = random.chance(0.1) ? random.below(256) : random.pick([2, 3, 4, 7, 8, 11, 12]);
      const pointer = random.pick([3, 4, 5, 5, 8, 9, 12]);
      const rest = [
        pointer,
        random.pick([0, 1, 3, 2, 0xf0, 0xf3]),
        ...new Array<number>(8).fill(1),
      ];
      bytes.push(type, length, ...rest.slice(0, Math.max(0, Math.min(length, 12) - 2)));
    }
  }
  while (bytes.length % 4 !== 0) bytes.push(random.pick([0, 0, 1, 7]));
  return Uint8Array.from(bytes.slice(0, 40));
}

// Padding, router alert, IOAM, jumbo payload, a label, and what nobody knows, with each action.
const TLV_TYPES = [1, 1, 5, 0x31, 0xc2, 7, 0x1e, 0x3e, 0x5e, 0x9e, 0xde];

/** IPv6 hop-by-hop options: eight bytes or a multiple, but for the header's first two. */
export function randomHopByHop(random: Random): Uint8Array {
  const bytes: number[] = [];
  for (let count = random.chance(0.1) ? 9 : 1 + random.below(3); count > 0; count -= 1) {
    const type = random.chance(0.2) ? 0 : random.pick(TLV_TYPES);
    if (type === 0) bytes.push(...new Array<number>(1 + random.below(4)).fill(0));
    else {
      const length = random.chance(0.1) ? random.below(256) : random.pick([0, 1, 2, 2, 4, 4]);
      const fill = random.chance(0.9) && type === 1 ? 0 : random.below(2);
      bytes.push(type, length, ...new Array<number>(Math.min(length, 12)).fill(fill));
    }
  }
  while (bytes.length % 8 !== 6) bytes.push(random.chance(0.9) ? 0 : 1);
  return Uint8Array.from(bytes);
}
