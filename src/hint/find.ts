/**
 * Looks for the smallest change that lets a newly dropped flow pass again. Every change is tried: the proposed
 * set is compiled with it, the flow is asked about, and all traffic is compared with and without it. Where a flow
 * is stopped more than once, the changes are put together.
 */
import type { ManifestObject } from "../cluster/manifest-object.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { Program } from "../engine/program.ts";
import type { Policy } from "../policy/model.ts";
import { policyKey } from "../policy/model.ts";
import type { Hint, NoHint } from "../report/hints.ts";
import { explainReason } from "../report/reason.ts";
import { askAll } from "./ask.ts";
import { findBlocker } from "./blocker.ts";
import type { Blocker } from "./blocker.ts";
import { calicoCandidates } from "./calico.ts";
import { objectOf } from "./candidate.ts";
import type { Candidates, World } from "./candidate.ts";
import { clusterWideCandidates } from "./cluster-wide.ts";
import { applyEdits, beginsList, indexBefore, tellEdit } from "./edit.ts";
import type { Edit } from "./edit.ts";
import { neededBy, prefixesAt } from "./need.ts";
import type { Need } from "./need.ts";
import { networkPolicyCandidates, peerCandidates } from "./network-policy.ts";
import { findOpened } from "./openings.ts";
import type { Opened } from "./openings.ts";

/** What hints are looked for with. */
export interface HintQuestion extends World {
  readonly needs: readonly Need[];
  readonly current: Program;
  readonly proposed: Program;
  /** Compiles changed objects; undefined when they are refused. */
  readonly recompile: (objects: readonly ManifestObject[]) => Recompiled | undefined;
  readonly load: (program: Program) => Matcher;
  /** The one that judges; undefined: all as one. */
  readonly node: string | undefined;
  /** The text of a manifest file. */
  readonly textOf: (file: string) => string | undefined;
}

/** Changed policies, and what they compile to. */
export interface Recompiled {
  readonly policies: readonly Policy[];
  readonly program: Program;
}

/** A hint, and the changes that it is. */
export interface FoundHint {
  readonly hint: Hint;
  readonly edits: readonly Edit[];
}

export interface FoundHints {
  readonly found: readonly FoundHint[];
  readonly without: readonly NoHint[];
}

/** Pairs of which more are not looked at. */
const NEEDS_MAX = 20;
/** Pairs of addresses of one need that are asked about; more name too many addresses for a rule. */
const OPENINGS_MAX = 32;
/** A flow is stopped at most so often: by tiers at both ends. */
const DEPTH_MAX = 5;
/** Changed sets that are compiled for one need, and for all of them; of large sets fewer. */
const [TRIES_EACH, TRIES_MAX, TRIES_MIN] = [12, 60, 8];
/** Policies and endpoints of all that are compiled. */
const COMPILED_MAX = 100_000;

/** Looks for a hint for each newly dropped pair; one that mends several is told once. */
export function findHints(question: HintQuestion): FoundHints {
  const { needs } = question;
  const size = question.policies.length + question.snapshot.endpoints.length;
  const tries = Math.min(TRIES_MAX, Math.floor(COMPILED_MAX / (size + 1)));
  const search = new Search(question, needs, Math.max(TRIES_MIN, tries));
  const found: FoundHint[] = [];
  const without: NoHint[] = [];
  const mended = new Set<Need>();
  /** Lists that a hint before begins: how the next item is written depends on whether that is taken. */
  const begun = new Set<string>();
  for (const need of needs) {
    if (mended.has(need)) continue;
    const outcome =
      found.length + without.length < NEEDS_MAX ? search.mend(need) : { why: TOO_MANY };
    if ("why" in outcome) {
      without.push({ pair: need.pair, why: outcome.why });
      continue;
    }
    const also = search.mendedBy(outcome, need, needs).filter((each) => !mended.has(each));
    for (const each of also) mended.add(each);
    const { edits, again, traffic } = outcome;
    const hint: Hint = {
      mends: also.map(({ pair }) => pair),
      edits: edits.map((edit) => {
        const told = tellEdit(edit, question.textOf);
        if (!beginsList(edit)) return told;
        const list = JSON.stringify([told.kind, told.namespace, told.name, told.list]);
        if (!begun.has(list)) {
          begun.add(list);
          return told;
        }
        return { ...told, insertion: undefined };
      }),
      alsoAllows: again,
      checked: { capture: false, traffic },
    };
    found.push({ hint, edits });
  }
  const refused = search.refusedTogether(found);
  return {
    found: found.filter((each) => !refused.has(each)),
    without: [
      ...without,
      ...[...refused].flatMap(([{ hint }, why]) => hint.mends.map((pair) => ({ pair, why }))),
    ],
  };
}

