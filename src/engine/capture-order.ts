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

/** Holds packets back behind the first whose verdict is pending. */
export class CaptureOrder<T> {
  readonly #matcher: Matcher;
  #held: SettledPacket<T>[] = [];

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
    const none = this.#held.length === 0;
    if (none && !fresh.some(({ verdict }) => verdict.pending)) return fresh;
    const late = new Map(matcher.lateVerdicts(names).map((verdict) => [verdict.number, verdict]));
    const all = [
      ...this.#held.map((packet) => ({
        ...packet,
        verdict: late.get(packet.verdict.number) ?? packet.verdict,
      })),
      ...fresh,
    ];
    const pending = all.findIndex(({ verdict }) => verdict.pending);
    const end = pending < 0 ? all.length : pending;
    this.#held = all.slice(end);
    return all.slice(0, end);
  }
}
