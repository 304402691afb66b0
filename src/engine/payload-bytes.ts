/** The bytes of matches and of what targets carry, as they are written one behind the other. */
import { MATCH_SIZE } from "../../assembly/layout.ts";
import type { PayloadWriter, SharedState } from "../match/extension.ts";
import { matchExtension } from "../match/index.ts";
import type { Match } from "../match/index.ts";
import { setNameOf } from "../match/set.ts";
import type { SetName } from "../match/set.ts";
import type { Family } from "../net/address.ts";
import type { PlacedTable } from "./rule-list.ts";

/** A table that matches of one name share, and in which terms they differ. */
export interface SharedTable extends SharedState {
  readonly number: number;
  readonly conflicts: number;
  /** The tables whose rules use it. */
  readonly users: ReadonlySet<string>;
}

/** Bytes that grow as they are written, little-endian. */
export class PayloadBytes implements PayloadWriter {
  length = 0;
  /** Set where the name of a set depends on the family. */
  asksByFamily = false;
  readonly sharedStates = new Map<string, SharedTable>();
  #bytes: Uint8Array;
  /** Whose rules are written. */
  #table = "";
  #family: Family = 4;
  readonly #setNumbers: ReadonlyMap<string, number>;

  /** @param room for so many bytes; what is not touched of it costs nothing */
  constructor(setNumbers: ReadonlyMap<string, number>, room: number) {
    this.#bytes = new Uint8Array(Math.max(4096, room));
    this.#setNumbers = setNumbers;
  }

  /** From now on rules of this table are written. */
  enter({ ruleset: { backend, family }, name }: PlacedTable): void {
    this.#table = `${backend} ${family} ${name}`;
    this.#family = family;
  }

  /** Writes a match; a comment is not written. */
  match(match: Match): void {
    if (match.kind === "comment") return;
    const extension = matchExtension(match);
    const start = this.length;
    this.u16(extension.id);
    this.u16(0);
    this.u32("invert" in match && match.invert ? 1 : 0);
    extension.pack(match, this);
    this.align();
    const size = this.length - start;
    this.#bytes[start + MATCH_SIZE] = size;
    this.#bytes[start + MATCH_SIZE + 1] = size >>> 8;
  }

  u8(value: number): void {
    if (this.length + 1 > this.#bytes.length) this.#grow();
    this.#bytes[this.length] = value;
    this.length += 1;
  }

  u16(value: number): void {
    if (this.length + 2 > this.#bytes.length) this.#grow();
    this.#bytes[this.length] = value;
    this.#bytes[this.length + 1] = value >>> 8;
    this.length += 2;
  }

  u32(value: number): void {
    if (this.length + 4 > this.#bytes.length) this.#grow();
    this.#bytes[this.length] = value;
    this.#bytes[this.length + 1] = value >>> 8;
    this.#bytes[this.length + 2] = value >>> 16;
    this.#bytes[this.length + 3] = value >>> 24;
    this.length += 4;
  }

  align(): void {
    while ((this.length & 3) !== 0) this.u8(0);
  }

  setId(set: SetName): number {
    const name = setNameOf(set, this.#family);
    if (typeof set !== "string") this.asksByFamily = true;
    const number = this.#setNumbers.get(name);
    if (number === undefined) throw new Error(`bug: no set ${name}`);
    return number;
  }

  sharedId(state: SharedState): number {
    const before = this.sharedStates.get(state.name);
    const number = before?.number ?? this.sharedStates.size;
    const conflicts = state.terms.reduce((bits, term, index) => {
      const differs = before !== undefined && before.terms[index] !== term;
      return differs ? bits | (1 << index) : bits;
    }, before?.conflicts ?? 0);
    const size = Math.max(state.size, before?.size ?? 0);
    const users = new Set(before?.users).add(this.#table);
    this.sharedStates.set(state.name, { ...(before ?? state), number, size, conflicts, users });
    return number;
  }

  written(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  #grow(): void {
    const grown = new Uint8Array(this.#bytes.length * 2);
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}
