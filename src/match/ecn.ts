/** `-m ecn`: the bits of congestion notification in the IP and TCP headers. */
import { ECN_CWR, ECN_ECE, ECN_IP, MATCH_ECN } from "../../assembly/layout.ts";
import { PROTOCOL_TCP } from "../net/protocol.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { needProtocol, parseNumber, useOf, wordOf } from "./words.ts";

/** Undefined: not asked. */
export interface EcnMatch {
  readonly kind: "ecn";
  readonly ip: (Invertible & { readonly value: number }) | undefined;
  /** Inverted: the bit is not set. */
  readonly ece: Invertible | undefined;
  readonly cwr: Invertible | undefined;
}

/** `-m ecn [!] --ecn-tcp-ece [!] --ecn-tcp-cwr [!] --ecn-ip-ect 0..3`. */
export const ecnMatch: MatchExtension<EcnMatch> = {
  kind: "ecn",
  id: MATCH_ECN,
  modules: [
    {
      name: "ecn",
      options: { "--ecn-tcp-ece": 0, "--ecn-tcp-cwr": 0, "--ecn-ip-ect": 1 },
      parse(options, context) {
        const ip = useOf(options, "--ecn-ip-ect");
        const ece = useOf(options, "--ecn-tcp-ece");
        const cwr = useOf(options, "--ecn-tcp-cwr");
        if (options.length === 0) throw new RuleError("expected one of its options", undefined);
        if (ece !== undefined || cwr !== undefined) needProtocol(context, "tcp", PROTOCOL_TCP);
        return {
          kind: "ecn",
          ip:
            ip === undefined
              ? undefined
              : { value: parseNumber(wordOf(ip), ip, 3), invert: ip.invert },
          ece: ece === undefined ? undefined : { invert: ece.invert },
          cwr: cwr === undefined ? undefined : { invert: cwr.invert },
        };
      },
    },
  ],
  render: ({ ip, ece, cwr }) =>
    [
      "-m ecn",
      ...(ece === undefined ? [] : [`${bang(ece)}--ecn-tcp-ece`]),
      ...(cwr === undefined ? [] : [`${bang(cwr)}--ecn-tcp-cwr`]),
      ...(ip === undefined ? [] : [`${bang(ip)}--ecn-ip-ect ${ip.value}`]),
    ].join(" "),
  /** What is asked u8 (ECN_*), what of it is inverted u8, value u8, 0. */
  pack({ ip, ece, cwr }, writer) {
    const asked = [
      [ip, ECN_IP],
      [ece, ECN_ECE],
      [cwr, ECN_CWR],
    ] as const;
    writer.u8(asked.reduce((bits, [use, bit]) => bits | (use === undefined ? 0 : bit), 0));
    writer.u8(asked.reduce((bits, [use, bit]) => bits | (use?.invert === true ? bit : 0), 0));
    writer.u8(ip?.value ?? 0);
    writer.u8(0);
  },
};
