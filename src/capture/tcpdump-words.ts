/**
 * A place in the text of a record, and the matching of an expression right there. All expressions of the
 * tcpdump reader are sticky and bounded, so that reading a line takes time in proportion to its length.
 */

/** The text behind the two ends of a packet, and where reading goes on. */
export interface Words {
  readonly text: string;
  at: number;
  /** Behind IPv6 extension headers, where ports are printed on their own. */
  readonly chained: boolean;
}

/** Matches a sticky expression at a place; undefined when it does not match there. */
export function matchAt(expression: RegExp, text: string, at: number): RegExpExecArray | undefined {
  expression.lastIndex = at;
  return expression.exec(text) ?? undefined;
}

/** Matches a sticky expression where the words start. */
export function matchWords(expression: RegExp, words: Words): RegExpExecArray | undefined {
  return matchAt(expression, words.text, words.at);
}

/** Finds a number by the first group of an expression that has no flags. */
export function numberIn(text: string, expression: RegExp, base = 10): number | undefined {
  const digits = expression.exec(text)?.[1];
  return digits === undefined ? undefined : parseInt(digits, base);
}

/** Where the parenthesis at a place is closed; undefined: the text ends before. */
export function closingParenthesis(text: string, open: number): number | undefined {
  let depth = 0;
  for (let at = open; at < text.length; at += 1) {
    if (text[at] === "(") depth += 1;
    else if (text[at] === ")") depth -= 1;
    if (depth === 0) return at;
  }
  return undefined;
}

/** Where TCP's header ends, and the length of its payload stands; undefined: the text ends before. */
export function headEnd(text: string, from: number): number | undefined {
  const length = /, length \d/g;
  length.lastIndex = from;
  return length.exec(text)?.index;
}
