/** `-m set --match-set`: fields of the packet are a member of an ipset. */
import type { Invertible } from "./extension.ts";

export interface SetMatch extends Invertible {
  readonly kind: "set";
  readonly set: string;
  /** One for each dimension of the set. */
  readonly flags: readonly ("src" | "dst")[];
}
