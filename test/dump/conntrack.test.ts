/** Connections of before the capture: what is read of their dump, and how packets of theirs are judged. */
import { describe, expect, it } from "vitest";

import { parseConnections } from "../../src/dump/conntrack.ts";
import { parseNode } from "../../src/dump/node.ts";
import { formatDiagnostic, type Diagnostic } from "../../src/errors.ts";
import { formatAddress } from "../../src/net/address.ts";
import type { ConnectionTuple } from "../../src/tables/model.ts";
import { buildFrame, buildPcapng, TCP, UDP, type PacketSpec, type TimedFrame } from "../frames.ts";
import { judgeCapture } from "../judge.ts";

function read(...lines: readonly string[]) {
  const said: Diagnostic[] = [];
  const connections = parseConnections(lines.join("\n"), "c", (each) => said.push(each));
  return { connections, said: said.map((each) => formatDiagnostic(each)) };
}

function text({ source, sourcePort, destination, destinationPort }: ConnectionTuple): string {
  return `${formatAddress(source)}|${sourcePort} ${formatAddress(destination)}|${destinationPort}`;
}

const TUPLES = "src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=80";
const BACK = "src=10.0.0.2 dst=10.0.0.1 sport=80 dport=1000";

// A line; what is made of it.
const LINES: readonly (readonly [line: string, made: string])[] = [
  [
    `ipv4     2 tcp      6 431999 ESTABLISHED ${TUPLES} ${BACK} [ASSURED] mark=0 zone=0 use=2`,
    "6 state 3 431999s 10.0.0.1|1000 10.0.0.2|80 / 10.0.0.2|80 10.0.0.1|1000 answered assured mark 0",
  ],
  [
    `tcp      6 119 SYN_SENT ${TUPLES} packets=1 bytes=60 [UNREPLIED] ${BACK} packets=0 bytes=0 mark=7 secctx=system_u:object_r:x:s0 delta-time=1 [start=Fri Nov 27 01:07:16 2026] use=1 id=4174903079 labels=a,b`,
    "6 state 1 119s 10.0.0.1|1000 10.0.0.2|80 / 10.0.0.2|80 10.0.0.1|1000 mark 7",
  ],
  [
    "ipv6     10 udp      17 29 src=fd00:0000:0000:0000:0000:0000:0000:0001 dst=fd00::2 sport=5 dport=53 src=fd00::3 dst=fd00::9 sport=5353 dport=6 mark=0 use=1",
    "17 state 0 29s fd00::1|5 fd00::2|53 / fd00::3|5353 fd00::9|6 answered mark 0",
  ],
  [
    "icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=78 use=1",
    "1 state 0 29s 10.0.0.1|77 10.0.0.2|2048 / 10.0.0.2|78 10.0.0.1|0 mark 0",
  ],
  [
    "icmpv6   58 29 src=fd00::1 dst=fd00::2 type=128 code=0 id=1 src=fd00::2 dst=fd00::1 type=129 code=0 id=1 mark=0",
    "58 state 0 29s fd00::1|1 fd00::2|32768 / fd00::2|1 fd00::1|33024 answered mark 0",
  ],
  [
    `sctp     132 209 ESTABLISHED ${TUPLES} ${BACK} [ASSURED] mark=0 use=1`,
    "132 state 4 209s 10.0.0.1|1000 10.0.0.2|80 / 10.0.0.2|80 10.0.0.1|1000 answered assured mark 0",
  ],
  [
    `dccp     33 9 REQUEST ${TUPLES} [UNREPLIED] ${BACK} mark=0 use=1`,
    "33 state 1 9s 10.0.0.1|1000 10.0.0.2|80 / 10.0.0.2|80 10.0.0.1|1000 mark 0",
  ],
  [
    `udplite  136 29 ${TUPLES} [UNREPLIED] ${BACK} mark=0 use=1`,
    "136 state 0 29s 10.0.0.1|1000 10.0.0.2|80 / 10.0.0.2|80 10.0.0.1|1000 mark 0",
  ],
  [
    "gre      47 179 src=10.0.0.1 dst=10.0.0.2 srckey=0x0 dstkey=0x0 src=10.0.0.2 dst=10.0.0.1 srckey=0x0 dstkey=0x0 mark=0",
    "47 state 0 179s 10.0.0.1|0 10.0.0.2|0 / 10.0.0.2|0 10.0.0.1|0 answered mark 0",
  ],
  [
    "unknown  253 599 src=10.0.0.1 dst=10.0.0.2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 mark=0 use=1",
    "253 state 0 599s 10.0.0.1|0 10.0.0.2|0 / 10.0.0.2|0 10.0.0.1|0 mark 0",
  ],
  [
    `tcp      6 ${TUPLES} ${BACK} [OFFLOAD] mark=0 use=3`,
    "6 state 0 86400s 10.0.0.1|1000 10.0.0.2|80 / 10.0.0.2|80 10.0.0.1|1000 answered beyond mark 0",
  ],
];

