/**
 * What the text of a scalar stands for: a plain one by the core schema of YAML 1.2, and by 1.1 where kubectl's
 * reader still follows that; a quoted one with its escapes; the lines of one in a block.
 */
import { Unread } from "./unread.ts";

/** A plain scalar as kubectl reads it. */
export function resolvePlain(text: string): unknown {
  if (looksNumeric(text)) {
    if (/^(0|[1-9]\d{0,14})$/.test(text)) return Number(text);
    return resolveOldPlain(text) ?? resolveFloat(text);
  }
  if (text.length > WORD_MAX) return text;
  const word = WORDS.get(text);
  return word === undefined ? (resolveOldPlain(text) ?? text) : word;
}

/**
 * What a plain scalar is by YAML 1.1 and not by 1.2, as kubectl reads it: `on` is a boolean, `010` eight, `0b11` three,
 * `-0x10` and `1_000` numbers. Undefined where both say the same, or 1.1 is not heeded.
 * Source: sigs.k8s.io/yaml, resolve.go of its goyaml.v2; Go, strconv.ParseInt() with base 0.
 */
export function resolveOldPlain(text: string): boolean | number | undefined {
  if (/^(yes|Yes|YES|on|On|ON)$/.test(text)) return true;
  if (/^(no|No|NO|off|Off|OFF)$/.test(text)) return false;
  return /^[-+\d]/.test(text) ? resolveNumber(text.replaceAll("_", "")) : undefined;
}

function resolveNumber(text: string): number | undefined {
  const whole = /^([-+]?)(?:0[bB]([01]+)|0[oO]?([0-7]+)|0[xX]([\da-fA-F]+)|(0|[1-9]\d*))$/.exec(
    text,
  );
  if (whole === null) return FLOAT.test(text) ? Number.parseFloat(text) : undefined;
  const [, sign, binary, octal, hex, decimal] = whole;
  const radixes = [
    [binary, 2],
    [octal, 8],
    [hex, 16],
    [decimal, 10],
  ] as const;
  for (const [digits, radix] of radixes) {
    if (digits === undefined) continue;
    const size = Number.parseInt(digits, radix);
    // No zero has a sign.
    return sign === "-" && size !== 0 ? -size : size;
  }
  return undefined;
}

const FLOAT = /^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$/;

/** Tells whether a plain key is the string that it is written as. */
export function isStringKey(text: string): boolean {
  if (text === "<<" || text.includes("\t")) return false;
  if (!looksNumeric(text)) {
    return text.length > WORD_MAX || (!WORDS.has(text) && resolveOldPlain(text) === undefined);
  }
  return (
    /^(0|[1-9]\d{0,14})$/.test(text) || (resolveOldPlain(text) === undefined && !isNumeric(text))
  );
}

function resolveFloat(text: string): number | string {
  if (FLOAT.test(text)) return Number.parseFloat(text);
  if (isNumeric(text)) throw new Unread();
  return text;
}

/** Plain words that the core schema of YAML 1.2 takes for no strings. */
const WORDS: ReadonlyMap<string, boolean | null> = new Map<string, boolean | null>([
  ["true", true],
  ["True", true],
  ["TRUE", true],
  ["false", false],
  ["False", false],
  ["FALSE", false],
  ["null", null],
  ["Null", null],
  ["NULL", null],
  ["~", null],
]);

/** Length of the longest word that is no string. */
const WORD_MAX = 5;

/** Tells whether text begins as numbers do. */
function looksNumeric(text: string): boolean {
  const code = text.charCodeAt(0);
  return (code >= 0x30 && code <= 0x39) || code === 0x2b || code === 0x2d || code === 0x2e;
}

/** Tells whether the core schema or kubectl may take a plain scalar for a number. */
function isNumeric(text: string): boolean {
  const number = /^[-+]?(\d[\d_]*|0[xo][\da-fA-F]+|(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?)$/;
  return number.test(text) || /^[-+]?\.(inf|nan)$/i.test(text);
}

/** The text of a block's lines. @param indicator the characters that begin the block, as `|-` */
export function chomp(lines: readonly string[], indicator: string): string {
  let count = lines.length;
  while (count > 0 && lines[count - 1] === "") count -= 1;
  const content = lines.slice(0, count);
  const folded = indicator.startsWith(">");
  // Lines that are empty or further to the right are not folded as others are.
  if (folded && content.some((line) => line === "" || line.startsWith(" "))) throw new Unread();
  const text = content.join(folded ? " " : "\n");
  if (indicator.endsWith("-")) return text;
  return `${text}\n${indicator.endsWith("+") ? "\n".repeat(lines.length - count) : ""}`;
}

const ESCAPED: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

/** The text of a double-quoted scalar, by the escapes that JSON has, too. */
export function unescape(text: string): string {
  return text.replace(/\\(u[0-9a-fA-F]{4}|[^])/g, (_, escape: string) => {
    if (escape.length === 5) return String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    const character = ESCAPED.get(escape);
    if (character === undefined) throw new Unread();
    return character;
  });
}
