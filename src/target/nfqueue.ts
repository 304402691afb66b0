/** `-j NFQUEUE`: user space decides. */
import { TARGET_NFQUEUE } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import { parseNumber, parseRange, refuseInvert, useOf, wordOf } from "../match/words.ts";
import type { TargetExtension } from "./extension.ts";

export interface NfqueueTarget {
  readonly kind: "NFQUEUE";
  readonly first: number;
  readonly last: number;
  readonly bypass: boolean;
  readonly fanout: boolean;
}

/** `-j NFQUEUE --queue-num N | --queue-balance A:B [--queue-bypass] [--queue-cpu-fanout]`. */
export const nfqueueTarget: TargetExtension<NfqueueTarget> = {
  kind: "NFQUEUE",
  id: TARGET_NFQUEUE,
  modules: [
    {
      name: "NFQUEUE",
      options: {
        "--queue-num": 1,
        "--queue-balance": 1,
        "--queue-bypass": 0,
        "--queue-cpu-fanout": 0,
      },
      parse(options) {
        refuseInvert(...options);
        const balance = useOf(options, "--queue-balance");
        const single = useOf(options, "--queue-num");
        const fanout = useOf(options, "--queue-cpu-fanout");
        if (single !== undefined && balance !== undefined) {
          throw new RuleError("--queue-num and --queue-balance exclude each other", balance);
        }
        if (fanout !== undefined && balance === undefined) {
          throw new RuleError("--queue-cpu-fanout needs --queue-balance", fanout);
        }
        const number = single === undefined ? 0 : parseNumber(wordOf(single), single, 0xffff);
        const range =
          balance === undefined
            ? { first: number, last: number }
            : parseRange(wordOf(balance), balance, { max: 0xffff });
        const count = range.last - range.first + 1;
        if (balance !== undefined && (count < 2 || count > 0xffff)) {
          throw new RuleError(`--queue-balance ${wordOf(balance)}: expected FIRST:LAST`, balance);
        }
        return {
          kind: "NFQUEUE",
          ...range,
          bypass: useOf(options, "--queue-bypass") !== undefined,
          fanout: fanout !== undefined,
        };
      },
    },
  ],
  render({ first, last, bypass, fanout }) {
    const queue = first === last ? `--queue-num ${first}` : `--queue-balance ${first}:${last}`;
    const flags = `${bypass ? " --queue-bypass" : ""}${fanout ? " --queue-cpu-fanout" : ""}`;
    return `-j NFQUEUE ${queue}${flags}`;
  },
  pack: () => undefined,
};
