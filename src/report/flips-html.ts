/** A what-if as a page, to be kept with a run or sent to somebody: the text, as it is. */
import type { FlipContext } from "./flips.ts";
import { headlineText, whatIfText } from "./flips-text.ts";
import { MARKED, page, preformatted } from "./html.ts";
import type { WhatIfReport } from "./what-if.ts";

/** Formats a what-if as a page. */
export function whatIfHtml(report: WhatIfReport, context: FlipContext): string {
  return page(headlineText(report), [preformatted(whatIfText(report, context, MARKED))]);
}
