/** `-m tcp`, `-m udp`, `-m sctp` with `--sport` or `--dport`: one port or range on a side. */
import { MATCH_PORT } from "../../assembly/layout.ts";
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import { formatPortRange } from "./multiport.ts";
import type { MatchExtension } from "./extension.ts";

export interface PortMatch {
  readonly kind: "port";
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly sport: PortCondition | undefined;
  readonly dport: PortCondition | undefined;
}

export interface PortCondition {
  readonly first: number;
  readonly last: number;
  readonly invert: boolean;
}

const PROTOCOL = { tcp: PROTOCOL_TCP, udp: PROTOCOL_UDP, sctp: PROTOCOL_SCTP } as const;

/** `-m tcp [!] --sport A[:B] [!] --dport A[:B]`; every port is what a missing option means. */
export const portMatch: MatchExtension<PortMatch> = {
  kind: "port",
  id: MATCH_PORT,
  modules: [],
  render(match) {
    const sport = renderCondition("--sport", match.sport);
    const dport = renderCondition("--dport", match.dport);
    return `-m ${match.protocol}${sport}${dport}`;
  },
  pack(match, writer) {
    for (const condition of [match.sport, match.dport]) {
      writer.u16(condition?.first ?? 0);
      writer.u16(condition?.last ?? 0xffff);
    }
    writer.u8(match.sport?.invert === true ? 1 : 0);
    writer.u8(match.dport?.invert === true ? 1 : 0);
    writer.u8(PROTOCOL[match.protocol]);
    writer.u8(0);
  },
};

function renderCondition(option: string, condition: PortCondition | undefined): string {
  if (condition === undefined) return "";
  if (condition.first === 0 && condition.last === 0xffff && !condition.invert) return "";
  return ` ${condition.invert ? "! " : ""}${option} ${formatPortRange(condition)}`;
}
