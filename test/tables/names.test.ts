import { describe, expect, it } from "vitest";
import {
  backendChainName,
  endpointChainName,
  namedPortId,
  policyChainName,
  profileChainName,
  selectorId,
  setName,
  serviceChainName,
  servicePortName,
  vethName,
} from "../../src/tables/names.ts";
import { address, HERE } from "./cluster.ts";

// The expected names were taken from a real cluster and from libcalico-go (semantics, section 22).
describe("policyChainName", () => {
  const named = (namespace: string, name: string): string =>
    policyChainName("ingress", {
      kind: "networking.k8s.io NetworkPolicy",
      namespace,
      name,
      place: HERE,
    });

  it("hashes a name that is too long", () => {
    expect(named("default", "allow-web")).toBe("cali-pi-_l7X9Omtz7dibbh9L3Lp");
  });

  it("keeps a name of up to 28 characters", () => {
    expect(named("a", "x".repeat(14))).toBe(`cali-pi-knp/a/${"x".repeat(14)}`);
    expect(named("a", "x".repeat(15))).toMatch(/^cali-pi-_[A-Za-z0-9_-]{19}$/);
  });

  it("hashes a name that would break out of its line", () => {
    expect(named("a", "b\n-A FORWARD")).toMatch(/^cali-pi-_[A-Za-z0-9_-]{19}$/);
    expect(named("a", "b -j ACCEPT")).toMatch(/^cali-pi-_[A-Za-z0-9_-]{19}$/);
  });
});

describe("endpointChainName and profileChainName", () => {
  it("tells the directions apart", () => {
    expect(endpointChainName("ingress", "cali0d7763386da")).toBe("cali-tw-cali0d7763386da");
    expect(endpointChainName("egress", "cali0d7763386da")).toBe("cali-fw-cali0d7763386da");
    expect(profileChainName("ingress", "kns.shop")).toBe("cali-pri-kns.shop");
    expect(profileChainName("egress", "kns.shop")).toBe("cali-pro-kns.shop");
  });
});

describe("vethName", () => {
  it("is the one of the pod on its node", () => {
    expect(vethName("default", "web-0")).toBe("cali0d7763386da");
  });
});

describe("set names", () => {
  it("are the hash of the canonical selector", () => {
    expect(selectorId("all()")).toBe("s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug");
    expect(selectorId("!(has(b) || !has(a))")).toBe("s:Iss0uCleLYv1GSv_pNm7hAO58kE9jAx1NKyG3Q");
  });

  it("have 31 characters", () => {
    const selector =
      '(projectcalico.org/namespace == "default" && (projectcalico.org/orchestrator == "k8s" && role == "frontend"))';
    expect(setName(4, selectorId(selector))).toBe("cali40s:8e8v9b88qXpwDYA2DUkLaK6");
    expect(setName(6, selectorId(selector))).toBe("cali60s:8e8v9b88qXpwDYA2DUkLaK6");
  });

  it("of named ports are the hash of selector, protocol and name", () => {
    const port = { selector: "all()", protocol: "TCP", name: "http" } as const;
    expect(setName(4, namedPortId(port))).toBe("cali40n:cl9_Kgeu4H0OGLbhovVR3NB");
  });
});

describe("Service chain names", () => {
  it.each([
    ["default", "kubernetes", "https", "TCP", "KUBE-SVC-NPX46M4PTMTKRN6Y"],
    ["kube-system", "kube-dns", "dns", "UDP", "KUBE-SVC-TCOU7JCQXEZGVUNU"],
    ["kube-system", "kube-dns", "dns-tcp", "TCP", "KUBE-SVC-ERIFXISQEP7F7OF4"],
  ] as const)("of %s/%s:%s are kube-proxy's", (namespace, name, port, protocol, chain) => {
    expect(
      serviceChainName("KUBE-SVC-", servicePortName({ namespace, name, port }), protocol),
    ).toBe(chain);
  });

  it("have no colon for an unnamed port", () => {
    expect(servicePortName({ namespace: "a", name: "b", port: undefined })).toBe("a/b");
  });

  it("tell backends apart", () => {
    const one = backendChainName("a/b", "TCP", { address: address("10.0.0.1"), port: 80 });
    const other = backendChainName("a/b", "TCP", { address: address("10.0.0.1"), port: 81 });
    expect(one).toMatch(/^KUBE-SEP-[A-Z2-7]{16}$/);
    expect(other).not.toBe(one);
  });
});
