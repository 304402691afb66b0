/** `-m string`: a text somewhere in the packet. */
import { MATCH_STRING, STRING_BOYER_MOORE, STRING_IGNORE_CASE } from "../../assembly/layout.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { needUse, parseNumber, refuseInvert, useOf, wordOf } from "./words.ts";

export interface StringMatch extends Invertible {
  readonly kind: "string";
  /** At least one. */
  readonly pattern: readonly number[];
  /** Both find the same, but for texts that lie across fragments: those `bm` may miss. */
  readonly algorithm: "bm" | "kmp";
  /** Where in the packet it may begin, and where it must have ended; counted from the IP header. */
  readonly from: number;
  readonly to: number;
  readonly ignoreCase: boolean;
}

/** > XT_STRING_MAX_PATTERN_SIZE */
const LONGEST = 128;
const TO_MAX = 0xffff;

/** `-m string [!] --string TEXT|--hex-string TEXT --algo bm|kmp [--from N] [--to N] [--icase]`. */
export const stringMatch: MatchExtension<StringMatch> = {
  kind: "string",
  id: MATCH_STRING,
  modules: [
    {
      name: "string",
      options: {
        "--string": 1,
        "--hex-string": 1,
        "--algo": 1,
        "--from": 1,
        "--to": 1,
        "--icase": 0,
      },
      parse(options) {
        const text = needUse(options, "--string", "--hex-string");
        const algorithmUse = needUse(options, "--algo");
        const fromUse = useOf(options, "--from");
        const toUse = useOf(options, "--to");
        const icase = useOf(options, "--icase");
        refuseInvert(algorithmUse, fromUse, toUse, icase);
        const algorithm = wordOf(algorithmUse);
        if (algorithm !== "bm" && algorithm !== "kmp") {
          throw new RuleError("--algo: expected bm or kmp", algorithmUse);
        }
        const pattern =
          text.name === "--string" ? bytesOf(wordOf(text)) : parseHexString(wordOf(text), text);
        if (pattern.length === 0 || pattern.length > LONGEST) {
          throw new RuleError(`${text.name} has 1 to ${LONGEST} bytes`, text);
        }
        return {
          kind: "string",
          pattern,
          algorithm,
          from: fromUse === undefined ? 0 : parseNumber(wordOf(fromUse), fromUse, 0xffff),
          to: toUse === undefined ? TO_MAX : parseNumber(wordOf(toUse), toUse, 0xffff),
          ignoreCase: icase !== undefined,
          invert: text.invert,
        };
      },
    },
  ],
  render(match) {
    const { pattern, algorithm, from, to, ignoreCase } = match;
    return [
      `-m string ${bang(match)}${renderPattern(pattern)} --algo ${algorithm}`,
      ...(from === 0 ? [] : [`--from ${from}`]),
      ...(to === TO_MAX ? [] : [`--to ${to}`]),
      ...(ignoreCase ? ["--icase"] : []),
    ].join(" ");
  },
  /** From u16, to u16, length u8, flags u8 (STRING_*), the bytes; in capitals where case is ignored. */
  pack({ pattern, algorithm, from, to, ignoreCase }, writer) {
    writer.u16(from);
    writer.u16(to);
    writer.u8(pattern.length);
    const boyerMoore = algorithm === "bm" ? STRING_BOYER_MOORE : 0;
    writer.u8((ignoreCase ? STRING_IGNORE_CASE : 0) | boyerMoore);
    for (const byte of pattern) writer.u8(ignoreCase ? capital(byte) : byte);
  },
};

/** > In capitals of Latin-1, as the kernel's toupper() has them. */
function capital(byte: number): number {
  const small = (byte >= 0x61 && byte <= 0x7a) || (byte >= 0xdf && byte <= 0xf6) || byte >= 0xf8;
  return small ? byte - 0x20 : byte;
}

function renderPattern(pattern: readonly number[]): string {
  const printable = pattern.every((byte) => byte >= 0x20 && byte < 0x7f);
  // > A text that ends in a backslash would escape its quotation mark.
  if (!printable || pattern.at(-1) === 0x5c) {
    const digits = pattern.map((byte) => byte.toString(16).padStart(2, "0"));
    return `--hex-string "|${digits.join("")}|"`;
  }
  const text = String.fromCharCode(...pattern);
  return `--string "${text.replace(/["\\]/g, "\\$&")}"`;
}

/** Dumps that are not UTF-8 are read one byte to a character. */
function bytesOf(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

/** Text with bytes in hexadecimal between bars; a backslash takes the next character as it is. */
function parseHexString(text: string, use: OptionUse): number[] {
  const bytes: number[] = [];
  const pieces = text.matchAll(/\\(.)|\|([0-9a-f\s]*)\||([^\\|]+)|(.)/gis);
  for (const [, escaped, hex, plain, fault] of pieces) {
    if (fault !== undefined) {
      throw new RuleError(`${use.name}: expected bytes between two bars`, use);
    }
    const digits = hex?.replace(/\s/g, "") ?? "";
    if (digits.length % 2 !== 0) throw new RuleError(`${use.name}: half a byte`, use);
    for (let at = 0; at < digits.length; at += 2) {
      bytes.push(Number.parseInt(digits.slice(at, at + 2), 16));
    }
    bytes.push(...bytesOf(escaped ?? plain ?? ""));
  }
  return bytes;
}
