/** `-j TPROXY`: hands the packet to a socket of the node, whatever its destination. */
import { TARGET_TPROXY } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import { hex } from "../match/mark.ts";
import {
  needProtocol,
  needUse,
  parseNumber,
  parseRuleAddress,
  parseValueMask,
  refuseInvert,
  useOf,
  wordOf,
} from "../match/words.ts";
import { formatAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import type { TargetExtension } from "./extension.ts";

export interface TproxyTarget {
  readonly kind: "TPROXY";
  /** All zero: that of the interface. */
  readonly address: Address;
  readonly port: number;
  /** mark = (mark & ~mask) ^ value. */
  readonly value: number;
  readonly mask: number;
}

/** `-j TPROXY --on-port N [--on-ip ADDRESS] [--tproxy-mark V/M]`. */
export const tproxyTarget: TargetExtension<TproxyTarget> = {
  kind: "TPROXY",
  id: TARGET_TPROXY,
  modules: [
    {
      name: "TPROXY",
      options: { "--on-port": 1, "--on-ip": 1, "--tproxy-mark": 1 },
      parse(options, context) {
        const { family, table, chain } = context;
        if (table !== "mangle" || ["INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].includes(chain)) {
          throw new RuleError("it can stand in PREROUTING of table mangle only", undefined);
        }
        needProtocol(context, "tcp or udp", PROTOCOL_TCP, PROTOCOL_UDP);
        refuseInvert(...options);
        const port = needUse(options, "--on-port");
        const address = useOf(options, "--on-ip");
        const mark = useOf(options, "--tproxy-mark");
        return {
          kind: "TPROXY",
          address:
            address === undefined
              ? { family, words: [0, 0, 0, 0] }
              : parseRuleAddress(wordOf(address), address, family),
          port: parseNumber(wordOf(port), port, 0xffff),
          ...(mark === undefined ? { value: 0, mask: 0 } : parseValueMask(mark)),
        };
      },
    },
  ],
  render: ({ address, port, value, mask }) =>
    `-j TPROXY --on-port ${port} --on-ip ${formatAddress(address)} --tproxy-mark ${hex(value)}/${hex(mask)}`,
  /** Value u32, mask u32. */
  pack({ value, mask }, writer) {
    writer.u32(value >>> 0);
    writer.u32(mask >>> 0);
  },
};