const TOO_MANY = `it was not looked for: that is done for the first ${NEEDS_MAX} pairs only`;
const TOO_WIDE = "a rule for all that is lost would take the change back";
const OWN_SPENT = `the search was ended after ${TRIES_EACH} changes of the policies that did not do`;

interface Mended {
  readonly edits: readonly Edit[];
  /** What else passes again. */
  readonly again: readonly string[];
  /** All traffic was compared. */
  readonly traffic: boolean;
  /** The proposed set with them. */
  readonly program: Program;
}

type Outcome = Mended | { readonly why: string };

/** A change under trial. */
interface Trial {
  readonly edits: readonly Edit[];
  readonly strict: boolean;
  /** What stopped it before the last change. */
  readonly stopped: string | undefined;
}

/** The search, and how much of it is left. */
class Search {
  readonly #question: HintQuestion;
  readonly #needed: ReturnType<typeof neededBy>;
  /** Of all, and of what one need may take. */
  #left: number;
  #own = 0;
  readonly #most: number;

  constructor(question: HintQuestion, needs: readonly Need[], tries: number) {
    this.#question = question;
    this.#needed = neededBy(needs, question.context.after.find);
    this.#left = tries;
    this.#most = tries;
  }

  /** Looks for the changes that one pair needs. */
  mend(need: Need): Outcome {
    if (need.hopeless !== undefined) return { why: need.hopeless };
    if (need.openings.length === 0) return { why: "its addresses or its protocol are not known" };
    if (!need.wide && need.openings.length > OPENINGS_MAX) {
      return { why: `${need.openings.length} pairs of addresses: no rule can name them all` };
    }
    this.#own = TRIES_EACH;
    return this.#try(need, { edits: [], strict: false, stopped: undefined });
  }

  /** The pairs that a hint lets pass, the one that it was made for among them. */
  mendedBy({ program }: Mended, need: Need, needs: readonly Need[]): Need[] {
    const matcher = this.#question.load(program);
    return needs.filter((each) => {
      if (each === need) return true;
      if (each.hopeless !== undefined || each.openings.length === 0) return false;
      if (!each.wide && each.openings.length > OPENINGS_MAX) return false;
      return askAll(matcher, each.openings).every(({ verdict }) => verdict === "allow");
    });
  }

  /** Those that, beside the hints before them, open what none of them does alone; with the reason. */
  refusedTogether(found: readonly FoundHint[]): ReadonlyMap<FoundHint, string> {
    const refused = new Map<FoundHint, string>();
    if (found.length < 2 || this.#together(found) === undefined) return refused;
    const kept: FoundHint[] = [];
    for (const each of found) {
      const why = kept.length === 0 ? undefined : this.#together([...kept, each]);
      if (why === undefined) kept.push(each);
      else refused.set(each, why);
    }
    return refused;
  }

  /** Why hints cannot stand together; undefined: they can. */
  #together(hints: readonly FoundHint[]): string | undefined {
    const all = this.#compile(hints.flatMap(({ edits }) => edits));
    if (all === undefined) return "the rules for it and for others cannot stand together";
    const opened = this.#openedBy(all);
    const more = [...(opened?.opens ?? []), ...(opened?.odd ?? [])];
    if (more.length === 0) return undefined;
    return `beside the other rules here, one for it would open more: ${listText(more)}`;
  }

