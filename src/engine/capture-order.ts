/**
 * Verdicts in capture order. A fragment's verdict comes with the packet that completes its datagram; what
 * was captured behind the fragment waits until then.
 */
import type { Oddities } from "../capture/record.ts";
import type { Matcher } from "./matcher.ts";
import type { PacketVerdict } from "./verdict.ts";

/** A packet, what is said of it, and what its reader wants to know of it besides. */
export interface SettledPacket<T> {
  readonly verdict: PacketVerdict;
  readonly oddities: Oddities;
  readonly about: T;
}

/** Holds packets back behind the first whose verdict is pending: 65,536 at most, then the matcher decides it. */
export class CaptureOrder<T> {
  readonly #matcher: Matcher;
  readonly #held: SettledPacket<T>[] = [];
  /** How many went before those that are held. */
  #gone = 0;
  /** Places of the packets whose verdicts are pending, by number, in their order. */
  readonly #pending = new Map<number, number>();

  constructor(matcher: Matcher) {
    this.#matcher = matcher;
  }

  /**
   * Takes the matcher's batch, after every `replay` and after `finish`, and gives the packets whose
   * verdicts stand now: none before all that came before it.
   *
   * @param about what is to be known of the packet at an index of the batch
   */
  take(names: readonly string[], about: (index: number) => T): readonly SettledPacket<T>[] {
    const matcher = this.#matcher;
    const fresh = Array.from({ length: matcher.batch.count }, (_, index) => ({
      verdict: matcher.packetVerdict(index, names),
      oddities: matcher.oddities(index),
      about: about(index),
    }));
    if (this.#held.length === 0 && !fresh.some(({ verdict }) => verdict.pending)) {
      this.#gone += fresh.length;
      return fresh;
    }
    for (const verdict of matcher.lateVerdicts(names)) this.#settle(verdict);
    for (const packet of fresh) {
      const { pending, number } = packet.verdict;
      if (pending) this.#pending.set(number, this.#gone + this.#held.length);
      this.#held.push(packet);
    }
    const [first] = this.#pending.values();
    const settled = this.#held.splice(0, first === undefined ? Infinity : first - this.#gone);
    this.#gone += settled.length;
    return settled;
  }

  #settle(verdict: PacketVerdict): void {
    const place = this.#pending.get(verdict.number);
    const packet = place === undefined ? undefined : this.#held[place - this.#gone];
    if (place === undefined || packet === undefined) return;
    this.#held[place - this.#gone] = { ...packet, verdict };
    if (!verdict.pending) this.#pending.delete(verdict.number);
  }
}
