/** What begins an endpoint's chain: packets of which conntrack knows all that is to be said. */
import type { FelixSettings } from "../cluster/snapshot.ts";
import type { Direction } from "../policy/model.ts";
import type { Rule } from "./model.ts";
import { ACCEPT, DROP, makeRule, stateIs } from "./rule.ts";

const ACCEPT_ESTABLISHED = makeRule({
  matches: [stateIs("RELATED", "ESTABLISHED")],
  target: ACCEPT,
});
const DROP_INVALID = makeRule({ matches: [stateIs("INVALID")], target: DROP });

/** ACCEPT ends the table: the other endpoint's chain is not asked about an established flow. */
export function conntrackRules(direction: Direction, { dropsInvalid }: FelixSettings): Rule[] {
  return [
    { ...ACCEPT_ESTABLISHED, origin: { kind: "established", direction } },
    ...(dropsInvalid ? [dropInvalid(direction)] : []),
  ];
}

/** Drops what conntrack can make nothing of. */
export function dropInvalid(direction: Direction): Rule {
  return { ...DROP_INVALID, origin: { kind: "invalid", direction } };
}
