/** `-m mark`: (packet mark & mask) == value. */
import type { Invertible } from "./extension.ts";

export interface MarkMatch extends Invertible {
  readonly kind: "mark";
  readonly value: number;
  readonly mask: number;
}
