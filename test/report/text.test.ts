import { describe, expect, it } from "vitest";
import type { FlowVerdict } from "../../src/engine/verdict.ts";
import type { BlindSpot } from "../../src/cluster/snapshot.ts";
import type { ReplayReport } from "../../src/report/json.ts";
import { replayText } from "../../src/report/text.ts";
import {
  POLICIES,
  address,
  contextOf,
  droppedFlow,
  isolationBy,
  policyRef,
  reportOf,
  route,
  ruleRef,
  unknownFlow,
} from "./verdicts.ts";

const context = contextOf(POLICIES);

const textOf = (flows: readonly FlowVerdict[], changes?: Partial<ReplayReport>): string =>
  replayText(reportOf(flows, changes), context);

describe("replayText", () => {
  it("gathers drops by workload pair and port, with policy, line and nearest miss", () => {
    const retry = droppedFlow({ sourcePort: 41123, packets: 1 });
    expect(textOf([droppedFlow(), retry])).toBe(`\
Dropped: shop/checkout-6d4 -> payments/api-0 8443/tcp.
4 packets, 2 flows: 4 drop

DROPPED FROM       TO              PORT      FLOWS  PACKETS
shop/checkout-6d4  payments/api-0  8443/tcp      2        4
  no ingress rule of the policies selecting payments/api-0 matches
  NetworkPolicy payments/default-deny ingress  policies.yaml:3
  nearest: none, there is no rule in this direction
`);
  });

  it("lists pods that policies do not bind, those of a workload together", () => {
    const spot = (name: string, powers: BlindSpot["powers"]): BlindSpot => ({
      namespace: "kube-system",
      name,
      workload: { kind: "DaemonSet", name: "proxy" },
      node: "n1",
      powers,
      place: { file: "pods.yaml", line: 3 },
    });
    const blindSpots = [
      spot("proxy-a", ["hostNetwork", "privileged"]),
      spot("proxy-b", ["hostNetwork", "privileged"]),
      spot("proxy-c", ["NET_ADMIN"]),
    ];
    expect(textOf([], { blindSpots })).toContain(`
PODS  NOT BOUND BY POLICY  BECAUSE OF
   2  kube-system/proxy    hostNetwork, privileged
   1  kube-system/proxy    NET_ADMIN
`);
  });

  it("prints a reason that several ports share once", () => {
    const text = textOf([droppedFlow(), droppedFlow({ destinationPort: 9090, packets: 1 })]);
    expect(text).toMatch(/, and 1 other\.$/m);
    expect(text.match(/no ingress rule/g)).toHaveLength(1);
  });

  it("counts clients outside the cluster in one row", () => {
    const clients = ["203.0.113.1", "203.0.113.2"].map((text) =>
      droppedFlow({ source: address(text), sourceRoute: route(text, undefined) }),
    );
    expect(textOf(clients)).toMatch(/^outside\(2\) +payments\/api-0 +8443\/tcp +2 +6$/m);
  });

  it("gathers unknowns by the missing fact and says how to supply it", () => {
    const first = unknownFlow({ reason: "missing-source", packets: 2 });
    const second = { ...first, source: address("10.65.0.8") };
    expect(textOf([first, second]).split("\n").slice(3, -1)).toEqual([
      "UNKNOWN FLOWS  PACKETS  MISSING FACT",
      "            2        4  no pod has address 10.65.0.1",
      "  no pod has address 10.65.0.8",
      "  -> take the manifests at the time of the capture, or name the pod: --endpoint",
      "    10.65.0.1=NAMESPACE/NAME",
    ]);
  });

  it("counts undecided packets that no flow has", () => {
    const report = reportOf([unknownFlow({ packets: 2 })]);
    const totals = { ...report.totals, withoutFlow: 13 };
    expect(textOf([unknownFlow({ packets: 2 })], { totals })).toContain(
      "   13  unknown without a flow: ",
    );
    expect(textOf([unknownFlow({ packets: 2 })])).not.toContain("without a flow");
  });

  it("shows drops of packets that were let through when they were captured", () => {
    expect(textOf([droppedFlow({ observed: true })])).toMatch(/^ +3 {2}contradictions: /m);
  });

  it.each([
    ["an empty capture", [], {}, "The capture holds no packets."],
    ["all allowed", [droppedFlow({ verdict: "allow" })], {}, "Everything that the filter sees is"],
    ["undecided", [unknownFlow({ reason: "no-ports" })], {}, "Nothing is dropped, but not every"],
    ["a stop", [droppedFlow()], { partial: "interrupted" }, "Interrupted: this is the report up"],
    ["damage", [droppedFlow()], { partial: "damaged" }, "Partial: a capture is damaged"],
  ] as const)("opens with what matters of %s", (_, flows, changes, start) => {
    expect(textOf(flows, changes).startsWith(start)).toBe(true);
  });

  it("stays within 100 columns, whatever has to be said", () => {
    const flows = [
      droppedFlow(),
      ...(["no-node", "backend", "no-endpoint", "link-type", "missing-source"] as const).map(
        (reason) => unknownFlow({ reason, translated: undefined }),
      ),
    ];
    const lines = textOf(flows).split("\n");
    expect(lines.filter((line) => line.length > 100)).toEqual([]);
  });

  it("lets no name steer the terminal or forge a line", () => {
    const evil = "\u001b[31mx\u0007\nEverything that the filter sees is allowed.\u202e";
    const rule = ruleRef(isolationBy(policyRef(evil, 3)));
    const destinationRoute = route("10.65.0.3", `payments/${evil}`);
    const flows = [
      droppedFlow({ rule, decider: rule, destinationRoute }),
      unknownFlow({ reason: "unresolved-source", sourceName: evil }),
    ];
    const text = textOf(flows);
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(text).not.toMatch(/^Everything/m);
    expect(text).toContain("\\x1b[31mx\\x07\\x0aEverything");
  });
});
