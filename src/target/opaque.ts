/** A target that is not modelled: it may go on, accept or drop, and the rule says so where that matters. */
import { TARGET_OPAQUE } from "../../assembly/layout.ts";
import type { TargetExtension } from "./extension.ts";

export interface OpaqueTarget {
  readonly kind: "opaque";
  /** As in `-j NAME`. */
  readonly name: string;
  /** Everything behind the name, as it was written. */
  readonly text: string;
}

/** `-j NAME ...` of an extension that is not modelled, printed back as it came. */
export const opaqueTarget: TargetExtension<OpaqueTarget> = {
  kind: "opaque",
  id: TARGET_OPAQUE,
  modules: [],
  render: (target) => `-j ${target.name}${target.text === "" ? "" : ` ${target.text}`}`,
  pack: () => undefined,
};
