/** Asks a matcher about connections that nobody has captured, each on its own. */
import { appendOpening } from "../capture/opening.ts";
import type { Opening } from "../capture/opening.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { PacketVerdict } from "../engine/verdict.ts";

/** The verdicts on their opening packets, in their order. */
export function askAll(matcher: Matcher, openings: readonly Opening[]): PacketVerdict[] {
  const verdicts: PacketVerdict[] = [];
  let asked = 0;
  const settle = (): void => {
    matcher.ask();
    for (let index = 0; index < asked; index++) verdicts.push(matcher.packetVerdict(index, []));
    matcher.batch.clear();
    asked = 0;
  };
  matcher.batch.clear();
  for (const opening of openings) {
    appendOpening(matcher.batch, opening);
    asked++;
    if (matcher.batch.full) settle();
  }
  settle();
  return verdicts;
}
