/**
 * SIGINT and SIGTERM as a wish to stop: what was replayed is still reported. A second one ends the process at once.
 */
import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
let received: (typeof SIGNALS)[number] = "SIGINT";

/** Exit code of a command that a signal has ended: 128 and the signal's number. */
export function exitInterrupted(): number {
  return 128 + constants.signals[received];
}

/** Whether the user asked to stop. */
export class Interruption {
  requested = false;
  #wake: () => void = () => undefined;

  /** Listens for the signals until `dispose`. */
  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  dispose(): void {
    for (const signal of SIGNALS) process.removeListener(signal, this.#onSignal);
  }

  /** Waits for work; undefined as soon as the user asks to stop, whether or not the work ends. */
  async race<T>(work: Promise<T>): Promise<T | undefined> {
    if (this.requested) return undefined;
    try {
      return await new Promise<T | undefined>((resolve, reject) => {
        this.#wake = () => resolve(undefined);
        work.then(resolve, reject);
      });
    } finally {
      this.#wake = () => undefined;
    }
  }

  readonly #onSignal = (signal: (typeof SIGNALS)[number]): void => {
    received = signal;
    if (this.requested) {
      // Whatever the process is at: process.exit() may wait for ever (bin.ts).
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
    this.requested = true;
    this.#wake();
  };
}
