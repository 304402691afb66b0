/** Rules for what an implementation of the API does by itself, and for what is not known of it. */
import type { Match } from "../match/index.ts";
import type { Dialect, DialectQuestion } from "../policy/dialect.ts";
import type { Target } from "../target/index.ts";
import type { Rule } from "./model.ts";
import { makeRule } from "./rule.ts";

/** Whether it holds is not known. */
export const OPEN: Match = { kind: "opaque", name: "dialect", text: "" };

interface Parts {
  readonly matches: readonly Match[];
  readonly target: Target;
}

/** Makes a rule that holds or not: both are tried. */
export function openRule(
  { title }: Dialect,
  question: DialectQuestion,
  { matches, target }: Parts,
): Rule {
  const about = { question, dialect: title };
  const origin = { kind: "dialect", answer: "open", about } as const;
  return makeRule({ matches: [...matches, OPEN], target, origin });
}

/** Makes a rule for what is certain, whatever policies say. */
export function doesRule(
  { title }: Dialect,
  question: DialectQuestion,
  answer: "allow" | "drop",
  parts: Parts,
): Rule {
  const about = { question, dialect: title };
  return makeRule({ ...parts, origin: { kind: "dialect", answer, about } });
}
