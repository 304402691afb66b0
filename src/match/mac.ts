/** `-m mac`: the Ethernet source address. */
import { MATCH_MAC } from "../../assembly/layout.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { needUse, wordOf } from "./words.ts";

export interface MacMatch extends Invertible {
  readonly kind: "mac";
  /** Six bytes. */
  readonly mac: readonly number[];
}

/** `-m mac [!] --mac-source XX:XX:XX:XX:XX:XX`. */
export const macMatch: MatchExtension<MacMatch> = {
  kind: "mac",
  id: MATCH_MAC,
  modules: [
    {
      name: "mac",
      options: { "--mac-source": 1 },
      parse(options) {
        const use = needUse(options, "--mac-source");
        const mac = parseMac(wordOf(use));
        if (mac === undefined) throw new RuleError("--mac-source: expected XX:XX:XX:XX:XX:XX", use);
        return { kind: "mac", mac, invert: use.invert };
      },
    },
  ],
  render: ({ mac, ...match }) => `-m mac ${bang(match)}--mac-source ${formatMac(mac)}`,
  /** Six bytes as they lie in a frame, 0 u16. */
  pack(match, writer) {
    for (const byte of match.mac) writer.u8(byte);
    writer.u16(0);
  },
};

/** Six bytes in hexadecimal; undefined when it is none. */
export function parseMac(text: string): number[] | undefined {
  if (!/^([0-9a-f]{1,2}:){5}[0-9a-f]{1,2}$/i.test(text)) return undefined;
  return text.split(":").map((byte) => parseInt(byte, 16));
}

/** As iptables-save prints it. */
function formatMac(mac: readonly number[]): string {
  return mac.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
