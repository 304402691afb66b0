/** `-m pkttype`: whether the frame was for this host alone. */
import {
  MATCH_PKTTYPE,
  PKTTYPE_BROADCAST,
  PKTTYPE_MULTICAST,
  PKTTYPE_OTHERHOST,
  PKTTYPE_UNICAST,
} from "../../assembly/layout.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { needUse, wordOf } from "./words.ts";

export interface PkttypeMatch extends Invertible {
  readonly kind: "pkttype";
  readonly type: keyof typeof TYPES;
}

const TYPES = {
  unicast: PKTTYPE_UNICAST,
  broadcast: PKTTYPE_BROADCAST,
  multicast: PKTTYPE_MULTICAST,
  // > Dropped before any table sees it.
  otherhost: PKTTYPE_OTHERHOST,
} as const;

const ALIASES: ReadonlyMap<string, keyof typeof TYPES> = new Map([
  ["unicast", "unicast"],
  ["host", "unicast"],
  ["broadcast", "broadcast"],
  ["bcast", "broadcast"],
  ["multicast", "multicast"],
  ["mcast", "multicast"],
  ["otherhost", "otherhost"],
]);

/** `-m pkttype [!] --pkt-type unicast|broadcast|multicast|otherhost`. */
export const pkttypeMatch: MatchExtension<PkttypeMatch> = {
  kind: "pkttype",
  id: MATCH_PKTTYPE,
  modules: [
    {
      name: "pkttype",
      options: { "--pkt-type": 1 },
      parse(options) {
        const use = needUse(options, "--pkt-type");
        const type = ALIASES.get(wordOf(use).toLowerCase());
        if (type === undefined) throw new RuleError(`there is no packet type ${wordOf(use)}`, use);
        return { kind: "pkttype", type, invert: use.invert };
      },
    },
  ],
  render: (match) => `-m pkttype ${bang(match)}--pkt-type ${match.type}`,
  /** PKTTYPE_* u8. */
  pack: (match, writer) => writer.u8(TYPES[match.type]),
};
