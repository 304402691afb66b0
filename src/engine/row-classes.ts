/**
 * Several replays of one capture, one after the other: which packets are counted by the same rows of flows
 * in each of them. A number for each packet is all that is kept of it.
 */
import * as layout from "../../assembly/layout.ts";

/** Packets that are counted by the same row in each replay. */
export interface RowClass {
  /** Places in `Matcher.flows`, replay by replay. */
  readonly rows: readonly number[];
  readonly packets: number;
  /** Number of the first of them. */
  readonly firstPacket: number;
}

const WORDS = layout.ROW_LOG_ENTRY / Uint32Array.BYTES_PER_ELEMENT;
const ROW = layout.ROW_LOG_ROW / Uint32Array.BYTES_PER_ELEMENT;
const ROOM_MIN = 1 << 16;
/** The class of packets that some replay counts in no row. */
const NONE = 0;
/** The class of all packets before the first replay. */
const ALL = 1;

/** Gathers the classes of packets. */
export class RowClasses {
  /** Of each packet, by its number. */
  #classes: Uint32Array;
  #before: Uint32Array | undefined;
  #rows: (readonly number[])[] = [[], []];
  #rowsBefore: readonly (readonly number[])[] = [];
  #byKey = new Map<number, number>();

  constructor() {
    this.#classes = new Uint32Array(ROOM_MIN);
  }

  /** Begins the next replay. */
  begin(): void {
    this.#before = this.#byKey.size === 0 ? undefined : this.#classes;
    this.#rowsBefore = this.#rows;
    this.#classes = new Uint32Array(this.#classes.length);
    this.#rows = [[]];
    this.#byKey = new Map();
  }

  /** Takes what `Matcher.takeRowLog` gives. */
  add(log: Uint32Array): void {
    for (let at = 0; at < log.length; at += WORDS) {
      const number = log[at] ?? 0;
      const row = log[at + ROW] ?? 0;
      const before = this.#before === undefined ? ALL : (this.#before[number] ?? NONE);
      if (row === layout.ROW_LOG_NONE || before === NONE) continue;
      if (number >= this.#classes.length) this.#makeRoom(number);
      const key = before * layout.FLOW_MAX + row;
      let own = this.#byKey.get(key);
      if (own === undefined) {
        own = this.#rows.length;
        this.#byKey.set(key, own);
        this.#rows.push([...(this.#rowsBefore[before] ?? []), row]);
      }
      this.#classes[number] = own;
    }
  }

  /** All classes, in the order of their first packets. */
  classes(): RowClass[] {
    const found = new Map<
      number,
      { rows: readonly number[]; packets: number; firstPacket: number }
    >();
    for (const [number, own] of this.#classes.entries()) {
      if (own === NONE) continue;
      const known = found.get(own);
      if (known !== undefined) known.packets += 1;
      else found.set(own, { rows: this.#rows[own] ?? [], packets: 1, firstPacket: number });
    }
    return [...found.values()];
  }

  #makeRoom(number: number): void {
    let size = this.#classes.length;
    while (size <= number) size *= 2;
    const grown = new Uint32Array(size);
    grown.set(this.#classes);
    this.#classes = grown;
  }
}