describe("parseConnections", () => {
  it.each(LINES)("reads %s", (line, made) => {
    const { connections } = read(
      line,
      "conntrack v1.4.7 (conntrack-tools): 1 flow entries have been shown.",
    );
    const [each] = connections;
    const words = (["answered", "assured", "beyond"] as const).filter((word) => each?.[word]);
    expect(
      `${each!.protocol} state ${each!.state} ${each!.timeoutSeconds}s ${text(each!.original)} / ${text(each!.reply)} ${[...words, `mark ${each!.mark}`].join(" ")}`,
    ).toBe(made);
  });

  it.each([
    ["tcp 6 10 ESTAB src=1.1.1.1", 'c:1:10: error: "ESTAB": expected src=, or a state: NONE,'],
    [`tcp 6 10 NONE ${TUPLES}`, "c:1:60: error: the line ends: expected src=ADDRESS"],
    [
      "udp 17 10 src=1.1.1.1 dst=1.1.1.256 sport=1",
      'c:1:23: error: "dst=1.1.1.256": expected dst=ADDRESS',
    ],
    [
      "udp 17 10 src=1.1.1.1 dst=1.1.1.2 sport=70000",
      'c:1:35: error: "sport=70000": expected sport=NUMBER up to 65535',
    ],
    [`udp 17 10 ${TUPLES} [NEW] ${BACK}`, 'c:1:57: error: "[NEW]": expected [UNREPLIED]'],
    [`[NEW] udp 17 10 ${TUPLES} ${BACK}`, 'c:1:1: error: "[NEW]": expected the name of a protocol'],
    [`udp 17 ${TUPLES} ${BACK}`, "expected the seconds that are left"],
    ["-A -t 299 -u SEEN_REPLY", 'c:1:1: error: "-A": expected the name of a protocol'],
  ])("refuses %s", (line, error) => {
    expect(read(line).said.join()).toContain(error);
  });

  it("says what is left aside, and what becomes unknown by it", () => {
    const { connections, said } = read(
      `udp 17 9 ${TUPLES} ${BACK} mark=0 zone=5 use=1`,
      `udp 17 9 ${TUPLES} zone-orig=5 ${BACK} mark=0 colour=red use=1`,
      `tcp 6 9 ESTABLISHED ${TUPLES} ${BACK} helper=ftp use=1`,
    );
    expect(connections).toHaveLength(2);
    expect(said).toEqual([
      "c: warning: 1 connection of zones other than 0 left aside: packets that a rule puts into a zone are unknown [UNSUPPORTED_FEATURE]",
      "c: warning: 1 connection in flow tables (OFFLOAD), in a zone of one direction or with keys of their own: their packets are unknown [UNSUPPORTED_FEATURE]",
      "c: warning: 1 connection with a helper: a new connection may be one that it expects, and is unknown where that matters [UNSUPPORTED_FEATURE]",
      "c: warning: fields that are not known are left aside: colour [UNSUPPORTED_FEATURE]",
    ]);
  });
});

