/** Two replays of one capture that run side by side: what is not compared yet is kept in memory. */
import type { RowPairs, Side } from "../engine/row-pairs.ts";

/** Lets neither replay run far ahead. */
export class Lockstep {
  readonly #pairs: RowPairs;
  readonly #waiting: [(() => void) | undefined, (() => void) | undefined] = [undefined, undefined];
  readonly #most: number;
  #left = false;

  /** @param most packets that a replay may be ahead of the other one */
  constructor(pairs: RowPairs, most: number) {
    this.#pairs = pairs;
    this.#most = most;
  }

  /** Waits while this side is too far ahead. */
  async wait(side: Side): Promise<void> {
    const other = side === 0 ? 1 : 0;
    if (this.#pairs.lead(other) <= this.#most) this.#wake(other);
    while (!this.#left && this.#pairs.lead(side) > this.#most) {
      await new Promise<void>((resolve) => {
        this.#waiting[side] = resolve;
      });
    }
  }

  /** This side is at its end: the other one waits no more. */
  leave(side: Side): void {
    this.#left = true;
    this.#wake(side === 0 ? 1 : 0);
  }

  #wake(side: Side): void {
    this.#waiting[side]?.();
    this.#waiting[side] = undefined;
  }
}
