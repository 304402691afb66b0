/** `-m multiport`: a port is one of up to 15 slots; a range takes two. */
import type { Invertible } from "./extension.ts";

export interface PortRange {
  /** Inclusive; equal for one port. */
  readonly first: number;
  readonly last: number;
}

export interface MultiportMatch extends Invertible {
  readonly kind: "multiport";
  readonly side: "src" | "dst" | "either";
  readonly ports: readonly PortRange[];
}
