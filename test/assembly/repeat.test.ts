/**
 * Packets like an earlier one of their connection, where something that is not in their headers has changed
 * since: they must walk the rules again. `judgeNode` walks every packet, too, and fails where any differs.
 */
import { describe, expect, it } from "vitest";
import type { Program } from "../../src/engine/program.ts";
import { buildFrame, buildPcapng, TCP, UDP, type PacketSpec, type TimedFrame } from "../frames.ts";
import { compileObjects, judgeCapture, replayCapture } from "../judge.ts";
import { judgeNode, NODE_MAC, nodeOf } from "../match/judge-node.ts";

const START_NS = 1_700_000_000_000_000_000n;
const PEER_MAC = "02:00:00:00:00:01";

/** What is not as usual: UDP from 192.0.2.7, port 1007, to the node's port 53. A tenth of a second apart. */
type Step = Partial<PacketSpec>;

function frames(steps: readonly Step[], gapNs = 100_000_000n): TimedFrame[] {
  return steps.map((step, index) => ({
    bytes: buildFrame({
      source: "192.0.2.7",
      destination: "192.0.2.1",
      protocol: UDP,
      sourcePort: 1007,
      destinationPort: 53,
      destinationMac: NODE_MAC,
      id: index + 1,
      ...step,
    }),
    timestampNs: START_NS + BigInt(index) * gapNs,
    captureInterface: 0,
  }));
}

