// `-m statistic`: a draw is no function of the packet, so both outcomes are tried; `nth` counts how
// often it was asked. Source: Linux, xt_statistic.c.
import { ask } from "../fork";
import { touchRange } from "../journal";
import { MATCH_HEADER_SIZE, REASON_RANDOM, REASON_STATE } from "../layout";
import { Range } from "../range";
import { drawReason } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const CERTAIN: u32 = 0x80000000;
// Range: how often it was asked, so that it matches when that comes to a multiple.
const ASKED: usize = PAYLOAD + 4;

/** `--mode random`. */
export function matchRandom(match: usize, rule: i32): bool {
  const chance = load<u32>(match, PAYLOAD);
  if (chance == 0) return false;
  if (chance == CERTAIN) return true;
  return ask(0, drawReason(REASON_RANDOM), rule);
}

/** `--mode nth`: true when the count comes to a multiple. */
export function matchNth(match: usize, rule: i32): bool {
  const every: i64 = load<u32>(match, PAYLOAD);
  const asked = changetype<Range>(match + ASKED);
  touchRange(asked);
  asked.most++;
  asked.least++;
  const multiple = asked.most - (asked.most % every);
  if (multiple < asked.least) return false;
  if (asked.most == asked.least || every == 1) return true;
  if (ask(0, drawReason(REASON_STATE), rule)) {
    // Where several are possible, it is one of them.
    asked.most = multiple;
    asked.least = asked.least + every - 1 - ((asked.least + every - 1) % every);
    return true;
  }
  if (asked.most == multiple) asked.most--;
  if (asked.least % every == 0) asked.least++;
  return false;
}

/** The rule may have been asked, or not, how often ever. */
export function blurNth(match: usize): void {
  changetype<Range>(match + ASKED).most += load<u32>(match, PAYLOAD);
}
