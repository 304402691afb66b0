/**
 * How far the workers on one capture go, so that all end behind the same packet: each says how far it means
 * to go before it does, and whoever stops the replay lets the others go as far as any has said.
 */

/** So many packets are begun at a time. */
const STRIDE = 1 << 16;

/** What the workers of one replay have in common. */
export class Pace {
  /** Handed to each worker's own Pace. */
  readonly shared: SharedArrayBuffer;
  /** Packets that may be begun; once the replay is to stop the same, negated, less one. */
  readonly #frontier: BigInt64Array;
  readonly #given: Int32Array;

  constructor(shared = new SharedArrayBuffer(16)) {
    this.shared = shared;
    this.#frontier = new BigInt64Array(shared, 0, 1);
    this.#given = new Int32Array(shared, 8, 1);
  }

  /** How many packets behind the first `done` may be decided, of so many that are wanted; 0: the replay ends. */
  begin(done: number, wanted: number): number {
    const most = Math.min(wanted, STRIDE);
    while (!this.givenUp) {
      const frontier = Atomics.load(this.#frontier, 0);
      const end = BigInt(done + most);
      if (frontier < 0n) return Math.min(most, Math.max(0, Number(-frontier - 1n) - done));
      if (end <= frontier) return most;
      if (Atomics.compareExchange(this.#frontier, 0, frontier, end) === frontier) return most;
    }
    return 0;
  }

  /** Lets nobody go further than one of them has said. */
  stop(): void {
    while (true) {
      const frontier = Atomics.load(this.#frontier, 0);
      if (frontier < 0n) return;
      if (Atomics.compareExchange(this.#frontier, 0, frontier, -frontier - 1n) === frontier) return;
    }
  }

  /** Ends it for all at once: what they have counted is of no use. */
  giveUp(): void {
    Atomics.store(this.#given, 0, 1);
  }

  get givenUp(): boolean {
    return Atomics.load(this.#given, 0) !== 0;
  }
}
