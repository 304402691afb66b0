// `-m statistic`: a draw is no function of the packet, so both outcomes are tried; `nth` counts how
// often it was asked. Source: Linux, xt_statistic.c.
import { ask } from "../fork";
import { touch } from "../journal";
import { MATCH_HEADER_SIZE, REASON_RANDOM, REASON_STATE } from "../layout";
import { drawReason } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const CERTAIN: u32 = 0x80000000;

/** `--mode random`. */
export function matchRandom(match: usize, rule: i32): bool {
  const chance = load<u32>(match, PAYLOAD);
  if (chance == 0) return false;
  if (chance == CERTAIN) return true;
  return ask(0, drawReason(REASON_RANDOM), rule);
}

/** `--mode nth`: true when the count wraps. */
export function matchNth(match: usize, rule: i32): bool {
  const every = load<u32>(match, PAYLOAD);
  const count = load<u32>(match, PAYLOAD + 4);
  if (load<u8>(match, PAYLOAD + 8) != 0) return ask(0, drawReason(REASON_STATE), rule);
  touch(match + PAYLOAD + 4, 4, match + PAYLOAD + 8);
  const wraps = count + 1 >= every;
  store<u32>(match, wraps ? 0 : count + 1, PAYLOAD + 4);
  return wraps;
}
