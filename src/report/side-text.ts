/** What the current and the proposed policies say of the same packets, in words. */
import type { Judgement, Tuple, Verdict } from "../engine/verdict.ts";
import type { ChangeName } from "./flips.ts";
import { pointsOf } from "./grouping.ts";
import { wrapText } from "./layout.ts";
import { explainReason } from "./reason.ts";
import type { CaptureNature, Judged } from "./reason.ts";
import { pointLines, pointText } from "./text.ts";

/** What both sides say of the first of some that are alike. */
export interface Decided {
  readonly first: {
    readonly before: Tuple & Judgement;
    readonly after: Tuple & Judgement;
  };
}

/** `shop/web -> payments/api 8443/tcp`. */
export function pairText({ from, to, port }: Omit<ChangeName, "change">): string {
  return `${from} -> ${to} ${port}`;
}

const WORDS: Readonly<Record<Verdict, string>> = {
  allow: "allowed",
  drop: "dropped",
  unfiltered: "not filtered",
  unknown: "unknown",
};

/** What happens to a side's packets, and why: `allowed (no policy isolates it for egress)`. */
export function sideText(flow: Judged, nature: CaptureNature): string {
  return `${WORDS[flow.verdict]} (${explainReason(flow, nature)})`;
}

/** The reason says no more than the name of the rule. */
function isRuleAlone(judged: Judged, nature: CaptureNature): boolean {
  return /^\S+ (?:in|e)gress\[\d+\] (?:allows|denies) it$/.test(explainReason(judged, nature));
}

/** What decides on one side. */
export function sideLines(
  side: "before" | "after",
  sides: Decided["first"],
  nature: CaptureNature,
): string[] {
  const judged = sides[side];
  const points = pointsOf(judged);
  const [rule, ...others] = points;
  if (rule?.rule !== undefined && others.length === 0 && isRuleAlone(judged, nature)) {
    return wrapText(`${side}: ${WORDS[judged.verdict]} by ${pointText(rule)}`, 2);
  }
  return [...wrapText(`${side}: ${sideText(judged, nature)}`, 2), ...pointLines(points)];
}

/** What decides on both sides. */
export function reasonLines(sides: Decided["first"], nature: CaptureNature): string[] {
  return [...sideLines("before", sides, nature), ...sideLines("after", sides, nature)];
}

/** What decides, each reason told once in a report: later rows name the row that has it. */
export class ToldReasons {
  readonly #nature: CaptureNature;
  readonly #rows = new Map<string, string>();
  #last: Record<"before" | "after", string> = { before: "", after: "" };

  constructor(nature: CaptureNature) {
    this.#nature = nature;
  }

  /** The lines below a row; none where the row above has the same reasons. */
  tell(sides: Decided["first"], row: string): string[] {
    const { before, after } = this.#last;
    const lines = { before: this.#linesOf("before", sides), after: this.#linesOf("after", sides) };
    this.#last = { before: lines.before.join("\n"), after: lines.after.join("\n") };
    if (this.#last.before === before && this.#last.after === after) return [];
    const rows = (["before", "after"] as const).map((side) =>
      this.#rows.get(`${side} ${this.#last[side]}`),
    );
    const [like] = rows;
    if (like !== undefined && rows[1] === like) {
      return wrapText(`for the same reason as ${like}`, 2);
    }
    return (["before", "after"] as const).flatMap((side) => {
      const key = `${side} ${this.#last[side]}`;
      const told = this.#rows.get(key);
      if (this.#last[side] === (side === "before" ? before : after)) return [`  ${side}: as above`];
      if (told !== undefined) return wrapText(`${side}: as ${told}`, 2);
      this.#rows.set(key, row);
      return lines[side];
    });
  }

  #linesOf(side: "before" | "after", sides: Decided["first"]): string[] {
    return sideLines(side, sides, this.#nature);
  }
}
