/** `-j TCPMSS`: lowers the maximum segment size that a TCP header announces. */
import { TARGET_TCPMSS } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import { needProtocol, parseNumber, refuseInvert, wordOf } from "../match/words.ts";
import { PROTOCOL_TCP } from "../net/protocol.ts";
import type { TargetExtension } from "./extension.ts";

export interface TcpmssTarget {
  readonly kind: "TCPMSS";
  /** Undefined: what the path lets through. */
  readonly size: number | undefined;
}

/** > XT_TCPMSS_CLAMP_PMTU; as a number it means the same. */
const CLAMP = 0xffff;

/** `-j TCPMSS --set-mss N|--clamp-mss-to-pmtu`. */
export const tcpmssTarget: TargetExtension<TcpmssTarget> = {
  kind: "TCPMSS",
  id: TARGET_TCPMSS,
  modules: [
    {
      name: "TCPMSS",
      options: { "--set-mss": 1, "--clamp-mss-to-pmtu": 0 },
      parse(options, context) {
        refuseInvert(...options);
        needProtocol(context, "tcp", PROTOCOL_TCP);
        const [use, second] = options;
        if (use === undefined) throw new RuleError("expected one of its options", undefined);
        if (second !== undefined) throw new RuleError("one of its options only", second);
        const size = use.name === "--set-mss" ? parseNumber(wordOf(use), use, 0xffff) : CLAMP;
        if (size === CLAMP && ["PREROUTING", "INPUT"].includes(context.chain)) {
          throw new RuleError(`it cannot stand in ${context.chain}`, use);
        }
        return { kind: "TCPMSS", size: size === CLAMP ? undefined : size };
      },
    },
  ],
  render: ({ size }) =>
    size === undefined ? "-j TCPMSS --clamp-mss-to-pmtu" : `-j TCPMSS --set-mss ${size}`,
  /** Size u16, 0xffff for what the path lets through. */
  pack: ({ size }, writer) => writer.u16(size ?? CLAMP),
};
