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

/** Which of the two replays: 0 is the first. */
export type Side = 0 | 1;

const WORDS = layout.ROW_LOG_ENTRY / Uint32Array.BYTES_PER_ELEMENT;
const ROW = layout.ROW_LOG_ROW / Uint32Array.BYTES_PER_ELEMENT;
/** A power of two, as all rings' lengths are. */
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
  readonly #counts = new PairCounts();

  /** Takes what `Matcher.takeRowLog` gives of one of the replays. */
  add(side: Side, log: Uint32Array): void {
    let latest = this.#latest[side];
    for (let at = 0; at < log.length; at += WORDS) latest = Math.max(latest, log[at] ?? 0);
    this.#latest[side] = latest;
    this.#makeRoom(latest);
    const told = this.#told[side];
    const mask = told.length - 1;
    for (let at = 0; at < log.length; at += WORDS) {
      const row = log[at + ROW] ?? 0;
      told[(log[at] ?? 0) & mask] = row === layout.ROW_LOG_NONE ? IN_NONE : row + FIRST_ROW;
    }
    this.#pair();
  }

  /** By how many packets a replay is ahead of the other one. */
  lead(side: Side): number {
    return this.#latest[side] - this.#latest[side === 0 ? 1 : 0];
  }

  /** All pairs, in the order of their first packets. */
  pairs(): RowPair[] {
    return this.#counts.all();
  }

  #pair(): void {
    const [first, second] = this.#told;
    const mask = first.length - 1;
    const counts = this.#counts;
    for (let number = this.#paired + 1; ; number++) {
      const place = number & mask;
      const one = first[place] ?? 0;
      const other = second[place] ?? 0;
      if (one === 0 || other === 0) {
        this.#paired = number - 1;
        return;
      }
      first[place] = 0;
      second[place] = 0;
      if (one >= FIRST_ROW && other >= FIRST_ROW)
        counts.count(one - FIRST_ROW, other - FIRST_ROW, number);
    }
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

const ROWS_MIN = 1 << 12;
// What is known of a row of the first replay: the row that it met last, plus one, and how often since then.
const MET = 1;
const ROW_WORDS = 2;

interface OpenPair extends RowPair {
  packets: number;
}

/**
 * Counts pairs. A row of the first replay mostly meets the same row of the second as the last time: then
 * nothing is looked up.
 */
class PairCounts {
  readonly #pairs = new Map<number, OpenPair>();
  #latest = new Uint32Array(ROWS_MIN * ROW_WORDS);

  count(one: number, other: number, packet: number): void {
    const at = one * ROW_WORDS;
    if (this.#latest[at] !== other + 1) this.#meet(one, other, packet);
    this.#latest[at + MET] = (this.#latest[at + MET] ?? 0) + 1;
  }

  all(): RowPair[] {
    for (let one = 0; one * ROW_WORDS < this.#latest.length; one++) this.#settle(one);
    return [...this.#pairs.values()];
  }

  #meet(one: number, other: number, packet: number): void {
    const at = one * ROW_WORDS;
    if (at >= this.#latest.length) {
      const more = new Uint32Array(2 * Math.max(at, this.#latest.length));
      more.set(this.#latest);
      this.#latest = more;
    }
    this.#settle(one);
    this.#latest[at] = other + 1;
    const key = keyOf(one, other);
    if (this.#pairs.has(key)) return;
    this.#pairs.set(key, { rows: [one, other], packets: 0, firstPacket: packet });
  }

  /** Counts how often a row has met another one. */
  #settle(one: number): void {
    const at = one * ROW_WORDS;
    const [other = 0, packets = 0] = this.#latest.subarray(at, at + ROW_WORDS);
    if (packets === 0) return;
    const pair = this.#pairs.get(keyOf(one, other - 1));
    if (pair === undefined) throw new Error("bug: a pair that never met");
    pair.packets += packets;
    this.#latest[at + MET] = 0;
  }
}

function keyOf(one: number, other: number): number {
  return one * layout.FLOW_MAX + other;
}
