/** `-m multiport`: a port is one of up to 15 slots; a range takes two. */
import { MATCH_MULTIPORT, SIDE_DST, SIDE_EITHER, SIDE_SRC } from "../../assembly/layout.ts";
import {
  PROTOCOL_DCCP,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from "../net/protocol.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { needProtocol, parsePort, parseRange, wordOf } from "./words.ts";

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

/** XT_MULTI_PORTS. */
export const MULTIPORT_SLOTS = 15;

/** Slots of one match that a range takes. */
export function portSlots(range: PortRange): number {
  return range.first === range.last ? 1 : 2;
}

const OPTION = { src: "--sports", dst: "--dports", either: "--ports" } as const;
const SIDE = { src: SIDE_SRC, dst: SIDE_DST, either: SIDE_EITHER } as const;

/** `-m multiport [!] --sports|--dports|--ports A,B:C`. The rule has a `-p` that is not negated. */
export const multiportMatch: MatchExtension<MultiportMatch> = {
  kind: "multiport",
  id: MATCH_MULTIPORT,
  modules: [
    {
      name: "multiport",
      options: {
        "--sports": 1,
        "--source-ports": 1,
        "--dports": 1,
        "--destination-ports": 1,
        "--ports": 1,
      },
      parse(options, context) {
        needProtocol(
          context,
          "tcp, udp, udplite, sctp or dccp",
          PROTOCOL_TCP,
          PROTOCOL_UDP,
          PROTOCOL_UDPLITE,
          PROTOCOL_SCTP,
          PROTOCOL_DCCP,
        );
        const [use, second] = options;
        if (use === undefined) throw new RuleError("expected --sports, --dports or --ports", use);
        if (second !== undefined) throw new RuleError("one of its options only", second);
        const ports = wordOf(use)
          .split(",")
          .map((text) => parseRange(text, use, { max: 0xffff }, (end) => parsePort(end, use)));
        if (ports.reduce((sum, range) => sum + portSlots(range), 0) > MULTIPORT_SLOTS) {
          throw new RuleError(`at most ${MULTIPORT_SLOTS} ports; a range counts as two`, use);
        }
        const side = use.name.startsWith("--s")
          ? "src"
          : use.name.startsWith("--d")
            ? "dst"
            : "either";
        return { kind: "multiport", side, ports, invert: use.invert };
      },
    },
  ],
  render(match) {
    const ports = match.ports.map(formatPortRange).join(",");
    return `-m multiport ${bang(match)}${OPTION[match.side]} ${ports}`;
  },
  pack(match, writer) {
    const slots = match.ports.reduce((sum, range) => sum + portSlots(range), 0);
    if (slots > MULTIPORT_SLOTS) throw new Error(`bug: a multiport match of ${slots} slots`);
    writer.u8(SIDE[match.side]);
    writer.u8(match.ports.length);
    writer.u16(0);
    for (const range of match.ports) {
      writer.u16(range.first);
      writer.u16(range.last);
    }
  },
};

/** `80`, or `80:90` for a range. */
export function formatPortRange(range: PortRange): string {
  return range.first === range.last ? `${range.first}` : `${range.first}:${range.last}`;
}