// ── Verdicts ──────────────────────────────────────────────────────────────────────────────────────────

const MAC = "02:00:00:00:00:10";
const ADDRESSES = JSON.stringify([
  {
    ...{ ifname: "eth0", flags: [], link_type: "ether", address: MAC },
    addr_info: [{ local: "192.0.2.1", prefixlen: 24, scope: "global" }],
  },
  {
    ...{ ifname: "cali1", flags: [], link_type: "ether", address: "02:00:00:00:00:11" },
    addr_info: [],
  },
]);
const ROUTES = JSON.stringify([
  { dst: "default", gateway: "192.0.2.254", dev: "eth0" },
  { dst: "10.1.0.7", dev: "cali1" },
]);
const RULES = [
  ...["*filter", ":INPUT ACCEPT", ":FORWARD DROP", ":OUTPUT ACCEPT"],
  "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
  "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
  "-A FORWARD -p sctp -m conntrack --ctstate NEW -m connmark --mark 9 -j ACCEPT",
  "COMMIT",
  "",
].join("\n");

/** Seconds since the capture's first packet, and the packet. */
type Moment = readonly [seconds: number, fields: Partial<PacketSpec>];

async function judge(connections: readonly string[], moments: readonly Moment[]) {
  const state = parseNode(
    {
      iptables: [{ file: "r", text: RULES, backend: "legacy" }],
      ip6tables: [],
      ipset: [],
      addresses: [{ file: "a", text: ADDRESSES }],
      routes: [{ file: "o", text: ROUTES }],
      conntrack: [{ file: "c", text: connections.join("\n") }],
      backend: undefined,
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(diagnostic.message);
    },
  );
  const frames = moments.map(([seconds, fields]): TimedFrame => {
    const both = { source: "192.0.2.20", destination: "10.1.0.7", sourcePort: 5, ...fields };
    return {
      bytes: buildFrame({ destinationMac: MAC, destinationPort: 80, protocol: UDP, ...both }),
      timestampNs: 1_000_000_000_000n + BigInt(seconds * 1000) * 1_000_000n,
      captureInterface: 0,
    };
  });
  const verdicts = await judgeCapture({ compiled: state, capture: buildPcapng(frames, ["eth0"]) });
  return verdicts.map(({ verdict, reason, ctState }) =>
    verdict === "unknown" ? reason : `${verdict} ${ctState ?? ""}`,
  );
}

const FLOW = "src=192.0.2.20 dst=10.1.0.7 sport=5 dport=80";
const FLOW_BACK = "src=10.1.0.7 dst=192.0.2.20 sport=80 dport=5";

