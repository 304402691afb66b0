/** The independent evaluator against what others computed: it is not the engine that is tested here. */
import { describe, expect, it } from "vitest";

import {
  haveOracle,
  readAssistantCases,
  readConnectionListCases,
  readE2eCases,
  readPolicyAgentCases,
  type CorpusCase,
} from "./corpus.ts";
import { judgeAttempt } from "./oracle.ts";

/** Every disagreement in words, and how many expectations there were. */
function disagreements(cases: readonly CorpusCase[]): { total: number; wrong: string[] } {
  let total = 0;
  const wrong = cases.flatMap(({ name, world, expectations }) =>
    expectations.flatMap((expectation) => {
      total++;
      const { allowed } = judgeAttempt(world, expectation.attempt);
      return allowed === expectation.allowed
        ? []
        : [`${name}: ${expectation.name}: ${allowed}, not ${expectation.allowed}`];
    }),
  );
  return { total, wrong };
}

describe("judgeAttempt", () => {
  it.runIf(haveOracle("k8s-e2e-netpol"))("agrees with the Kubernetes end-to-end tests", () => {
    const { total, wrong } = disagreements(readE2eCases());
    console.log(`k8s-e2e-netpol, evaluator: ${total - wrong.length} of ${total}`);
    expect(wrong).toEqual([]);
    expect(total).toBe(506);
  });

  it.runIf(haveOracle("kube-network-policies"))("agrees with kube-network-policies", () => {
    const { total, wrong } = disagreements(readPolicyAgentCases());
    console.log(`kube-network-policies, evaluator: ${total - wrong.length} of ${total}`);
    expect(wrong).toEqual([]);
    expect(total).toBeGreaterThan(15);
  });

  it.runIf(haveOracle("policy-assistant"))("agrees with policy-assistant", () => {
    const { total, wrong } = disagreements(readAssistantCases());
    console.log(`policy-assistant, evaluator: ${total - wrong.length} of ${total}`);
    expect(wrong).toEqual([]);
    expect(total).toBe(1090);
  });

  it.runIf(haveOracle("np-guard_netpol-analyzer"))("agrees with np-guard's lists", () => {
    const { cases } = readConnectionListCases();
    const { total, wrong } = disagreements(cases);
    console.log(
      `np-guard, evaluator: ${total - wrong.length} of ${total} in ${cases.length} folders`,
    );
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(cases.length).toBeGreaterThan(60);
  });
});
