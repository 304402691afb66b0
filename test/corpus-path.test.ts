/** What others computed, against the whole path: capture bytes, readers, Wasm, verdict. */
import { describe, expect, it } from "vitest";
import { judgeAttempts } from "./attempts.ts";
import {
  haveOracle,
  readAssistantCases,
  readConnectionListCases,
  readE2eCases,
  readPolicyAgentCases,
  type CorpusCase,
} from "./corpus.ts";
import type { World } from "./oracle.ts";

/** Every disagreement in words; allowed attempts are played with their answers, which must pass. */
async function disagreements(cases: readonly CorpusCase[]) {
  let total = 0;
  const wrong: string[] = [];
  for (const { name, world, expectations } of cases) {
    const attempts = expectations.map(({ attempt }) => attempt);
    const verdicts = await judgeAttempts(world, attempts, (index) =>
      expectations[index]!.allowed ? "exchange" : "opening",
    );
    expectations.forEach((expectation, index) => {
      total += 1;
      const { opening, following } = verdicts[index]!;
      const wanted = expectation.allowed ? "allow" : "drop";
      const got = [opening, ...following].map(({ verdict }) => verdict);
      if (got.some((verdict) => verdict !== wanted)) {
        wrong.push(`${name}: ${expectation.name}: ${got.join(" ")} (${opening.reason})`);
      }
    });
  }
  return { total, wrong };
}

/**
 * Some of these tables hold what no API server does: an `endPort` of 65537 (65535 says the same), and
 * policies of one name (which get a name each).
 */
function asStored({ name, world, expectations }: CorpusCase): CorpusCase {
  const policies = world.policies.map((policy, index) => ({
    ...policy,
    metadata: { ...policy.metadata, name: `${policy.metadata.name}-${index}` },
  }));
  const text = JSON.stringify(policies).replaceAll('"endPort":65537', '"endPort":65535');
  return {
    name,
    world: { ...world, policies: JSON.parse(text) as World["policies"] },
    expectations,
  };
}

describe("the whole path", () => {
  it.runIf(haveOracle("k8s-e2e-netpol"))(
    "agrees with the Kubernetes end-to-end tests",
    async () => {
      const { total, wrong } = await disagreements(readE2eCases());
      console.log(`k8s-e2e-netpol, whole path: ${total - wrong.length} of ${total}`);
      expect(wrong).toEqual([]);
      expect(total).toBe(506);
    },
  );

  it.runIf(haveOracle("kube-network-policies"))("agrees with kube-network-policies", async () => {
    const { total, wrong } = await disagreements(readPolicyAgentCases().map(asStored));
    console.log(`kube-network-policies, whole path: ${total - wrong.length} of ${total}`);
    expect(wrong).toEqual([]);
    expect(total).toBeGreaterThan(15);
  });

  it.runIf(haveOracle("policy-assistant"))("agrees with policy-assistant", async () => {
    const { total, wrong } = await disagreements(readAssistantCases());
    console.log(`policy-assistant, whole path: ${total - wrong.length} of ${total}`);
    expect(wrong).toEqual([]);
    expect(total).toBe(1090);
  });

  it.runIf(haveOracle("np-guard_netpol-analyzer"))("agrees with np-guard's lists", async () => {
    const { cases } = readConnectionListCases();
    const { total, wrong } = await disagreements(cases);
    console.log(
      `np-guard, whole path: ${total - wrong.length} of ${total} in ${cases.length} folders`,
    );
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(cases.length).toBeGreaterThan(60);
  });
});
