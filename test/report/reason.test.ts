import { describe, expect, it } from "vitest";
import { explainReason, explainReasonInFull, policyPoint } from "../../src/report/reason.ts";
import {
  ALLOW_WEB,
  DEFAULT_DENY,
  address,
  droppedPacket,
  isolationBy,
  ruleRef,
  unknownFlow,
} from "./verdicts.ts";

const allowedBy = (origin: Parameters<typeof ruleRef>[0], reply = false) =>
  droppedPacket({ verdict: "allow", rule: undefined, decider: ruleRef(origin), reply });

describe("explainReason", () => {
  it("says of an isolation whom it isolates and in which direction", () => {
    expect(explainReason(droppedPacket())).toBe(
      "no ingress rule of the policies selecting payments/api-0 matches",
    );
  });

  it("says what of the time may be missing", () => {
    expect(explainReason(unknownFlow({ reason: "no-time" }))).toContain(
      "the packet's, the node's zone or its clock's tick",
    );
  });

  it("names the rule that allows", () => {
    const origin = {
      kind: "policy-rule",
      effect: "allow",
      policy: ALLOW_WEB,
      direction: "ingress",
      rule: 0,
      place: ALLOW_WEB.place,
    } as const;
    expect(explainReason(allowedBy(origin))).toBe("payments/allow-web ingress[0] allows it");
  });

  it("names the rule that denies, and a cluster-wide policy without a namespace", () => {
    const policy = {
      kind: "policy.networking.k8s.io ClusterNetworkPolicy",
      namespace: undefined,
      name: "guard",
      place: ALLOW_WEB.place,
    } as const;
    const rule = { policy, direction: "egress", rule: 2, place: policy.place } as const;
    const origin = { kind: "policy-rule", effect: "deny", ...rule } as const;
    expect(explainReason(droppedPacket({ rule: ruleRef(origin) }))).toBe(
      "guard egress[2] denies it",
    );
    const missing = { ...origin, effect: "allow", missing: "the addresses of a.b" } as const;
    expect(
      explainReason(unknownFlow({ reason: "not-modelled", undecidedRule: ruleRef(missing) })),
    ).toBe("guard egress[2] asks for the addresses of a.b, which nothing tells for certain");
    const { place } = policy;
    const tie = {
      kind: "tie",
      direction: "ingress",
      policies: [policy, { ...policy, name: "other" }].map((one) => ({ policy: one, place })),
    } as const;
    expect(
      explainReason(unknownFlow({ reason: "not-modelled", undecidedRule: ruleRef(tie) })),
    ).toBe(
      "ClusterNetworkPolicy guard and ClusterNetworkPolicy other have equal priorities and disagree: which of them decides is undefined",
    );
  });

  it("tells a reply from what follows in its own direction", () => {
    const origin = { kind: "established", direction: "ingress" } as const;
    expect(explainReason(allowedBy(origin, true))).toBe("established: reply of an allowed flow");
    expect(explainReason(allowedBy(origin))).toBe("established: belongs to an allowed flow");
  });

  it("names the address that no pod has, and of a translated packet the backend", () => {
    const translated = { address: address("10.65.0.9"), port: 53 };
    expect(explainReason(unknownFlow({ reason: "missing-source" }))).toBe(
      "no pod has address 10.65.0.1",
    );
    expect(explainReason(unknownFlow({ reason: "missing-destination", translated }))).toBe(
      "no pod has address 10.65.0.9",
    );
  });

  it("says of a missing fact where it is missing", () => {
    const flow = unknownFlow({ reason: "no-ports" });
    expect(explainReason(flow, "frames")).toBe("ports are beyond the snap length");
    expect(explainReason(flow, "text")).toBe("ports are not in the capture's text");
  });
});

describe("explainReasonInFull", () => {
  it("adds the names of policies only when there are several", () => {
    const several = ruleRef(isolationBy(ALLOW_WEB, DEFAULT_DENY));
    expect(explainReasonInFull(droppedPacket(), "frames")).not.toContain("default-deny");
    expect(explainReasonInFull(droppedPacket({ rule: several }), "frames")).toMatch(
      / \(payments\/allow-web, payments\/default-deny\)$/,
    );
  });
});

describe("policyPoint", () => {
  it("points to no rule of the policy when all of its rules failed", () => {
    expect(policyPoint(droppedPacket())).toMatchObject({ direction: "ingress", rule: undefined });
  });

  it("points nowhere for a rule that no policy made", () => {
    expect(policyPoint(allowedBy({ kind: "node-traffic" }))).toBeUndefined();
  });
});
