/**
 * One packet's way through the tables, as the matcher recorded it, and what it means in policy words:
 * egress where it comes from, ingress where it goes. A view of the walk; walks nothing itself.
 */
import { renderMatch, renderMatches } from "../match/index.ts";
import type { Place } from "../errors.ts";
import type { PacketVerdict, RuleRef, TraceStep } from "../engine/verdict.ts";
import type { Direction } from "../policy/model.ts";
import { renderTarget } from "../target/index.ts";
import { isPrinted } from "../tables/model.ts";
import type { Rule, RuleOrigin } from "../tables/model.ts";
import { packetJson, policyJson, stringifyJson } from "./json.ts";
import type { Json } from "./json.ts";
import { findNearestMiss } from "./nearest-miss.ts";
import type { NearestMiss, PolicyContext } from "./nearest-miss.ts";
import { decidingOrigin, explainOrigin, policyPointOf, policyPointsOf } from "./reason.ts";
import type { CaptureNature, PolicyPoint } from "./reason.ts";

/** What the policies of one end say. */
export interface DirectionOutcome {
  readonly direction: Direction;
  /** `namespace/name` of the end; undefined when it is no endpoint. */
  readonly endpoint: string | undefined;
  /** `not-asked`: the walk ended before, or no chain of this direction was entered. */
  readonly outcome: "allow" | "drop" | "unknown" | "not-asked";
  /** What decided; undefined when nothing was asked. */
  readonly sentence: string | undefined;
  /** The policies that decided; several when several isolate. */
  readonly points: readonly PolicyPoint[];
}

/** What a packet would be by single backends of its Service. */
export interface BackendAnswers {
  readonly packets: readonly PacketVerdict[];
  /** How many backends were not asked. */
  readonly more: number;
}

/** One packet explained. */
export interface Explanation {
  readonly packet: PacketVerdict;
  readonly nature: CaptureNature;
  /** The packet's file and its number there, where several captures were merged. */
  readonly place: Place | undefined;
  readonly directions: readonly DirectionOutcome[];
  readonly nearest: NearestMiss | undefined;
  /** Undefined where they make no difference, or were not asked. */
  readonly backends: BackendAnswers | undefined;
  readonly steps: readonly TraceStep[];
}

/** Explains one packet by its walk. */
export function explainPacket(
  packet: PacketVerdict,
  steps: readonly TraceStep[],
  context: PolicyContext & {
    readonly nature: CaptureNature;
    readonly place?: Place | undefined;
    readonly backends?: BackendAnswers | undefined;
  },
): Explanation {
  return {
    packet,
    nature: context.nature,
    place: context.place,
    directions: [
      directionOutcome("egress", packet, steps),
      directionOutcome("ingress", packet, steps),
    ],
    nearest: findNearestMiss(packet, context),
    backends: context.backends,
    steps: steps.filter(
      (step) => step.kind !== "rule" || step.rule.rule === undefined || isPrinted(step.rule.rule),
    ),
  };
}

/** The same as data. */
export function explanationJson(explanation: Explanation): string {
  const { packet, nature, place, directions, nearest, backends, steps } = explanation;
  const json: Json = {
    packet: packetJson(packet, nature, place),
    directions: directions.map(({ direction, endpoint, outcome, sentence, points }) => ({
      direction,
      endpoint,
      outcome,
      reason: sentence,
      policies: points.map(policyJson),
    })),
    nearest:
      nearest === undefined
        ? undefined
        : { ...record(policyJson(nearest)), reason: nearest.sentence },
    backends: backends?.packets.map((each) => packetJson(each, nature)),
    moreBackends: backends?.more,
    walk: steps.map(stepJson),
  };
  return `${stringifyJson(json, 1)}\n`;
}

/** A rule's conditions and target, as iptables-save prints them behind the chain's name. */
export function ruleText(ref: RuleRef): string {
  return ref.rule === undefined ? "" : conditionText(ref.rule.matches, ref);
}

/** The same without the rule's comments, which are for people and stand apart where people read. */
export function bareRuleText(ref: RuleRef): string {
  const matches = ref.rule?.matches.filter(({ kind }) => kind !== "comment");
  return conditionText(matches ?? [], ref);
}

function conditionText(matches: Rule["matches"], { rule, family }: RuleRef): string {
  const target = rule?.target === undefined ? "" : renderTarget(rule.target, family);
  return [renderMatches(matches, family), target].filter((words) => words !== "").join(" ");
}

