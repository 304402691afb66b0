/** What a lint of manifests is. A new one is a file with one of these and a line in `index.ts`. */
import type { LintContext } from "./context.ts";
import type { Finding } from "./finding.ts";

/** Finds one kind of trap, in no particular order. */
export type Lint = (context: LintContext) => Iterable<Finding>;
