/** `-m icmp` and `-m icmp6`: ICMP type, and code where given. */
import { ICMP_TYPE_ANY, MATCH_ICMP } from "../../assembly/layout.ts";
import type { Family } from "../net/address.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

export interface IcmpMatch extends Invertible {
  readonly kind: "icmp";
  /** 4: ICMP; 6: ICMPv6. */
  readonly family: Family;
  /** Undefined: every type. */
  readonly type: number | undefined;
  /** Undefined: every code. */
  readonly code: number | undefined;
}

/**
 * `-m icmp [!] --icmp-type T[/C]`, `-m icmp6 [!] --icmpv6-type T[/C]`. ip6tables has no word for every
 * type; `-p ipv6-icmp`, which a rule with this match has anyway, says the same.
 */
export const icmpMatch: MatchExtension<IcmpMatch> = {
  kind: "icmp",
  id: MATCH_ICMP,
  modules: [],
  render(match) {
    const code = match.code === undefined ? "" : `/${match.code}`;
    if (match.family === 4) {
      return `-m icmp ${bang(match)}--icmp-type ${match.type ?? "any"}${code}`;
    }
    return match.type === undefined
      ? ""
      : `-m icmp6 ${bang(match)}--icmpv6-type ${match.type}${code}`;
  },
  pack(match, writer) {
    writer.u8(match.type ?? ICMP_TYPE_ANY);
    writer.u8(match.code ?? 0);
    writer.u8(match.code ?? 255);
    writer.u8(match.family);
  },
};
