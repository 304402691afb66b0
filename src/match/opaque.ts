/** A match that is not modelled: whether it holds is not known, and the rule says so where that matters. */
import { MATCH_OPAQUE } from "../../assembly/layout.ts";
import type { MatchExtension } from "./extension.ts";

export interface OpaqueMatch {
  readonly kind: "opaque";
  /** As in `-m NAME`. */
  readonly name: string;
  /** Everything behind the name, as it was written. */
  readonly text: string;
}

/** `-m NAME ...` of an extension that is not modelled, printed back as it came. */
export const opaqueMatch: MatchExtension<OpaqueMatch> = {
  kind: "opaque",
  id: MATCH_OPAQUE,
  modules: [],
  render: (match) => `-m ${match.name}${match.text === "" ? "" : ` ${match.text}`}`,
  pack: () => undefined,
};
