/** `-m statistic --mode random`: true with a probability; no function of the packet. */
import type { Invertible } from "./extension.ts";

export interface RandomMatch extends Invertible {
  readonly kind: "random";
  /** 0 to 1. */
  readonly probability: number;
}
