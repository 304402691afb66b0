/**
 * Two replays of one capture, packet by packet: which row of flows counted a packet in the one, and which
 * in the other. Both tell their packets in the order in which verdicts were settled; a packet is paired
 * when both have told it, and forgotten then.
 */
import * as layout from "../../assembly/layout.ts";

/** Packets that one row of the first replay and one of the second have counted. */
export interface RowPair {
  /** Places in `Matcher.flows`, first replay and second. */
  readonly rows: readonly [number, number];
  readonly packets: number;
  /** Number of the first of them. */
  readonly firstPacket: number;
}

interface OpenPair extends RowPair {
  packets: number;
}

/** Which of the two replays: 0 is the first. */
export type Side = 0 | 1;

const WORDS = layout.ROW_LOG_ENTRY / Uint32Array.BYTES_PER_ELEMENT;
const ROW = layout.ROW_LOG_ROW / Uint32Array.BYTES_PER_ELEMENT;
const ROOM_MIN = 1 << 16;
/** What a packet that is in no row is kept as; 0 is one that was not told yet. */
const IN_NONE = 1;
const FIRST_ROW = 2;

/** Pairs the rows of two replays. */
export class RowPairs {
  readonly #told: [Uint32Array, Uint32Array] = [
    new Uint32Array(ROOM_MIN),
    new Uint32Array(ROOM_MIN),
  ];
  /** The highest packet that each has told. */
  readonly #latest: [number, number] = [0, 0];
  /** Packets up to this one are paired. */
  #paired = 0;
  readonly #pairs = new Map<number, OpenPair>();

  /** Takes what `Matcher.takeRowLog` gives of one of the replays. */
  add(side: Side, log: Uint32Array): void {
    for (let at = 0; at < log.length; at += WORDS) {
      const number = log[at] ?? 0;
      const row = log[at + ROW] ?? 0;
      this.#makeRoom(number);
      const told = this.#told[side];
      told[number % told.length] = row === layout.ROW_LOG_NONE ? IN_NONE : row + FIRST_ROW;
      if (number > this.#latest[side]) this.#latest[side] = number;
    }
    this.#pair();
  }

  /** By how many packets a replay is ahead of the other one. */
  lead(side: Side): number {
    return this.#latest[side] - this.#latest[side === 0 ? 1 : 0];
  }

  /** All pairs, in the order of their first packets. */
  pairs(): RowPair[] {
    return [...this.#pairs.values()];
  }

  #pair(): void {
    const [first, second] = this.#told;
    const size = first.length;
    for (;;) {
      const place = (this.#paired + 1) % size;
      const one = first[place] ?? 0;
      const other = second[place] ?? 0;
      if (one === 0 || other === 0) return;
      this.#paired += 1;
      first[place] = 0;
      second[place] = 0;
      if (one >= FIRST_ROW && other >= FIRST_ROW) this.#count(one - FIRST_ROW, other - FIRST_ROW);
    }
  }

  #count(one: number, other: number): void {
    const key = one * layout.FLOW_MAX + other;
    const pair = this.#pairs.get(key);
    if (pair !== undefined) pair.packets += 1;
    else this.#pairs.set(key, { rows: [one, other], packets: 1, firstPacket: this.#paired });
  }

  /** Packets that are not paired lie in rings, each at its number's remainder. */
  #makeRoom(number: number): void {
    const before = this.#told[0].length;
    if (number - this.#paired < before) return;
    let size = before;
    while (number - this.#paired >= size) size *= 2;
    for (const side of [0, 1] as const) {
      const ring = new Uint32Array(size);
      const old = this.#told[side];
      for (let each = this.#paired + 1; each < this.#paired + before; each++)
        ring[each % size] = old[each % before] ?? 0;
      this.#told[side] = ring;
    }
  }
}
