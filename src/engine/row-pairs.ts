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

const PAIRS_MIN = 1 << 12;
// A pair is four words: row of the first replay, of the second, packets, number of the first of them.
const SECOND = 1;
const PACKETS = 2;
const PAIR_WORDS = 4;

/**
 * Counts pairs. A row of the first replay mostly meets the same row of the second as the last time: then
 * nothing is looked up.
 */
class PairCounts {
  readonly #indexes = new Map<number, number>();
  #records = new Uint32Array(PAIRS_MIN * PAIR_WORDS);
  /** Of each row of the first replay: the record's place of its latest pair, plus one; 0: there is none. */
  #latest = new Uint32Array(PAIRS_MIN);

  count(one: number, other: number, packet: number): void {
    let at = (this.#latest[one] ?? 0) - 1;
    if (at < 0 || this.#records[at + SECOND] !== other) at = this.#find(one, other, packet);
    this.#records[at + PACKETS] = (this.#records[at + PACKETS] ?? 0) + 1;
  }

  all(): RowPair[] {
    const records = this.#records;
    return Array.from({ length: this.#indexes.size }, (_, index) => {
      const [one = 0, other = 0, packets = 0, firstPacket = 0] = records.subarray(
        index * PAIR_WORDS,
      );
      return { rows: [one, other], packets, firstPacket };
    });
  }

  #find(one: number, other: number, packet: number): number {
    const key = one * layout.FLOW_MAX + other;
    const known = this.#indexes.get(key);
    const index = known ?? this.#indexes.size;
    const at = index * PAIR_WORDS;
    if (known === undefined) {
      this.#indexes.set(key, index);
      if (at === this.#records.length) this.#records = doubled(this.#records);
      this.#records.set([one, other, 0, packet], at);
    }
    while (one >= this.#latest.length) this.#latest = doubled(this.#latest);
    this.#latest[one] = at + 1;
    return at;
  }
}

function doubled(words: Uint32Array): Uint32Array<ArrayBuffer> {
  const more = new Uint32Array(2 * words.length);
  more.set(words);
  return more;
}