  #openedBy({ program }: Recompiled): Opened | undefined {
    const { current, proposed, load, context, node } = this.#question;
    return findOpened({
      ...{ current, proposed, hinted: program, load, context, node },
      needed: this.#needed,
    });
  }

  #compile(edits: readonly Edit[]): Recompiled | undefined {
    const { objects, policies, proposed, recompile } = this.#question;
    if (edits.length === 0) return { policies, program: proposed };
    this.#left--;
    this.#own--;
    return recompile(applyEdits(objects, edits));
  }

  #allSpent(): string {
    return `the search was ended: ${this.#most} changes of so many policies are tried in all`;
  }

  #spent(): boolean {
    return this.#left <= 0 || this.#own <= 0;
  }

  #try(need: Need, trial: Trial): Outcome {
    const { load, context, snapshot } = this.#question;
    if (this.#spent()) return { why: this.#own <= 0 ? OWN_SPENT : this.#allSpent() };
    const hinted = this.#compile(trial.edits);
    if (hinted === undefined) return { why: "the rule that would allow it is not valid" };
    const verdicts = askAll(load(hinted.program), need.openings);
    const unknown = verdicts.find(({ verdict }) => verdict === "unknown");
    if (unknown !== undefined) {
      return { why: `with a rule it is not known: ${explainReason(unknown, "question")}` };
    }
    const dropped = verdicts.filter(({ verdict }) => verdict === "drop");
    const [first] = dropped;
    if (first === undefined) return this.#check(trial, hinted);
    const blocker = findBlocker(dropped, context.after.find, {
      snapshot,
      prefixesAt: (address) => prefixesAt(address, need),
    });
    if (blocker === undefined)
      return { why: `no policy of a pod stops it: ${explainReason(first)}` };
    if (blocker.key === trial.stopped || trial.edits.length >= DEPTH_MAX) {
      return { why: `no rule was found that matches it: ${explainReason(first)}` };
    }
    const candidates = this.#candidates(blocker, need, { trial, hinted });
    if ("why" in candidates) return candidates;
    let failed: Outcome | undefined;
    for (const { edit, strict } of candidates) {
      const outcome = this.#try(need, {
        edits: [...trial.edits, edit],
        strict: trial.strict || strict,
        stopped: blocker.key,
      });
      if (!("why" in outcome)) return outcome;
      failed ??= outcome;
      if (this.#spent()) return failed;
    }
    return failed ?? { why: `no policy can be changed for it: ${explainReason(first)}` };
  }

  /** Compares all traffic with and without the changes. */
  #check({ edits, strict }: Trial, hinted: Recompiled): Outcome {
    if (edits.length === 0) {
      return { why: "a new connection of it passes: only what is under way is dropped" };
    }
    const { program } = hinted;
    const opened = this.#openedBy(hinted);
    if (opened === undefined) return { edits, again: [], traffic: false, program };
    const { opens, again, odd } = opened;
    if (opens.length > 0) return { why: `a rule for it would open more: ${listText(opens)}` };
    if (odd.length > 0) return { why: `a rule for it would change more: ${listText(odd)}` };
    if (strict && again.length > 0) {
      return { why: `a rule for it would let pass more: ${listText(again)}` };
    }
    return { edits, again, traffic: true, program };
  }

  /** What the policies that stop it can be changed to. */
  #candidates(
    blocker: Blocker,
    need: Need,
    { trial, hinted }: { readonly trial: Trial; readonly hinted: Recompiled },
  ): Candidates {
    const world = this.#question;
    const { origin, direction } = blocker;
    if (need.wide && origin.kind === "policy-rule") return { why: TOO_WIDE };
    const find = (key: string): Policy[] =>
      world.policies.filter((policy) => policyKey(policy.ref) === key);
    if (origin.kind === "policy-rule") {
      const key = policyKey(origin.policy);
      const [policy] = find(key);
      // A policy that a hint has made denies nothing.
      const object = policy === undefined ? undefined : objectOf(policy.ref, world);
      if (policy === undefined || object === undefined || hinted.policies.length === 0) return [];
      const index = indexBefore(trial.edits, object, ["spec", direction], origin.rule);
      if (index === undefined) return [];
      return isCalico(policy)
        ? calicoCandidates(blocker, policy, index, world)
        : clusterWideCandidates(blocker, policy, index, world);
    }
    const isolating = origin.policies.flatMap(({ policy }) => find(policyKey(policy)));
    const calico = isolating.filter(isCalico);
    const others = isolating.filter((policy) => !isCalico(policy));
    if (need.wide) {
      const items = peerCandidates(blocker, others, need.before, world);
      return items.length > 0 ? items : { why: TOO_WIDE };
    }
    const behind = calico.flatMap((policy) => calicoCandidates(blocker, policy, 0, world));
    if (others.length === 0) return behind;
    const own = networkPolicyCandidates(blocker, others, need.before, world);
    if (behind.length === 0 || !("why" in own)) return "why" in own ? own : [...own, ...behind];
    return behind;
  }
}

/** Policies whose rules can ask for anything, in their order. */
function isCalico({ ref }: Policy): boolean {
  return (
    ref.kind.startsWith("projectcalico.org ") &&
    ref.kind !== "projectcalico.org StagedKubernetesNetworkPolicy"
  );
}

/** Most that are named. */
const NAMED_MAX = 2;

function listText(texts: readonly string[]): string {
  const more = texts.length - NAMED_MAX;
  const named = texts.slice(0, NAMED_MAX).join(", ");
  return more > 0 ? `${named} and ${more} more` : named;
}
