/** `-s` and `-d`: the source or destination address lies in a prefix. */
import type { Prefix } from "../net/address.ts";
import type { Invertible } from "./extension.ts";

export interface AddressMatch extends Invertible {
  readonly kind: "address";
  readonly side: "src" | "dst";
  readonly prefix: Prefix;
}
