/** `-m multiport`: a port is one of up to 15 slots; a range takes two. */
import { MATCH_MULTIPORT, SIDE_DST, SIDE_EITHER, SIDE_SRC } from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

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
  modules: [],
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
