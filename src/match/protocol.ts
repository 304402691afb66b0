/** `-p`: the IPv4 protocol field, or the IPv6 upper-layer protocol. */
import type { Invertible } from "./extension.ts";

export interface ProtocolMatch extends Invertible {
  readonly kind: "protocol";
  /** 1 to 255. */
  readonly protocol: number;
}
