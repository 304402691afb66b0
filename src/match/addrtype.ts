/** `-m addrtype`: the address belongs to the judged node. Only `LOCAL` is modelled. */
import type { Invertible } from "./extension.ts";

export interface AddrtypeMatch extends Invertible {
  readonly kind: "addrtype";
  readonly side: "src" | "dst";
  readonly type: "LOCAL";
}
