/** `-m state`: as `-m conntrack --ctstate`, with the states of old. */
import {
  CT_ESTABLISHED,
  CT_INVALID,
  CT_NEW,
  CT_RELATED,
  CT_UNTRACKED,
  MATCH_STATE,
} from "../../assembly/layout.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { needUse, wordOf } from "./words.ts";

export type OldState = "INVALID" | "NEW" | "RELATED" | "ESTABLISHED" | "UNTRACKED";

export interface StateMatch extends Invertible {
  readonly kind: "state";
  /** Any of them; at least one. */
  readonly states: readonly OldState[];
}

/** In the order of libxt_state's state_print. */
const BIT_BY_STATE: Readonly<Record<OldState, number>> = {
  INVALID: CT_INVALID,
  NEW: CT_NEW,
  RELATED: CT_RELATED,
  ESTABLISHED: CT_ESTABLISHED,
  UNTRACKED: CT_UNTRACKED,
};

function isState(text: string): text is OldState {
  return Object.hasOwn(BIT_BY_STATE, text);
}

/** `-m state [!] --state A,B`, the states always in the same order. */
export const stateMatch: MatchExtension<StateMatch> = {
  kind: "state",
  id: MATCH_STATE,
  modules: [
    {
      name: "state",
      options: { "--state": 1 },
      parse(options) {
        const use = needUse(options, "--state");
        const states = wordOf(use)
          .split(",")
          .map((text) => {
            const state = text.toUpperCase();
            if (!isState(state)) throw new RuleError(`there is no state ${text}`, use);
            return state;
          });
        return { kind: "state", states, invert: use.invert };
      },
    },
  ],
  render(match) {
    const listed = Object.keys(BIT_BY_STATE).filter((state) =>
      match.states.some((given) => given === state),
    );
    return `-m state ${bang(match)}--state ${listed.join(",")}`;
  },
  pack(match, writer) {
    writer.u8(match.states.reduce((bits, state) => bits | BIT_BY_STATE[state], 0));
  },
};
