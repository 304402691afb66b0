/**
 * Replays in a process of its own, as a user's command does: what the bench keeps of other sizes, and what it compares
 * with, is in another heap. `node bench/replayer.ts` is that process.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { JudgeOptions } from "../src/cli/judge.ts";
import { replayHere, subjectOf, type Subject, type Traffic } from "./subject.ts";

/** What the process is told first; any message after it asks for one replay. */
interface Told {
  readonly options: JudgeOptions;
  readonly file: string;
}

/** A process that has a subject's rules loaded. */
export class Replayer {
  readonly #child: ChildProcess;

  constructor({ options }: Subject, { file }: Traffic) {
    this.#child = fork(import.meta.filename);
    this.#child.send({ options, file } satisfies Told);
  }

  /** Seconds of one replay. */
  async seconds(): Promise<number> {
    const ended = new AbortController();
    const { signal } = ended;
    try {
      this.#child.send("replay");
      const exit = once(this.#child, "exit", { signal }).then(() => {
        throw new Error("the process that replays has ended");
      });
      const [seconds] = await Promise.race([once(this.#child, "message", { signal }), exit]);
      return Number(seconds);
    } finally {
      ended.abort();
    }
  }

  end(): void {
    this.#child.disconnect();
  }
}

if (process.argv[1] === import.meta.filename) {
  process.once("message", ({ options, file }: Told) => {
    const subject = subjectOf(options, []);
    process.on("message", () => {
      void replayHere(subject, { file }).then(({ seconds }) => process.send!(seconds));
    });
  });
}
