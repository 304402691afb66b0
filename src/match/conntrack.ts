/** `-m conntrack --ctstate`: the packet's state is one of those listed. */
import {
  CT_DNAT,
  CT_ESTABLISHED,
  CT_INVALID,
  CT_NEW,
  CT_RELATED,
  CT_SNAT,
  CT_UNTRACKED,
  MATCH_CONNTRACK,
} from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

export type CtState = "INVALID" | "NEW" | "RELATED" | "ESTABLISHED" | "UNTRACKED" | "SNAT" | "DNAT";

export interface ConntrackMatch extends Invertible {
  readonly kind: "conntrack";
  /** Any of them; at least one. */
  readonly states: readonly CtState[];
}

/** In the order of libxt_conntrack's state_print. */
const BIT_BY_STATE: Readonly<Record<CtState, number>> = {
  INVALID: CT_INVALID,
  NEW: CT_NEW,
  RELATED: CT_RELATED,
  ESTABLISHED: CT_ESTABLISHED,
  UNTRACKED: CT_UNTRACKED,
  SNAT: CT_SNAT,
  DNAT: CT_DNAT,
};

/** `-m conntrack [!] --ctstate A,B`, the states always in the same order. */
export const conntrackMatch: MatchExtension<ConntrackMatch> = {
  kind: "conntrack",
  id: MATCH_CONNTRACK,
  modules: [],
  render(match) {
    const listed = Object.keys(BIT_BY_STATE).filter((state) =>
      match.states.some((given) => given === state),
    );
    return `-m conntrack ${bang(match)}--ctstate ${listed.join(",")}`;
  },
  pack(match, writer) {
    writer.u8(match.states.reduce((bits, state) => bits | BIT_BY_STATE[state], 0));
    writer.u8(0);
    writer.u16(0);
  },
};
