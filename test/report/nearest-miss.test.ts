import { describe, expect, it } from "vitest";
import { findNearestMiss } from "../../src/report/nearest-miss.ts";
import {
  address,
  ALLOW_WEB,
  contextOf,
  droppedFlow,
  isolationBy,
  route,
  ruleRef,
} from "./verdicts.ts";

function nearest(rules: string, changes: Parameters<typeof droppedFlow>[0] = {}) {
  const policy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: allow-web, namespace: payments }
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress: ${rules}
`;
  const flow = droppedFlow({ rule: ruleRef(isolationBy(ALLOW_WEB)), ...changes });
  return findNearestMiss(flow, contextOf(policy));
}

const team = "namespaceSelector: { matchLabels: { team: a } }";

describe("findNearestMiss", () => {
  it.each([
    [
      "a label that differs",
      `[{ from: [{ ${team}, podSelector: { matchLabels: { app: web } } }], ports: [{ port: 8443 }] }]`,
      "port 8443/TCP matches; peer needs app=web, has app=checkout",
    ],
    [
      "a label that is absent",
      `[{ from: [{ ${team}, podSelector: { matchLabels: { tier: x } } }] }]`,
      "peer needs tier=x, has no label tier",
    ],
    [
      "the policy's own namespace",
      "[{ from: [{ podSelector: {} }] }]",
      "peer needs namespace payments, is shop/checkout-6d4",
    ],
    [
      "a namespace's label",
      "[{ from: [{ namespaceSelector: { matchLabels: { team: b } } }] }]",
      "peer needs a namespace with team=b, has team=a (shop)",
    ],
    ["a port", "[{ ports: [{ port: 1, endPort: 9 }] }]", "port needs 1-9/TCP, has 8443/TCP"],
    [
      "a protocol",
      `[{ from: [{ ${team} }], ports: [{ port: 8443, protocol: UDP }] }]`,
      "peer matches; port needs 8443/UDP, has 8443/TCP",
    ],
    [
      "an exception of a block",
      "[{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.65.0.0/24] } }] }]",
      "peer needs an address in 10.0.0.0/8 except 10.65.0.0/24, has 10.65.0.1",
    ],
  ])("names %s", (_, rules, sentence) => {
    expect(nearest(rules)?.sentence).toBe(sentence);
  });

  it("chooses the rule that lacks least, the first of equals", () => {
    const rules = `[{ from: [{ podSelector: { matchLabels: { a: b } } }], ports: [{ port: 1 }] },
      { ports: [{ port: 2 }] }, { ports: [{ port: 3 }] }]`;
    expect(nearest(rules)?.rule).toBe(1);
  });

  it("knows a named port of the destination", () => {
    const rules = "[{ from: [{ podSelector: {} }], ports: [{ port: https }] }]";
    expect(nearest(rules)?.sentence).toMatch(/^port 8443\/TCP matches/);
  });

  it("says that an address outside is no pod", () => {
    const outside = { sourceRoute: route("10.65.0.1", undefined) };
    expect(nearest("[{ from: [{ podSelector: {} }] }]", outside)?.sentence).toBe(
      "peer needs a pod, is 10.65.0.1",
    );
  });

  it("names a backend and its port, not the Service's, where there are several", () => {
    const pods = [0, 1].map((index) =>
      [
        ...["---", "apiVersion: v1", "kind: Pod"],
        `metadata: { name: db-${index}, namespace: payments, labels: { app: db } }`,
        "spec: { containers: [{ name: a, image: a, ports: [{ name: sql, containerPort: 5432 }] }] }",
        `status: { podIPs: [{ ip: 10.65.1.${index} }] }`,
      ].join("\n"),
    );
    const service = `---
apiVersion: v1
kind: Service
metadata: { name: db, namespace: payments }
spec: { clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], selector: { app: db }, ports: [{ port: 80, targetPort: sql }] }
`;
    const policy = (types: string, rules: string): string => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: allow-web, namespace: payments }
spec: { podSelector: {}, policyTypes: [${types}], ${types.toLowerCase()}: [${rules}] }
${pods.join("\n")}
${service}`;
    const TYPES = { ingress: "Ingress", egress: "Egress" } as const;
    const miss = (direction: "ingress" | "egress", text: string): string | undefined => {
      const isolation = { ...isolationBy(ALLOW_WEB), direction } as const;
      const rule = { ...ruleRef(isolation), owner: "payments/db-1" };
      const flow = droppedFlow({
        ...{ rule, decider: rule },
        ...{ destination: address("10.96.0.9"), destinationPort: 80 },
        destinationRoute: route("10.96.0.9", "service payments/db"),
      });
      return findNearestMiss(flow, contextOf(policy(TYPES[direction], text)))?.sentence;
    };
    expect(miss("ingress", "{ ports: [{ port: 80 }] }")).toBe("port needs 80/TCP, has 5432/TCP");
    expect(miss("ingress", "{ from: [{ podSelector: {} }], ports: [{ port: sql }] }")).toBe(
      "port 5432/TCP matches; peer needs namespace payments, is shop/checkout-6d4",
    );
    expect(
      miss(
        "egress",
        "{ to: [{ podSelector: { matchLabels: { app: api } } }], ports: [{ port: 5432 }] }",
      ),
    ).toBe("port 5432/TCP matches; peer needs app=api, has app=db");
    expect(miss("egress", "{ to: [{ ipBlock: { cidr: 10.96.0.9/32 } }] }")).toBe(
      "peer needs an address in 10.96.0.9/32, has 10.65.1.1, a pod behind 10.96.0.9",
    );
  });

  it("finds nothing where no rule could match, and for what no policy dropped", () => {
    expect(nearest("[]")).toBeUndefined();
    const unasked = { reason: "no-route", rule: undefined, decider: undefined } as const;
    expect(nearest("[{ ports: [{ port: 1 }] }]", unasked)).toBeUndefined();
  });
});
