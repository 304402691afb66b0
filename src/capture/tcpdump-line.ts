/**
 * One line of pasted text, freed of what mail, terminals and Markdown put around it: `> ` quotes,
 * colours, bold, code ticks, HTML escapes. What the line then says is for the other files.
 */

/** A line as the parsers see it. */
export interface Line {
  /** The cleaned text, indentation kept. */
  readonly text: string;
  /** As it was pasted, without the line end. */
  readonly raw: string;
  /** How many marks of a mail quote were taken off. */
  readonly quotes: number;
}

/** Longest part of a line that is looked at; tcpdump itself never writes one as long. */
export const LINE_MAX = 1 << 16;

/** Cleans one line. */
export function cleanLine(raw: string): Line {
  let text = raw;
  if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
  if (text.endsWith("\r")) text = text.slice(0, -1);
  if (text.includes("\u001b")) text = dropColours(text);
  if (text.includes("&")) text = dropEscapes(text);
  if (text.includes("\u00a0")) text = text.replaceAll("\u00a0", " ");
  const quotes = countQuotes(text);
  if (quotes > 0) text = dropQuotes(text, quotes);
  if (text.includes("**")) text = text.replaceAll("**", "");
  if (text.startsWith("`") && !text.startsWith("```")) text = text.replaceAll("`", "");
  return { text, raw, quotes };
}

/** How far the line is indented; a tab counts as eight. */
export function indentOf(text: string): number {
  let indent = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code !== 32 && code !== 9) break;
    indent += code === 9 ? 8 : 1;
  }
  return indent;
}

/** Where the first character that is no blank is. */
export function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) === 32 || text.charCodeAt(at) === 9) at += 1;
  return at;
}

const ADDRESS_WORD =
  /^(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?:\.[\w+-]+)?|[0-9a-f]{0,4}:[0-9a-f:]*:[0-9a-f.:]*(?:\.[\w+-]+)?)$/i;

/**
 * Finds what looks like a packet in a line that is none: `ADDRESS > X:`, `X > ADDRESS:` or
 * `ADDRESS.PORT: `.
 *
 * @returns the index where it starts; -1 without one
 */
export function findPacketTrace(text: string): number {
  const words = text.split(" ");
  let at = 0;
  for (const [index, word] of words.entries()) {
    const start = at;
    at += word.length + 1;
    if (word === ">") {
      const src = words[index - 1] ?? "";
      const dst = words[index + 1] ?? "";
      if (!dst.endsWith(":")) continue;
      if (isAddressWord(src) || isAddressWord(dst.slice(0, -1)))
        return Math.max(0, start - src.length - 1);
    } else if (word.endsWith(":") && /^(?:\d{1,3}\.){4}[\w+-]+:$/.test(word)) return start;
  }
  return -1;
}

function isAddressWord(word: string): boolean {
  // MAC addresses have six groups of two.
  return (
    word.length < 80 && ADDRESS_WORD.test(word) && !/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(word)
  );
}

/** Takes off `ESC [ ... letter`. */
function dropColours(text: string): string {
  let plain = "";
  let at = 0;
  while (at < text.length) {
    const escape = text.indexOf("\u001b", at);
    if (escape < 0) return plain + text.slice(at);
    plain += text.slice(at, escape);
    at = escape + 1;
    if (text[at] !== "[") continue;
    at += 1;
    while (at < text.length && !/[@-~]/.test(text[at] ?? "")) at += 1;
    at += 1;
  }
  return plain;
}

function dropEscapes(text: string): string {
  return text.replaceAll("&gt;", ">").replaceAll("&lt;", "<").replaceAll("&amp;", "&");
}

/** Counts the marks of `> > `. */
function countQuotes(text: string): number {
  let count = 0;
  let at = skipBlanks(text, 0);
  while (text[at] === ">") {
    count += 1;
    at = skipBlanks(text, at + 1);
  }
  return count;
}

/** Takes the marks off, each with one blank behind it, so that the indentation behind stays. */
function dropQuotes(text: string, count: number): string {
  let at = 0;
  for (let mark = 0; mark < count; mark += 1) at = text.indexOf(">", at) + 1;
  return text.slice(text[at] === " " ? at + 1 : at);
}
