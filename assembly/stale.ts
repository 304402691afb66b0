// What was said before manners got new numbers does not hold any more, and is not found again. Where there may be much of
// it (a rule that changes a set has everything forgotten each time), its memory is taken back.
import { entryAt, entryLimit } from "./entry-list";
import { forgetHeard } from "./heard";
import { firstManner } from "./manner";
import { forgetMemos } from "./memo";
import { sayingCount, takeSayingsBack } from "./saying";

// Less is not worth a look at all connections; of these it is as many more as one in so many.
const STALE_MIN: u32 = 4096;
const PART: u32 = 16;

// The manner that counted first when it was done last.
let done: u32 = 1;

/** Takes back what is stale. Precondition: no packet is under way, nor waits to be remembered by what was said of it. */
export function takeStaleBack(): void {
  if (firstManner() == done) return;
  if (sayingCount() < max(STALE_MIN, entryLimit() / PART)) return;
  for (let number: u32 = 0; number < entryLimit(); number++) forgetHeard(entryAt(number));
  forgetMemos();
  takeSayingsBack();
  done = firstManner();
}
