/** `-m icmp` and `-m icmp6`: ICMP type, and code where given. */
import type { Invertible } from "./extension.ts";

export interface IcmpMatch extends Invertible {
  readonly kind: "icmp";
  /** Undefined: every type. */
  readonly type: number | undefined;
  /** Undefined: every code. */
  readonly code: number | undefined;
}
