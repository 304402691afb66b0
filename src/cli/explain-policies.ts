/** `explain` of a pod and of a policy: no packet is asked about, the policies are told. */
import { suggestionFor } from "../cluster/fields.ts";
import type { RuleCount } from "../engine/verdict.ts";
import { formatPolicyName, formatPolicyRef, kindWord } from "../policy/model.ts";
import type { Policy } from "../policy/model.ts";
import {
  explainedPodJson,
  explainedPolicyJson,
  explainPod,
  explainPolicy,
} from "../report/explained.ts";
import type { ExplainContext } from "../report/explained.ts";
import { explainedPodText, explainedPolicyText } from "../report/explained-text.ts";
import type { Palette } from "../report/layout.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { tellAnswers } from "./dns-answers.ts";
import { findEnd } from "./explain-ends.ts";
import { Failure } from "./failure.ts";
import { makeResolver } from "./hosts.ts";
import { exitInterrupted, Interruption } from "./interruption.ts";
import { loadJudge } from "./judge.ts";
import type { Judge, JudgeOptions } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import { replayTraffic } from "./traffic.ts";

/** What is printed, by format. */
export interface Explained {
  /** The capture was not followed to its end: what is said of it is of a part. */
  readonly damaged?: boolean;
  readonly text: (palette: Palette) => string;
  readonly json: () => string;
}

/** Explains the pod of a name. */
export function explainNamedPod(
  name: string,
  options: JudgeOptions,
  log: DiagnosticLog,
): Explained {
  const judge = loadPolicies(options, log);
  const { endpoint } = findEnd(name, judge.snapshot);
  if (endpoint === undefined) {
    throw new Failure(`${name}: no pod: name two ends for a connection, or a pod for its policies`);
  }
  const pod = explainPod(endpoint, contextOf(judge, options, undefined));
  return {
    text: (palette) => explainedPodText(pod, palette),
    json: () => explainedPodJson(pod),
  };
}

/** Explains the policy of a name, and which of its rules a capture hits where there is one. */
export async function explainNamedPolicy(
  name: string,
  options: JudgeOptions,
  log: DiagnosticLog,
): Promise<Explained> {
  const [judge] = await tellAnswers([loadPolicies(options, log)] as const, options);
  const policy = findPolicy(name, judge.policies);
  const counted = options.read.length === 0 ? undefined : await countRules(judge, options, log);
  const subject = explainPolicy(policy, contextOf(judge, options, counted?.counts));
  return {
    damaged: counted?.damaged ?? false,
    text: (palette) => explainedPolicyText(subject, palette),
    json: () => explainedPolicyJson(subject),
  };
}

function loadPolicies(options: JudgeOptions, log: DiagnosticLog): Judge {
  const judge = loadJudge(options, log);
  if (judge.realNode) throw new Failure("a node's dumps have no policies: name manifests with -f");
  return judge;
}

function contextOf(
  { snapshot, policies, program }: Judge,
  { calicoVersion }: JudgeOptions,
  counts: readonly RuleCount[] | undefined,
): ExplainContext {
  return { snapshot, policies, program, calicoVersion, counts };
}

/** `[KIND/]NAMESPACE/NAME`, or without a namespace for what is cluster-wide. */
function findPolicy(text: string, policies: readonly Policy[]): Policy {
  const found = policies.filter(({ ref }) => {
    const name = formatPolicyName(ref);
    return text === name || text.toLowerCase() === `${kindWord(ref)}/${name}`.toLowerCase();
  });
  const [only, ...others] = found;
  if (only === undefined) {
    const names = policies.map(({ ref }) => formatPolicyName(ref));
    const some = `there are ${names.slice(0, 5).join(", ")}${names.length > 5 ? ", ..." : ""}`;
    const hint = names.length === 0 ? "there is none" : (suggestionFor(text, names) ?? some);
    throw new Failure(`--policy ${text}: no policy has this name (${hint})`);
  }
  if (others.length > 0) {
    const refs = found.map(({ ref }) => formatPolicyRef(ref)).join(", ");
    throw new Failure(`--policy ${text}: several have this name (${refs}): say KIND/${text}`);
  }
  return only;
}

async function countRules(
  judge: Judge,
  options: JudgeOptions,
  log: DiagnosticLog,
): Promise<{ readonly counts: readonly RuleCount[]; readonly damaged: boolean }> {
  const { program, midstream, snapshot } = judge;
  const matcher = loadProgramMatcher(program, { ...options, midstream, tracePacket: undefined });
  const interruption = new Interruption();
  const { partial } = await replayTraffic({
    ...{ capture: options, matcher, log, interruption, packetsMax: undefined },
    ...{ resolveName: makeResolver(options.hosts, snapshot, log), packetsWanted: false },
    onBatch: () => Promise.resolve(true),
  });
  interruption.dispose();
  if (partial === "interrupted") throw new Failure("interrupted", exitInterrupted());
  return { counts: [...matcher.ruleCounts()], damaged: partial === "damaged" };
}