/** `1`, `0` or `?` for each packet: whether it was dropped. */
async function dropped(
  rules: readonly string[],
  steps: readonly Step[],
  { sets = "", raw = [] as readonly string[] } = {},
): Promise<string> {
  const table = ["*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ...raw, "COMMIT"];
  const before = raw.length === 0 ? "" : table.join("\n");
  const verdicts = await judgeNode(rules, frames(steps), "legacy", sets, before);
  return verdicts
    .map(({ verdict }) => (verdict === "drop" ? "1" : verdict === "allow" ? "0" : "?"))
    .join("");
}

const usual: Step = {};
const answer: Step = {
  source: "192.0.2.1",
  destination: "192.0.2.7",
  sourcePort: 53,
  destinationPort: 1007,
  sourceMac: NODE_MAC,
  destinationMac: PEER_MAC,
};
const TRACKS = "-A INPUT -m conntrack --ctstate INVALID -j DROP";

describe("a packet like an earlier one", () => {
  it.each([
    ["not tracked", ""],
    ["tracked", TRACKS],
  ])("is counted in a set, which a rule looks at, %s", async (_, tracks) => {
    const rules = [
      ...(tracks === "" ? [] : [tracks]),
      "-A INPUT -m set ! --update-counters --match-set s src --packets-gt 3 -j ACCEPT",
      "-A INPUT -m set --match-set s src -j DROP",
    ];
    const sets = "create s hash:ip counters\nadd s 192.0.2.7";
    const steps = [usual, usual, usual, usual, usual, usual];
    expect(await dropped(rules, steps, { sets })).toBe("111100");
  });

  it("sees what other connections have counted in a set", async () => {
    const rules = [
      "-A INPUT -p udp --dport 99 -m set --match-set s src -j ACCEPT",
      "-A INPUT -m set ! --update-counters --match-set s src --packets-gt 2 -j DROP",
    ];
    const sets = "create s hash:net counters\nadd s 192.0.2.0/24";
    const other: Step = { source: "192.0.2.8", destinationPort: 99 };
    const steps = [usual, usual, usual, other, other, other, usual];
    expect(await dropped(rules, steps, { sets })).toBe("0000001");
  });

  it("comes from another MAC address, which a set holds", async () => {
    const rules = [TRACKS, "-A INPUT -m set --match-set s src -j DROP"];
    const sets = "create s hash:mac\nadd s 02:00:00:00:00:0a";
    const listed: Step = { sourceMac: "02:00:00:00:00:0a" };
    const other: Step = { sourceMac: "02:00:00:00:00:0b" };
    expect(await dropped(rules, [listed, listed, listed, other], { sets })).toBe("1110");
    const ports = [1007, 1008, 1009, 1010].map((sourcePort) => ({ sourcePort }));
    const steps = ports.map((port, index) => ({ ...(index < 3 ? listed : other), ...port }));
    expect(await dropped(rules, steps, { sets })).toBe("1110");
  });

  it("may be in a set that a packet on a way of its own has perhaps changed", async () => {
    const rules = [
      "-A INPUT -m set --match-set s src -j DROP",
      "-A INPUT -p udp --dport 99 -j SET --add-set s dst",
    ];
    const raw = ["-A PREROUTING -p udp --dport 99 -j CT --zone 5"];
    const odd: Step = { source: "192.0.2.8", destinationPort: 99 };
    const steps = [usual, usual, usual, odd, usual];
    expect(await dropped(rules, steps, { sets: "create s hash:ip", raw })).toBe("000??");
  });

  it("may be expected once an earlier packet has a helper", async () => {
    const rules = ["-A INPUT -m conntrack --ctstate RELATED -j ACCEPT", "-A INPUT -j DROP"];
    const raw = ["-A PREROUTING -p tcp --dport 21 -j CT --helper ftp"];
    const ftp: Step = { protocol: TCP, destinationPort: 21, sourcePort: 5000 };
    const data: Step = { protocol: TCP, destinationPort: 5001, sourcePort: 20 };
    expect(await dropped(rules, [data, data, ftp, data], { raw })).toBe("111?");
  });

  it("that is not tracked may be of a connection by now", async () => {
    const rules = [
      TRACKS,
      ":OUTPUT ACCEPT [0:0]",
      "-A OUTPUT -m conntrack --ctstate UNTRACKED -j DROP",
    ];
    const raw = ["-A OUTPUT -j NOTRACK"];
    expect(await dropped(rules, [answer, answer, usual, answer], { raw })).toBe("1101");
  });
});

describe("a mark that a packet sets which is tried both ways", () => {
  const BY_CHANCE = "-A INPUT -m statistic --mode random --probability 0.5";
  const marking: Step = { ttl: 10 };

  it("is set once all ways are tried, and not before", async () => {
    const rules = [
      TRACKS,
      `${BY_CHANCE} -j MARK --set-mark 5`,
      "-A INPUT -m ttl --ttl-eq 10 -m connmark --mark 1 -j DROP",
      "-A INPUT -m ttl --ttl-eq 10 -j CONNMARK --set-mark 1",
    ];
    expect(await dropped(rules, [usual, usual, marking, usual, marking])).toBe("00001");
  });

  it("is not known where only one way sets it", async () => {
    const rules = [
      TRACKS,
      "-A INPUT -m ttl --ttl-eq 20 -m connmark --mark 1 -j DROP",
      `${BY_CHANCE} -m ttl --ttl-eq 10 -j CONNMARK --set-mark 1`,
      "-A INPUT -m ttl --ttl-eq 30 -j CONNMARK --set-mark 2",
    ];
    const asking: Step = { ttl: 20 };
    const setting: Step = { ttl: 30 };
    const steps = [usual, asking, marking, asking, usual, asking, setting, asking];
    expect(await dropped(rules, steps)).toBe("000?0?00");
  });
});

it("is of a state that is known where two of its connection's packets doubt its mark otherwise", async () => {
  const BY_CHANCE = "-A INPUT -m statistic --mode random --probability 0.5 -m ttl";
  const rules = [
    "-A INPUT -m ttl --ttl-eq 40 -m conntrack --ctstate ESTABLISHED -j DROP",
    "-A INPUT -m ttl --ttl-eq 20 -m connmark --mark 1 -j DROP",
    "-A INPUT -m ttl --ttl-eq 21 -m connmark --mark 0 -j DROP",
    `${BY_CHANCE} --ttl-eq 10 -j CONNMARK --set-mark 1`,
    `${BY_CHANCE} --ttl-eq 30 -j CONNMARK --set-mark 2`,
  ];
  const steps = [64, 40, 10, 40, 30, 40, 20, 21].map((ttl): Step => ({ ttl }));
  expect(await dropped(rules, steps)).toBe("000000??");
});

describe("a set that is changed again and again", () => {
  const rules = [
    TRACKS,
    "-A INPUT -p udp --dport 99 -j SET --add-set s src",
    "-A INPUT -m set --match-set s src -j DROP",
  ];
  const sets = "create s hash:ip";
  const listed: Step = { source: "192.0.2.8" };
  const adding: Step = { ...listed, destinationPort: 99 };

  it("leaves no memory behind", async () => {
    const compiled = nodeOf(rules, "legacy", 4, sets);
    const memoryAfter = async (turns: number): Promise<number> => {
      const steps = Array.from({ length: turns }, () => [usual, usual, usual, adding]).flat();
      const capture = buildPcapng(frames(steps), ["eth0"]);
      let memory = 0;
      await replayCapture({ compiled, capture, packetsWanted: false }, (matcher) => {
        memory = matcher.allocate(0);
      });
      return memory;
    };
    expect((await memoryAfter(24_000)) - (await memoryAfter(8000))).toBeLessThan(500_000);
  });

  it.each([1, 2])("leaves what it said of others to nobody else, %i more of them", async (more) => {
    const idle = Array.from({ length: 12_000 }, (_, index): Step => ({ sourcePort: 2000 + index }));
    const turns = idle.flatMap((one) => [adding, listed, listed, one, one]);
    const before = Array.from({ length: more }, (_, index) => ({ destinationPort: 60 + index }));
    const steps = [listed, ...before, ...before, ...turns, adding, listed, listed, ...idle];
    const verdicts = await judgeNode(rules, frames(steps, 400_000n), "legacy", sets);
    const last = verdicts.slice(-idle.length);
    expect(new Set(last.map(({ verdict }) => verdict))).toEqual(new Set(["allow"]));
  });
});

describe("connections of one tuple after another", () => {
  const CLIENTS = 20_000;
  // Two packets of each, and all that came behind them has expired before the next turn.
  const turn = Array.from({ length: CLIENTS }, (_, index): Step => ({ sourcePort: 2000 + index }));
  const memoryAfter = async (compiled: Program, turns: number): Promise<number> => {
    const list = Array.from({ length: turns * 2 }, () => turn).flat();
    const capture = buildPcapng(
      frames(list).map((frame, index) => {
        const offset = BigInt(index % (2 * CLIENTS)) * 1000n;
        const begun = BigInt(Math.floor(index / (2 * CLIENTS))) * 200_000_000_000n;
        return { ...frame, timestampNs: START_NS + begun + offset };
      }),
      ["eth0"],
    );
    let memory = 0;
    await replayCapture({ compiled, capture, packetsWanted: false }, (matcher) => {
      memory = matcher.allocate(0);
    });
    return memory;
  };

  it.each([
    ["are no more than those before", []],
    ["are marked", ["-A INPUT -j CONNMARK --set-mark 1"]],
  ])(
    "take the memory that the first ones have left, and some of the index: they %s",
    async (_, marking) => {
      const compiled = nodeOf([TRACKS, ...marking], "legacy", 4);
      const more = (await memoryAfter(compiled, 3)) - (await memoryAfter(compiled, 1));
      expect(more).toBeLessThan(CLIENTS * 60);
    },
  );
});

describe("a packet that the node sends", () => {
  it("begins at OUTPUT, be it a connection's first or not", async () => {
    const rules = [TRACKS, ":OUTPUT ACCEPT [0:0]", "-A OUTPUT -p udp --sport 54 -j DROP"];
    expect(await dropped(rules, [answer, answer, usual, answer])).toBe("0000");
    expect(await dropped(rules, [usual, answer, answer])).toBe("000");
  });
});

const NAMESPACE = "shop";

function pod(name: string, ip: string, node = "node-1"): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: NAMESPACE, labels: { app: name } },
    spec: { nodeName: node, containers: [] },
    status: { podIPs: [{ ip }] },
  };
}

