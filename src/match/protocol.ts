/** `-p`: the IPv4 protocol field, or the IPv6 upper-layer protocol. */
import { MATCH_PROTOCOL } from "../../assembly/layout.ts";
import { protocolName } from "../net/protocol.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

export interface ProtocolMatch extends Invertible {
  readonly kind: "protocol";
  /** 1 to 255. */
  readonly protocol: number;
}

/** `[!] -p NAME`, or the number of a protocol that has no name. */
export const protocolMatch: MatchExtension<ProtocolMatch> = {
  kind: "protocol",
  id: MATCH_PROTOCOL,
  modules: [],
  render: (match) => `${bang(match)}-p ${protocolName(match.protocol)}`,
  pack(match, writer) {
    writer.u8(match.protocol);
    writer.u8(0);
    writer.u16(0);
  },
};
