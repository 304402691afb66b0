/** `-j TCPOPTSTRIP`: overwrites options of a TCP header with ones that do nothing. */
import { TARGET_TCPOPTSTRIP } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import { needProtocol, needUse, parseNumber, refuseInvert, wordOf } from "../match/words.ts";
import { PROTOCOL_TCP } from "../net/protocol.ts";
import type { TargetExtension } from "./extension.ts";

export interface TcpoptstripTarget {
  readonly kind: "TCPOPTSTRIP";
  /** Ascending. */
  readonly options: readonly number[];
}

const NAMES: ReadonlyMap<string, number> = new Map([
  ["mss", 2],
  ["wscale", 3],
  ["sack-permitted", 4],
  ["sack", 5],
  ["timestamp", 8],
  ["md5", 19],
]);

/** `-j TCPOPTSTRIP --strip-options A,B`. */
export const tcpoptstripTarget: TargetExtension<TcpoptstripTarget> = {
  kind: "TCPOPTSTRIP",
  id: TARGET_TCPOPTSTRIP,
  modules: [
    {
      name: "TCPOPTSTRIP",
      options: { "--strip-options": 1 },
      parse(options, context) {
        refuseInvert(...options);
        needProtocol(context, "tcp", PROTOCOL_TCP);
        if (context.table !== "mangle") {
          throw new RuleError("it can stand in table mangle only", undefined);
        }
        const use = needUse(options, "--strip-options");
        const numbers = wordOf(use)
          .split(",")
          .map((each) => NAMES.get(each) ?? parseNumber(each, use, 255, 2));
        return {
          kind: "TCPOPTSTRIP",
          options: [...new Set(numbers)].sort((one, other) => one - other),
        };
      },
    },
  ],
  render: ({ options }) => `-j TCPOPTSTRIP --strip-options ${options.join(",")}`,
  /** A bit for each option, 8 words. */
  pack({ options }, writer) {
    for (let first = 0; first < 256; first += 32) {
      const own = options.filter((each) => each >= first && each < first + 32);
      writer.u32(own.reduce((bits, each) => bits | (1 << (each - first)), 0) >>> 0);
    }
  },
};
