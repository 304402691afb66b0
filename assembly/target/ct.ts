// CT and NOTRACK: how, and whether, conntrack follows the packet. Source: Linux, xt_CT.c.
import { expectOthers } from "../expectation";
import { CT_TARGET_HELPER, CT_TARGET_NOTRACK, CT_TARGET_UNKNOWN, CT_UNTRACKED } from "../layout";
import { walk } from "../walk";

/** > The first such target of a packet counts. */
export function applyCt(payload: usize, rule: i32): void {
  if (walk.templated) return;
  walk.templated = true;
  const flags: u32 = load<u8>(payload);
  walk.notrack = (flags & CT_TARGET_NOTRACK) != 0;
  // Rules behind it in raw see it.
  if (walk.notrack) walk.ctState = CT_UNTRACKED;
  walk.trackingUnknown = (flags & CT_TARGET_UNKNOWN) != 0;
  if ((flags & CT_TARGET_HELPER) != 0) expectOthers(rule);
}
