/** The expression that a command line ends in, or a sentence with a caret below what is wrong in it. */
import { existsSync } from "node:fs";
import { escapeControls } from "../errors.ts";
import { isExpressionError, parseExpression } from "../report/expression.ts";
import type { Expression } from "../report/expression.ts";
import { Failure } from "./failure.ts";

/** Parses the last words of a command line; undefined when there are none. */
export function readExpression(words: readonly string[]): Expression | undefined {
  if (words.length === 0) return undefined;
  const text = words.join(" ");
  const parsed = parseExpression(text);
  if (!isExpressionError(parsed)) return parsed;
  const path = words.find((word) => existsSync(word));
  if (path !== undefined) {
    throw new Failure(
      `expression: ${path} is a file, and each file has its option: -r FILE, -f PATH, --proposed PATH, ...`,
    );
  }
  const { message, column } = parsed;
  const caret = `${" ".repeat(column - 1)}^`;
  throw new Failure(`expression: ${message}\n  ${escapeControls(text)}\n  ${caret}`);
}