/** The conditions of a rule that did not hold, as iptables-save prints them. */
export function failedTexts(step: TraceStep & { readonly kind: "rule" }): string[] {
  const { rule, family } = step.rule;
  return step.failed.flatMap((index) => {
    const match = rule?.matches[index];
    return match === undefined ? [] : [renderMatch(match, family)];
  });
}

function directionOutcome(
  direction: Direction,
  packet: PacketVerdict,
  steps: readonly TraceStep[],
): DirectionOutcome {
  const route = direction === "egress" ? packet.sourceRoute : packet.destinationRoute;
  const last = steps
    .filter((step) => step.kind === "rule")
    .filter(({ outcome }) => outcome === "matched" || outcome === "unknown")
    .findLast(
      ({ rule: { rule } }) => rule?.origin !== undefined && decides(rule.origin, direction),
    );
  const origin = last?.rule.rule?.origin;
  const undecided =
    packet.verdict === "unknown" ? packet.undecidedRule?.rule?.origin : decidingOrigin(packet);
  const base = { direction, endpoint: route?.owner };
  if (packet.verdict === "unknown" && undecided !== undefined && isOf(undecided, direction)) {
    const points = policyPointsOf(undecided);
    return { ...base, outcome: "unknown", sentence: undefined, points };
  }
  if (origin === undefined) {
    return { ...base, outcome: "not-asked", sentence: undefined, points: [] };
  }
  // The verdict does not hang on it, or there would be none.
  if (last?.outcome === "unknown") {
    return { ...base, outcome: "unknown", sentence: undefined, points: policyPointsOf(origin) };
  }
  const said = [...passesOf(steps, direction), origin];
  const context = { owner: last?.rule.owner, reply: packet.reply };
  return {
    ...base,
    outcome: stops(origin) ? "drop" : "allow",
    sentence: said.map((each) => explainOrigin(each, context)).join("; "),
    points: said.flatMap(policyPointsOf),
  };
}

/** The rules that passed the packet to later tiers, in the order in which they did. */
function passesOf(steps: readonly TraceStep[], direction: Direction): RuleOrigin[] {
  return steps.flatMap((step) => {
    if (step.kind !== "rule" || step.outcome !== "matched") return [];
    const { origin } = step.rule.rule ?? {};
    const passes = origin?.kind === "policy-rule" && origin.effect === "pass";
    return passes && isOf(origin, direction) ? [origin] : [];
  });
}

function isOf(origin: RuleOrigin, direction: Direction): boolean {
  return "direction" in origin && origin.direction === direction;
}

/** Other rules of policies only prepare for one that decides, or pass on to it. */
function decides(origin: RuleOrigin, direction: Direction): boolean {
  if (origin.kind === "tie") return false;
  if (origin.kind !== "policy-rule" && origin.kind !== "profile-rule") {
    return isOf(origin, direction);
  }
  return isOf(origin, direction) && (origin.effect === "allow" || origin.effect === "deny");
}

function stops(origin: RuleOrigin): boolean {
  switch (origin.kind) {
    case "policy-rule":
    case "profile-rule":
      return origin.effect === "deny";
    case "isolation":
    case "invalid":
    case "host-closed":
      return true;
    default:
      return false;
  }
}

function stepJson(step: TraceStep): Json {
  switch (step.kind) {
    case "table":
      return {
        kind: "table",
        hook: step.hook,
        table: step.table,
        chain: step.chain,
        mark: step.mark,
        state: step.ctState,
        assumed: step.assumed ? true : undefined,
      };
    case "rule": {
      const { origin } = step.rule.rule ?? {};
      const point = origin === undefined ? undefined : policyPointOf(origin);
      return {
        kind: "rule",
        hook: step.hook,
        table: step.rule.table,
        chain: step.rule.chain,
        number: step.rule.number,
        rule: ruleText(step.rule),
        outcome: step.outcome,
        failed: failedTexts(step),
        mark: step.mark,
        policy: point === undefined ? undefined : policyJson(point),
      };
    }
    case "end":
      return {
        kind: "end",
        hook: step.hook,
        table: step.rule.table,
        chain: step.rule.chain,
        what: step.what,
      };
  }
}

function record(json: Json): { readonly [key: string]: Json } {
  return typeof json === "object" && json !== null && !("length" in json) ? json : {};
}
