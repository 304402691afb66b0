/** `-f`: a later fragment of an IPv4 datagram. */
import { MATCH_FRAGMENT } from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

export interface FragmentMatch extends Invertible {
  readonly kind: "fragment";
}

/** `[!] -f`. */
export const fragmentMatch: MatchExtension<FragmentMatch> = {
  kind: "fragment",
  id: MATCH_FRAGMENT,
  modules: [],
  render: (match) => `${bang(match)}-f`,
  pack: () => undefined,
};
