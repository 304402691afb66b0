/** `-m conntrack --ctstate`: the packet's state is one of those listed. */
import type { Invertible } from "./extension.ts";

export type CtState = "INVALID" | "NEW" | "RELATED" | "ESTABLISHED" | "UNTRACKED" | "SNAT" | "DNAT";

export interface ConntrackMatch extends Invertible {
  readonly kind: "conntrack";
  /** Any of them; at least one. */
  readonly states: readonly CtState[];
}
