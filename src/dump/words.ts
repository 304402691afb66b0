/**
 * Lines of iptables-save and ipset save, split into words. Double quotes keep blanks together; in those
 * of iptables a backslash keeps the character behind it (libxtables, xtables_save_string).
 */

/** One word of a line. */
export interface Word {
  readonly text: string;
  /** 1-based. */
  readonly column: number;
  /** It stood in quotes, and is never an option. */
  readonly quoted: boolean;
}

/** Splits a line; undefined when a quote is not closed. > ipset knows no backslash. */
export function splitWords(line: string, escapes = true): Word[] | undefined {
  const words: Word[] = [];
  let at = 0;
  while (true) {
    while (line[at] === " " || line[at] === "\t") at += 1;
    if (at >= line.length) return words;
    const column = at + 1;
    let text = "";
    let quoted = false;
    let open = false;
    for (; at < line.length; at += 1) {
      const character = line.charAt(at);
      if (escapes && character === "\\" && open) {
        at += 1;
        text += line.charAt(at);
      } else if (character === '"') {
        open = !open;
        quoted = true;
      } else if (!open && (character === " " || character === "\t")) {
        break;
      } else {
        text += character;
      }
    }
    if (open) return undefined;
    words.push({ text, column, quoted });
  }
}
