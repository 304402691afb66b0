/** `-i` and `-o`: the interface's name, or its beginning. */
import type { Invertible } from "./extension.ts";

export interface InterfaceMatch extends Invertible {
  readonly kind: "interface";
  readonly side: "in" | "out";
  /** At most 15 characters; without the `+`. */
  readonly name: string;
  /** The name is a beginning (`cali+`). */
  readonly wildcard: boolean;
}
