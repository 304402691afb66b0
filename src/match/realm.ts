/** `-m realm`: the realm of the route that the packet takes. */
import { MATCH_REALM, NUMBER_UNKNOWN } from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension } from "./extension.ts";
import { parseNamedNumber, renderNamedNumber } from "./named-number.ts";
import type { NamedNumber } from "./named-number.ts";
import { needUse } from "./words.ts";

export interface RealmMatch extends NamedNumber {
  readonly kind: "realm";
}

/** What /etc/iproute2/rt_realms calls 0. */
const ZERO = "cosmos";

/** `-m realm [!] --realm VALUE[/MASK]`, IPv4 only. */
export const realmMatch: MatchExtension<RealmMatch> = {
  kind: "realm",
  id: MATCH_REALM,
  modules: [
    {
      name: "realm",
      options: { "--realm": 1 },
      parse(options, { family, chain }) {
        if (family !== 4) throw new RuleError("it is for IPv4 only", undefined);
        if (chain === "PREROUTING") throw new RuleError(`it cannot stand in ${chain}`, undefined);
        return { kind: "realm", ...parseNamedNumber(needUse(options, "--realm"), ZERO) };
      },
    },
  ],
  render: (match) => `-m realm ${renderNamedNumber("--realm", match, ZERO)}`,
  /** Value u32, mask u32, NUMBER_UNKNOWN u8. */
  pack({ value, mask, name }, writer) {
    writer.u32(value);
    writer.u32(mask);
    writer.u8(name === undefined ? 0 : NUMBER_UNKNOWN);
  },
};
