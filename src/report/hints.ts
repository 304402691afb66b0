/**
 * Hints that mend: rules that would let newly dropped traffic pass again, each tried before it is told. The
 * data, and the words that all formats have in common.
 */
import { escapeControls, formatPlace } from "../errors.ts";
import type { Place } from "../errors.ts";
import type { Json } from "./json.ts";

/** Two workloads and a port that a hint is about. */
export interface MendedPair {
  readonly from: string;
  readonly to: string;
  readonly port: string;
}

/** The smallest change that was found. */
export interface Hint {
  readonly mends: readonly MendedPair[];
  /** All of them are needed: traffic may be stopped at both of its ends. */
  readonly edits: readonly HintEdit[];
  /** What passes today, would not, and passes again by this, too: `shop/cart -> kube-system/dns udp 53`. */
  readonly alsoAllows: readonly string[];
  /** What was compared to see that nothing else opens. */
  readonly checked: {
    /** The capture was judged once more, with all hints. */
    readonly capture: boolean;
    /** All traffic that the cluster can have. */
    readonly traffic: boolean;
  };
}

/** One change of the manifests. */
export interface HintEdit {
  /** The policy's. */
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string;
  /** `spec.egress`; undefined: the policy is new. */
  readonly list: string | undefined;
  /** `in` the list whose key is at the place, `first` in it, `above` the item there; a `new` policy in the file. */
  readonly way: "in" | "first" | "above" | "new";
  readonly place: Place;
  /** Block style, not indented, a line end at its end. */
  readonly yaml: string;
  /** Undefined: the file's text does not say how, or it depends on a hint before this one. */
  readonly insertion: Insertion | undefined;
}

/** Text that goes into a file before what stands at the place. */
export interface Insertion {
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

/** A newly dropped pair that no rule was found for. */
export interface NoHint {
  readonly pair: MendedPair;
  readonly why: string;
}

/** What was found for all newly dropped pairs. */
export interface Hints {
  readonly hints: readonly Hint[];
  readonly without: readonly NoHint[];
}

/** Tells whether two pairs are the same. */
export function samePair(one: MendedPair, other: MendedPair): boolean {
  return one.from === other.from && one.to === other.to && one.port === other.port;
}

/** What is to be done: `add to spec.egress of NetworkPolicy shop/web (web.yaml:12):`. */
export function editText({ kind, namespace, name, list, way, place }: HintEdit): string {
  const policy = `${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`;
  const { file, line } = place;
  const where = formatPlace(line === undefined ? { file } : { file, line });
  switch (way) {
    case "in":
      return `add to ${list} of ${policy} (${where}):`;
    case "first":
      return `add as the first of ${list} of ${policy} (${where}):`;
    case "above":
      return `add to ${list} of ${policy}, above ${where}:`;
    case "new":
      return `add a policy, for example at the end of ${where}:`;
  }
}

/** Which traffic a hint is for. */
export function mendedText({ mends }: Hint): string {
  return mends.map(({ from, to, port }) => `${from} -> ${to} ${port}`).join(", ");
}

/** Most that are named of what else passes again. */
const NAMED_MAX = 3;

/** What else passes by it, and what was not looked at; empty: nothing, and all was. */
export function hintNotes({ alsoAllows, checked }: Hint): string[] {
  const more = alsoAllows.length - NAMED_MAX;
  return [
    ...alsoAllows.slice(0, NAMED_MAX).map((what) => `passes again with it, too: ${what}`),
    ...(more > 0 ? [`and ${more} more that pass today`] : []),
    ...(checked.traffic ? [] : ["what else it opens was not looked for: it is not known here"]),
  ];
}

/** Most pairs of one reason that are named. */
const PAIRS_MAX = 3;

/** The pairs without a hint, those of one reason together. */
export function withoutTexts({ without }: Hints): string[] {
  const byReason = new Map<string, MendedPair[]>();
  for (const { pair, why } of without) byReason.set(why, [...(byReason.get(why) ?? []), pair]);
  return [...byReason].map(([why, pairs]) => {
    const named = pairs.slice(0, PAIRS_MAX).map(({ from, to, port }) => `${from} -> ${to} ${port}`);
    const more = pairs.length - named.length;
    const rest = more > 0 ? ` and ${more} more` : "";
    return `no rule for ${named.join(", ")}${rest}: ${why}`;
  });
}

/** How it was seen that the rules do what they are for. */
export function triedText(
  { hints }: Hints,
  { captured, rollout }: { readonly captured: boolean; readonly rollout: object | undefined },
): string {
  const fresh = "New connections like these pass with these rules";
  const kept = rollout === undefined ? "" : ", and cuts or loses none of these connections";
  const again = !captured
    ? fresh
    : hints.every(({ checked }) => checked.capture)
      ? `The capture, judged again with these rules, drops none of it${kept}`
      : `${fresh}; the capture was not judged again`;
  return hints.every(({ checked }) => checked.traffic)
    ? `${again}; nothing opens that is closed today.`
    : `${again}.`;
}

/** YAML as lines that are safe to print. */
export function yamlLines(yaml: string): string[] {
  return yaml.trimEnd().split("\n").map(escapeControls);
}

/** The hint for a pair; undefined: there is none. */
export function hintFor(hints: Hints | undefined, pair: MendedPair): Hint | undefined {
  return hints?.hints.find(({ mends }) => mends.some((each) => samePair(each, pair)));
}

/** What is to be done, and the YAML, line by line. */
export function hintLinesOf({ edits }: Hint): string[] {
  return edits.flatMap((edit) => [
    editText(edit),
    ...yamlLines(edit.yaml).map((line) => `  ${line}`),
  ]);
}

/** The hints as JSON. */
export function hintsJson({ hints, without }: Hints): Json {
  return {
    hints: hints.map(({ mends, edits, alsoAllows, checked }) => ({
      mends: mends.map(({ from, to, port }) => ({ from, to, port })),
      edits: edits.map(({ kind, namespace, name, list, way, place, yaml, insertion }) => ({
        policy: { kind, namespace, name },
        ...{ way, list, file: place.file, line: place.line, yaml },
        insertion:
          insertion === undefined
            ? undefined
            : { line: insertion.line, column: insertion.column, text: insertion.text },
      })),
      alsoAllows: [...alsoAllows],
      checked: { ...checked },
    })),
    without: without.map(({ pair: { from, to, port }, why }) => ({ from, to, port, why })),
  };
}
