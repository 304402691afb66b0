/** `-j ECN`: sets or clears the bits of congestion notification in the IP and TCP headers. */
import { ECN_CWR, ECN_ECE, ECN_IP, TARGET_ECN } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import type { OptionUse } from "../match/extension.ts";
import { needProtocol, parseNumber, refuseInvert, useOf, wordOf } from "../match/words.ts";
import { PROTOCOL_TCP } from "../net/protocol.ts";
import type { TargetExtension } from "./extension.ts";

/** Undefined: left as it is. */
export interface EcnTarget {
  readonly kind: "ECN";
  readonly ip: number | undefined;
  readonly ece: number | undefined;
  readonly cwr: number | undefined;
}

/** `-j ECN --ecn-tcp-remove`, and `--ecn-tcp-ece`, `--ecn-tcp-cwr`, `--ecn-ip-ect` that set a value. */
export const ecnTarget: TargetExtension<EcnTarget> = {
  kind: "ECN",
  id: TARGET_ECN,
  modules: [
    {
      name: "ECN",
      options: {
        "--ecn-tcp-remove": 0,
        "--ecn-tcp-ece": 1,
        "--ecn-tcp-cwr": 1,
        "--ecn-ip-ect": 1,
      },
      parse(options, context) {
        refuseInvert(...options);
        if (options.length === 0) throw new RuleError("expected one of its options", undefined);
        if (context.family !== 4) throw new RuleError("it is for IPv4 only", undefined);
        if (context.table !== "mangle") {
          throw new RuleError("it can stand in table mangle only", undefined);
        }
        const removes = useOf(options, "--ecn-tcp-remove") !== undefined;
        const ece = valueOf(useOf(options, "--ecn-tcp-ece"), 1);
        const cwr = valueOf(useOf(options, "--ecn-tcp-cwr"), 1);
        if (removes || ece !== undefined || cwr !== undefined) {
          needProtocol(context, "tcp", PROTOCOL_TCP);
        }
        return {
          kind: "ECN",
          ip: valueOf(useOf(options, "--ecn-ip-ect"), 3),
          ece: ece ?? (removes ? 0 : undefined),
          cwr: cwr ?? (removes ? 0 : undefined),
        };
      },
    },
  ],
  render({ ip, ece, cwr }) {
    if (ece === 0 && cwr === 0 && ip === undefined) return "-j ECN --ecn-tcp-remove";
    return [
      "-j ECN",
      ...(ece === undefined ? [] : [`--ecn-tcp-ece ${ece}`]),
      ...(cwr === undefined ? [] : [`--ecn-tcp-cwr ${cwr}`]),
      ...(ip === undefined ? [] : [`--ecn-ip-ect ${ip}`]),
    ].join(" ");
  },
  /** What is changed u8 (ECN_*), which bits of TCP are set u8, value for IP u8. */
  pack({ ip, ece, cwr }, writer) {
    writer.u8(
      (ip === undefined ? 0 : ECN_IP) |
        (ece === undefined ? 0 : ECN_ECE) |
        (cwr === undefined ? 0 : ECN_CWR),
    );
    writer.u8((ece === 1 ? ECN_ECE : 0) | (cwr === 1 ? ECN_CWR : 0));
    writer.u8(ip ?? 0);
  },
};

function valueOf(use: OptionUse | undefined, max: number): number | undefined {
  return use === undefined ? undefined : parseNumber(wordOf(use), use, max);
}
