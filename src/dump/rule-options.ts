/** Options as a rule has them, and those for which no module has to be loaded. */
import type { OptionUse } from "../match/extension.ts";

/** An option as a rule has it. */
export type PlacedUse = OptionUse & { readonly column: number };

/** Options of a rule itself, and how many words stand behind each. */
export const BASE_OPTIONS: Readonly<Record<string, number>> = {
  "-s": 1,
  "--source": 1,
  "--src": 1,
  "-d": 1,
  "--destination": 1,
  "--dst": 1,
  "-i": 1,
  "--in-interface": 1,
  "-o": 1,
  "--out-interface": 1,
  "-p": 1,
  "--protocol": 1,
  "--proto": 1,
  "-f": 0,
  "--fragment": 0,
  "--fragments": 0,
  "-m": 1,
  "--match": 1,
  "-j": 1,
  "--jump": 1,
  "-g": 1,
  "--goto": 1,
  "-c": 2,
  "--set-counters": 2,
  "-4": 0,
  "--ipv4": 0,
  "-6": 0,
  "--ipv6": 0,
};

/** Options that no exclamation mark may stand in front of. */
export const UNNEGATED: ReadonlySet<string> = new Set([
  "-m",
  "--match",
  "-j",
  "--jump",
  "-g",
  "--goto",
  "-c",
  "--set-counters",
  "-4",
  "--ipv4",
  "-6",
  "--ipv6",
]);

/** Options that are one under two names: a beginning of both is not ambiguous. */
export const SAME_OPTION: Readonly<Record<string, string>> = {
  "--src": "--source",
  "--dst": "--destination",
  "--proto": "--protocol",
  "--fragments": "--fragment",
};
