/** `-j CT --notrack` and `-j NOTRACK`: the packet is not tracked. */
import { TARGET_CT } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import type { RuleContext } from "../match/extension.ts";
import { refuseInvert, useOf } from "../match/words.ts";
import type { TargetExtension } from "./extension.ts";

export interface CtTarget {
  readonly kind: "CT";
}

/** `-j CT --notrack`; zones, helpers and timeouts are refused. */
export const ctTarget: TargetExtension<CtTarget> = {
  kind: "CT",
  id: TARGET_CT,
  modules: [
    {
      name: "CT",
      options: {
        "--notrack": 0,
        "--helper": 1,
        "--ctevents": 1,
        "--expevents": 1,
        "--zone": 1,
        "--zone-orig": 1,
        "--zone-reply": 1,
        "--timeout": 1,
      },
      parse(options, context) {
        needRaw(context);
        refuseInvert(...options);
        const other = options.find(({ name }) => name !== "--notrack");
        if (other !== undefined) throw new RuleError(`${other.name} is not modelled`, other);
        if (useOf(options, "--notrack") === undefined) {
          throw new RuleError("expected --notrack", undefined);
        }
        return { kind: "CT" };
      },
    },
    {
      name: "NOTRACK",
      options: {},
      parse(_, context) {
        needRaw(context);
        return { kind: "CT" };
      },
    },
  ],
  render: () => "-j CT --notrack",
  pack: () => undefined,
};

function needRaw({ table }: RuleContext): void {
  if (table !== "raw") throw new RuleError("it can stand in table raw only", undefined);
}
