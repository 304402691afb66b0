/** `-i` and `-o`: the interface's name, or its beginning. */
import { MATCH_INTERFACE, SIDE_DST, SIDE_SRC } from "../../assembly/layout.ts";
import { encodeText } from "../net/text-bytes.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

export interface InterfaceMatch extends Invertible {
  readonly kind: "interface";
  readonly side: "in" | "out";
  /** At most 15 characters; without the `+`. */
  readonly name: string;
  /** The name is a beginning (`cali+`). */
  readonly wildcard: boolean;
}

/** IFNAMSIZ, the NUL included. */
const NAME_BYTES = 16;

/** `[!] -i|-o NAME[+]`; a lone `+` that is not negated says nothing and prints nothing. */
export const interfaceMatch: MatchExtension<InterfaceMatch> = {
  kind: "interface",
  id: MATCH_INTERFACE,
  modules: [],
  render(match) {
    if (match.name === "" && match.wildcard && !match.invert) return "";
    const option = match.side === "in" ? "-i" : "-o";
    return `${bang(match)}${option} ${match.name}${match.wildcard ? "+" : ""}`;
  },
  /** The mask covers the NUL of a whole name, and not that of a beginning (xtables_parse_interface). */
  pack(match, writer) {
    const name = encodeText(match.name);
    if (name.length >= NAME_BYTES) throw new Error(`bug: interface name too long: ${match.name}`);
    writer.u8(match.side === "in" ? SIDE_SRC : SIDE_DST);
    writer.u8(0);
    writer.u16(0);
    for (let at = 0; at < NAME_BYTES; at += 4) writer.u32(wordAt(name, at));
    const masked = match.wildcard ? name.length : name.length + 1;
    for (let at = 0; at < NAME_BYTES; at += 4) writer.u32(wordAt(MASK, NAME_BYTES - masked + at));
  },
};

/** As many bytes as a name has, all bits set. */
const MASK = new Uint8Array(NAME_BYTES).fill(0xff);

/** Four bytes, little-endian; those behind the end are 0. */
function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}
