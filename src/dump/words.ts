/**
 * Lines of iptables-save and ipset save, split into words. Quotes keep blanks together, a backslash
 * keeps the character behind it (libxtables, xtables_save_string).
 */

/** One word of a line. */
export interface Word {
  readonly text: string;
  /** 1-based. */
  readonly column: number;
  /** It stood in quotes, and is never an option. */
  readonly quoted: boolean;
}

/** Splits a line; undefined when a quote is not closed. */
export function splitWords(line: string): Word[] | undefined {
  const words: Word[] = [];
  let at = 0;
  while (true) {
    while (line[at] === " " || line[at] === "\t") at += 1;
    if (at >= line.length) return words;
    const column = at + 1;
    let text = "";
    let quoted = false;
    let quote: string | undefined;
    for (; at < line.length; at += 1) {
      const character = line.charAt(at);
      if (character === "\\" && quote !== undefined) {
        at += 1;
        text += line.charAt(at);
      } else if (character === quote) {
        quote = undefined;
      } else if (quote === undefined && (character === '"' || character === "'")) {
        quote = character;
        quoted = true;
      } else if (quote === undefined && (character === " " || character === "\t")) {
        break;
      } else {
        text += character;
      }
    }
    if (quote !== undefined) return undefined;
    words.push({ text, column, quoted });
  }
}