describe("connections of the dump", () => {
  // What is printed is rounded down: there are up to a second more, and the ticks of the kernel's clock.
  it.each<readonly [seconds: number, word: string]>([
    [19.98, "allow ESTABLISHED"],
    [19.99, "deadline"],
    [20, "deadline"],
    [20.7, "deadline"],
    [21.01, "deadline"],
    [21.012, "drop NEW"],
  ])(
    "are there for the seconds that are left, counted from the first packet: %f",
    async (at, word) => {
      const dump = [`udp 17 20 ${FLOW} ${FLOW_BACK} mark=0`];
      const other = { sourcePort: 6 };
      expect(
        await judge(dump, [
          [0, other],
          [at, {}],
        ]),
      ).toEqual(["drop NEW", word]);
    },
  );

  it("are there perhaps in their last second, from the first packet on", async () => {
    const dump = [`udp 17 0 ${FLOW} ${FLOW_BACK} mark=0`];
    expect(await judge(dump, [[0, {}]])).toEqual(["deadline"]);
  });

  it("of UDP may be streams, where their age is not told", async () => {
    const [dump, aged] = ["", " delta-time=0"].map((age) => [
      `udp 17 20 ${FLOW} ${FLOW_BACK} mark=0${age}`,
    ]);
    for (const [connections, word] of [
      [dump!, "deadline"],
      [aged!, "drop NEW"],
    ] as const) {
      const moments: Moment[] = [
        [0, {}],
        [40, {}],
      ];
      expect(await judge(connections, moments)).toEqual(["allow ESTABLISHED", word]);
    }
  });

  it("are translated as they were", async () => {
    const dump = [
      "udp 17 20 src=192.0.2.20 dst=10.96.0.1 sport=5 dport=80 src=10.1.0.7 dst=192.0.2.20 sport=8080 dport=5 mark=0",
    ];
    expect(await judge(dump, [[0, { destination: "10.96.0.1" }]])).toEqual(["allow ESTABLISHED"]);
  });

  it("keep their state, where nobody answered yet", async () => {
    const dump = [`udp 17 20 ${FLOW} [UNREPLIED] ${FLOW_BACK} mark=0`];
    expect(await judge(dump, [[0, {}]])).toEqual(["drop NEW"]);
  });

  it("of TCP go on with what fits a window, however large; else they are unknown", async () => {
    const dump = [`tcp 6 9000 ESTABLISHED ${FLOW} ${FLOW_BACK} [ASSURED] mark=0`];
    const segment = { protocol: TCP, flags: "." };
    expect(
      await judge(dump, [
        [0, { ...segment, seq: 1000, ack: 5000 }],
        [0.1, { ...segment, seq: 3000, ack: 5000 }],
        [0.2, { ...segment, seq: 0x7000_0000, ack: 5000 }],
        [0.3, { ...segment, flags: "S", seq: 1, ack: 0 }],
        [0.4, { ...segment, flags: "R", seq: 3000, ack: 0 }],
      ]),
    ).toEqual(["allow ESTABLISHED", "allow ESTABLISHED", "window", "allow ESTABLISHED", "window"]);
  });

  it.each<readonly [what: string, second: Partial<PacketSpec>, then: string]>([
    ["the other side's first segment", { flags: ".", seq: 0x6000_0000 }, "allow ESTABLISHED"],
    ["a close, with all that follows", { flags: "F.", seq: 0x6000_0000 }, "window"],
    ["the answer to a SYN of before, with all that follows", { flags: "S.", seq: 5000 }, "window"],
  ])("of TCP doubt %s where windows or SYNs decide that nobody saw", async (_, second, then) => {
    const dump = [`tcp 6 9000 ESTABLISHED ${FLOW} ${FLOW_BACK} [ASSURED] mark=0`];
    const [there, back] = [
      { protocol: TCP, seq: 1000, ack: 5000 },
      { protocol: TCP, ack: 1000 },
    ];
    const answers = { source: "10.1.0.7", destination: "192.0.2.20" };
    const ports = { sourcePort: 80, destinationPort: 5 };
    const midst = second.flags === "S." ? [] : ([[0, { ...there, flags: "." }]] as const);
    expect(
      await judge(dump, [
        ...midst,
        [0.1, { ...back, ...answers, ...ports, ...second }],
        [0.2, { ...there, flags: "." }],
      ]),
    ).toEqual([...midst.map(() => "allow ESTABLISHED"), "window", then]);
  });

  it("of DCCP are unknown where they have ports, as of kernels that followed it", async () => {
    const dccp: Moment = [0, { protocol: 33, payload: new Uint8Array(16) }];
    const [there, back] = [FLOW, FLOW_BACK].map((tuple) => tuple.replace(/port=\d+/g, "port=0"));
    expect(await judge([`dccp 33 9 OPEN ${FLOW} ${FLOW_BACK} mark=0`], [dccp])).toEqual([
      "connection",
    ]);
    expect(await judge([`dccp 33 9 ${there} ${back} mark=0`], [dccp])).toEqual([
      "allow ESTABLISHED",
    ]);
  });

  it("in a flow table are unknown", async () => {
    const dump = [`tcp 6 ${FLOW} ${FLOW_BACK} [OFFLOAD] mark=0`];
    expect(await judge(dump, [[0, { protocol: TCP, flags: "." }]])).toEqual(["connection"]);
  });
});
