// The way out of a packet whose route nobody told: rules that look at the out-interface are tried with
// each of the node's, and with none of them, or by manifests with the one that is taken for it else.
import { ask } from "./fork";
import { REASON_NO_ROUTES, REASON_NO_WAY } from "./layout";
import { interfaceNumbers, isNodeInterface } from "./node-interface";
import { isRealNode } from "./route";
import { walk } from "./walk";

const QUESTION_DEPARTURE: u64 = 1 << 57;
const QUESTION_DELIVERY: u64 = 1 << 56;

/** The out-interface that a rule looks at. */
export function outInterfaceFor(rule: i32): u32 {
  if (!walk.outUnknown) return walk.outInterface;
  const real = isRealNode();
  const reason = real ? REASON_NO_ROUTES : REASON_NO_WAY;
  for (let number: u32 = 1; number < interfaceNumbers(); number++) {
    if (!isNodeInterface(number)) continue;
    if (ask(QUESTION_DEPARTURE | number, reason, rule)) return number;
  }
  return real ? 0 : walk.outInterface;
}

/** Whether the packet is for the node itself, where not even that was told. */
export function isPerhapsLocal(rule: i32): bool {
  return ask(QUESTION_DELIVERY, REASON_NO_ROUTES, rule);
}
