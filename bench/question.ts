/** What a question is asked with, and what it answers. */
import type { Measured } from "./measure.ts";

/** One question; each has a file of its own in questions/. */
export interface Question {
  readonly name: string;
  /** The question in words. */
  readonly asks: string;
  answer(asking: Asking): Promise<void>;
}

/** What all questions share. */
export interface Asking {
  /** All sizes, for hours if need be; else what fits into three minutes. */
  readonly full: boolean;
  /** Keeps the answer to one size. The first task is the one the others are compared with. */
  add(group: Omit<Group, "question">): void;
  /** Keeps a number that is no time. */
  note(name: string, value: number, unit: string): void;
  /** Says which answers were compared before anything was timed. A mismatch ends the run. */
  checked(what: string, compared: number, mismatches: number): void;
  /** A rival that is not here. */
  missing(rival: string, why: string): void;
  /** Says on standard error what is under way. */
  progress(words: string): void;
}

/** Tasks that were measured in turn. */
export interface Group {
  readonly question: string;
  /** What a size means here: `1,000 rules, established`. */
  readonly size: string;
  /** For plots: the size as a number. */
  readonly at?: number;
  readonly unit: "packets" | "lines" | "runs";
  readonly tasks: readonly Measured[];
}

/** A number that is no time: memory, a share. */
export interface Note {
  readonly question: string;
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** Answers that were compared. */
export interface Check {
  readonly question: string;
  readonly what: string;
  readonly compared: number;
  readonly mismatches: number;
}

/** A rival that was not there. */
export interface Missing {
  readonly question: string;
  readonly rival: string;
  readonly why: string;
}

/** A whole run, as `--json` prints it. */
export interface Results {
  readonly date: string;
  readonly command: string;
  readonly machine: {
    readonly processor: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly system: string;
    readonly node: string;
    /** Of the last fifteen minutes, when the run began: other work on the machine. */
    readonly loadAverage: number;
  };
  readonly groups: readonly Group[];
  readonly notes: readonly Note[];
  readonly checks: readonly Check[];
  readonly missing: readonly Missing[];
}