/** A Service of one pod. */
function service(name: string, clusterIP: string, address: string, port: number): object[] {
  const ports = [{ name: "udp", port: 80, protocol: "UDP", targetPort: port }];
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: NAMESPACE },
      spec: { clusterIP, clusterIPs: [clusterIP], type: "ClusterIP", ports },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      addressType: "IPv4",
      metadata: {
        name: `${name}-1`,
        namespace: NAMESPACE,
        labels: { "kubernetes.io/service-name": name },
      },
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
      ports: [{ name: "udp", port, protocol: "UDP" }],
    },
  ];
}

describe("a packet behind its translation", () => {
  it("is the answer of a connection that has its tuple since", async () => {
    const compiled = compileObjects([
      { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
      pod("web", "10.1.0.1"),
      pod("api", "10.1.0.2"),
      ...service("api", "10.96.0.1", "10.1.0.2", 8080),
      ...service("web", "10.96.0.2", "10.1.0.1", 1007),
    ]);
    const web = { source: "10.1.0.1", sourcePort: 1007 };
    const seen: Step = { ...web, destination: "10.1.0.2", destinationPort: 8080 };
    const steps: Step[] = [
      { ...web, destination: "10.96.0.1", destinationPort: 80 },
      seen,
      seen,
      { source: "10.1.0.2", sourcePort: 8080, destination: "10.96.0.2", destinationPort: 80 },
      seen,
      seen,
    ];
    const verdicts = await judgeCapture({ compiled, capture: buildPcapng(frames(steps)) });
    const observed = verdicts.map((one) => one.observed);
    expect(observed).toEqual([false, true, true, false, false, false]);
    expect(verdicts.map(({ reply }) => reply)).toEqual([false, false, false, false, true, true]);
  });
});

describe("a first packet that is sent again once other rules translate", () => {
  const objects = [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
    pod("web", "10.1.0.1"),
    pod("api", "10.1.0.2", "node-2"),
    pod("new", "10.1.0.3", "node-2"),
  ];
  const toService: Step = { source: "10.1.0.1", destination: "10.96.0.1", destinationPort: 80 };

  it.each([
    ["to nothing", [], "allow unknown"],
    ["to another pod", service("api", "10.96.0.1", "10.1.0.3", 8080), "allow allow"],
    ["as before", service("api", "10.96.0.1", "10.1.0.2", 8080), "allow allow"],
  ])("goes on as its connection does, or nobody knows: %s", async (_, later, expected) => {
    const compiled = compileObjects([...objects, ...service("api", "10.96.0.1", "10.1.0.2", 8080)]);
    const turn = { packet: 2, program: compileObjects([...objects, ...later]) };
    const capture = buildPcapng(frames([toService, toService]));
    const verdicts = await judgeCapture({ compiled, capture, turn });
    expect(verdicts.map(({ verdict }) => verdict).join(" ")).toBe(expected);
    const translated = verdicts.flatMap(({ translated: to }) =>
      to === undefined ? [] : [to.port],
    );
    expect(translated).toEqual(expected === "allow allow" ? [8080, 8080] : [8080]);
  });
});
