/**
 * SIGINT and SIGTERM as a wish to stop: what was replayed is still reported. A second one ends the process at once.
 */
import { EXIT_INTERRUPTED } from "./failure.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

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

  readonly #onSignal = (): void => {
    if (this.requested) process.exit(EXIT_INTERRUPTED);
    this.requested = true;
    this.#wake();
  };
}
