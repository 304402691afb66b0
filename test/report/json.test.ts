import { describe, expect, it } from "vitest";
import { packetJson, stringifyJson } from "../../src/report/json.ts";
import { droppedPacket } from "./verdicts.ts";

const parsed = (changes: Parameters<typeof droppedPacket>[0]): Record<string, unknown> =>
  JSON.parse(stringifyJson(packetJson(droppedPacket(changes), "frames"))) as Record<
    string,
    unknown
  >;

describe("packetJson", () => {
  it("has the documented shape", () => {
    expect(parsed({ reject: "icmp-port-unreachable" })).toEqual({
      packet: 17,
      time: "2023-11-14T22:13:20.123456789Z",
      verdict: "drop",
      reject: "icmp-port-unreachable",
      family: 4,
      protocol: "tcp",
      source: "10.65.0.1",
      sourcePort: 41122,
      destination: "10.65.0.3",
      destinationPort: 8443,
      from: "shop/checkout-6d4",
      to: "payments/api-0",
      state: "NEW",
      inInterface: "cali1",
      outInterface: null,
      rule: { table: "filter", chain: "cali-tw-cali1", number: 9 },
      policy: {
        apiGroup: "networking.k8s.io",
        kind: "NetworkPolicy",
        namespace: "payments",
        name: "default-deny",
        direction: "ingress",
        rule: null,
        file: "policies.yaml",
        line: 3,
      },
      reason: "no ingress rule of the policies selecting payments/api-0 matches",
      bytes: 74,
    });
  });

  it("has a null time where the text gives none, and no date where it gives none", () => {
    expect(parsed({ timestampNs: undefined })["time"]).toBeNull();
    expect(parsed({ timestampNs: 3_661_000_000_001n, timeOfDay: true })["time"]).toBe(
      "01:01:01.000000001",
    );
  });

  it("says where an allowed packet leaves, null when it stays", () => {
    expect(parsed({ verdict: "allow", outInterface: "cali2" })["outInterface"]).toBe("cali2");
    expect(parsed({ verdict: "allow" })["outInterface"]).toBeNull();
  });

  it("leaves out what is not known", () => {
    const keys = Object.keys(
      parsed({ verdict: "unfiltered", reason: "not-ip", decider: undefined }),
    );
    expect(keys).not.toContain("policy");
    expect(keys).not.toContain("outInterface");
  });
});

describe("stringifyJson", () => {
  it("keeps strings as they are and writes none that could steer a terminal", () => {
    const evil = "\u001b]0;x\u0007\u009b31m\u202e\u200b\u2028\n<\u007f";
    const text = stringifyJson({ name: evil });
    expect(text).toMatch(/^[\u0020-\u007e]+$/);
    expect(JSON.parse(text)).toEqual({ name: evil });
  });
});
