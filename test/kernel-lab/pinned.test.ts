/** Sequences that the kernel lab found judged otherwise than Linux does; pinned here without a kernel. */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import type { PacketVerdict } from "../../src/engine/verdict.ts";
import {
  buildFrame,
  buildPacket,
  buildPcap,
  buildPcapng,
  ICMP,
  ICMPV6,
  SCTP,
  TCP,
  timed,
  UDP,
  type PacketSpec,
} from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";
import { worldObjects } from "../random-cluster.ts";
import { programOf } from "./differential.ts";
import { captureOf } from "./recording.ts";

const CLIENT = "10.244.0.2";
const BACKEND = "10.244.0.3";
const SERVICE = "10.96.0.10";

const clusterWithService = worldObjects({
  namespaces: [{ metadata: { name: "shop" } }],
  nodes: [{ metadata: { name: "node-1" } }],
  pods: [CLIENT, BACKEND].map((ip, index) => ({
    metadata: { name: `pod-${index}`, namespace: "shop" },
    spec: { nodeName: "node-1", containers: [] },
    status: { phase: "Running", podIPs: [{ ip }] },
  })),
  policies: [],
  services: [
    {
      metadata: { name: "api", namespace: "shop" },
      spec: { clusterIPs: [SERVICE], ports: [{ port: 80 }] },
    },
  ],
  endpointSlices: [
    {
      metadata: {
        name: "api-1",
        namespace: "shop",
        labels: { "kubernetes.io/service-name": "api" },
      },
      addressType: "IPv4",
      endpoints: [{ addresses: [BACKEND] }],
      ports: [{ port: 8080 }],
    },
  ],
});

describe("a TCP reset before any answer", () => {
  it("is translated as its connection is, and ends it", async () => {
    const frames = ["S", "R", "."].map((flags, index) =>
      buildFrame({
        source: CLIENT,
        destination: SERVICE,
        protocol: TCP,
        sourcePort: 40_000,
        destinationPort: 80,
        flags,
        seq: 100 + index,
        id: index + 1,
      }),
    );
    const verdicts = await judgeCapture({
      compiled: compileObjects(clusterWithService, "node-1"),
      capture: buildPcap(timed(frames)),
    });
    const [opening, reset, later] = verdicts;
    expect(reset?.translated).toEqual(opening?.translated);
    expect(reset?.outInterface).toBe(opening?.outInterface);
    // Picked up anew: the entry is gone, and the nat table is asked again.
    expect(later?.ctState).toBe("NEW");
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["allow", "allow", "allow"]);
  });
});

const NODE_MAC = "02:00:00:00:00:10";
const NODE = "2001:db8::1";
const PEER = "2001:db8::7";
const ADDRESSES = [
  {
    ifname: "eth0",
    ifindex: 2,
    flags: ["BROADCAST", "UP"],
    link_type: "ether",
    address: NODE_MAC,
    addr_info: [{ family: "inet6", local: NODE, prefixlen: 64, scope: "global" }],
  },
] as const;

/** What a node with one interface and these tables makes of packets that come and go by it. */
async function judge6(
  tables: string,
  packets: readonly PacketSpec[],
  more: readonly object[] = [],
): Promise<PacketVerdict[]> {
  const [eth0] = ADDRESSES;
  const addresses = [{ ...eth0, addr_info: [...eth0.addr_info, ...more] }];
  const compiled = parseNode(
    {
      iptables: [],
      ip6tables: [{ file: "rules", text: tables, backend: "legacy" }],
      ipset: [],
      addresses: [{ file: "addresses", text: JSON.stringify(addresses) }],
      routes: [],
      backend: undefined,
    },
    ({ severity, message }) => {
      if (severity === "error") throw new Error(message);
    },
  );
  const frames = packets.map((packet) =>
    packet.source === NODE
      ? buildFrame({ ...packet, sourceMac: NODE_MAC })
      : buildFrame({ ...packet, destinationMac: NODE_MAC }),
  );
  return judgeCapture({ compiled, capture: buildPcapng(timed(frames), ["eth0"]) });
}

describe("an association that begins with the answer to a heartbeat", () => {
  const heartbeatAck = 5;
  const ports = { protocol: SCTP, sourcePort: 4000, destinationPort: 4000 };
  const there = { ...ports, source: PEER, destination: NODE };
  const back = { ...ports, source: NODE, destination: PEER };

  it.each([
    ["another heartbeat's answer tells the tag", heartbeatAck, 0x92, "ESTABLISHED"],
    ["until then there is none", 0, 0, "ESTABLISHED"],
    ["nor is it that of the first", 0, 0x1e, "INVALID"],
  ])("has no tag for the way back: %s", async (_, chunk, tag, state) => {
    const verdicts = await judge6(
      "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n",
      [
        { ...there, chunk: heartbeatAck, tag: 0x1e },
        { ...back, chunk, tag },
      ],
    );
    expect(verdicts.map(({ ctState }) => ctState)).toEqual(["NEW", state]);
  });
});

describe("an ICMPv6 error that quotes extension headers", () => {
  const hopByHop = (next: number): number[] => [next, 0, 1, 4, 0, 0, 0, 0];
  const error = (quoted: number[]): PacketSpec => ({
    source: "2001:db8::8",
    destination: PEER,
    protocol: ICMPV6,
    icmp: {
      type: 1,
      quote: buildPacket({
        source: PEER,
        destination: NODE,
        protocol: 0,
        payload: Uint8Array.from(quoted),
      }),
    },
  });
  const GRE = 47;
  const gre = [...hopByHop(GRE), 0, 0, 8, 0, 1, 2, 3, 4];

  it.each([
    ["is dropped where they leave no room for what is to be translated", hopByHop(GRE), true],
    ["gets through with all of it", gre, false],
  ])("%s", async (_, quoted, fails) => {
    const verdicts = await judge6(
      "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j REDIRECT\nCOMMIT\n",
      [
        {
          source: PEER,
          destination: "2001:db8:2::1",
          protocol: 0,
          payload: Uint8Array.from(gre),
        },
        error(quoted),
      ],
    );
    expect(verdicts[1]?.ctState).toBe("RELATED");
    expect(verdicts[1]?.reason === "nat-failed").toBe(fails);
  });

  it.each([
    ["a routing header", 43, [GRE, 0, 2, 0, 0, 0, 0, 0]],
    ["a first fragment's header", 44, [253, 0, 0, 1, 0, 0, 0, 9]],
  ])("is RELATED where it quotes the start of %s only", async (_, protocol, header) => {
    const quoting = buildPacket({
      source: PEER,
      destination: NODE,
      protocol,
      payload: Uint8Array.from(header.slice(0, 4)),
    });
    const verdicts = await judge6(
      "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n",
      [
        {
          source: PEER,
          destination: NODE,
          protocol: header[0] ?? 0,
          payload: Uint8Array.from([0, 0, 8, 0, 1, 2, 3, 4]),
        },
        { source: NODE, destination: PEER, protocol: ICMPV6, icmp: { type: 1, quote: quoting } },
      ],
    );
    expect(verdicts[1]?.ctState).toBe("RELATED");
  });

  it("is INVALID where they end too early, and counts as a packet", async () => {
    const verdicts = await judge6(
      [
        ...["*nat", ":PREROUTING ACCEPT [0:0]", "-A PREROUTING -p tcp -j REDIRECT", "COMMIT"],
        ...["*filter", ":INPUT ACCEPT [0:0]"],
        "-A INPUT -m statistic --mode nth --every 2 --packet 1 -j DROP",
        ...["COMMIT", ""],
      ].join("\n"),
      [
        { ...error(hopByHop(60)), destination: NODE },
        { source: PEER, destination: NODE, protocol: UDP, destinationPort: 53 },
      ],
    );
    expect(verdicts.map(({ verdict, ctState }) => [verdict, ctState])).toEqual([
      ["allow", "INVALID"],
      ["drop", "NEW"],
    ]);
  });
});

describe("an ICMP query with a code", () => {
  const query = { request: 128, reply: 129 };
  const nodeQuery = { request: 139, reply: 140 };

  it.each([
    ["is answered with its code", query, 1, [129, 0], "INVALID"],
    ["is answered with its code", query, 1, [129, 1], "ESTABLISHED"],
    ["has errors that quote its code", query, 1, [1, 0], "INVALID"],
    ["has errors that quote its code", query, 1, [1, 1], "RELATED"],
    ["has errors that quote its code", query, 0, [2, 0], "RELATED"],
    ["has errors that quote its code", query, 0, [2, 255], "INVALID"],
    ["has an id, too, where it asks for a node's names", nodeQuery, 0, [1, 0], "RELATED"],
    ["has an id, too, where it asks for a node's names", nodeQuery, 0, [140, 0], "ESTABLISHED"],
  ])("%s: %o, code %i, then %o", async (_, { request }, code, [type = 0, later = 0], state) => {
    const asking = (asked: number): PacketSpec => ({
      ...{ source: NODE, destination: PEER, protocol: ICMPV6 },
      icmp: { type: request, code: asked, id: 5 },
    });
    const icmp =
      type < 128 ? { type, quote: buildPacket(asking(later)) } : { type, code: later, id: 5 };
    const verdicts = await judge6(
      "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n",
      [asking(code), { source: PEER, destination: NODE, protocol: ICMPV6, icmp }],
    );
    expect(verdicts.map(({ ctState }) => ctState)).toEqual(["NEW", state]);
  });
});

/** A packet of the client's, or of its backend's. */
type Step = readonly [from: "client" | "backend", fields: Partial<PacketSpec>];

/** A conversation with the backend itself; what of it is INVALID. */
async function invalidOf(protocol: number, steps: readonly Step[]): Promise<string> {
  const frames = steps.map(([from, fields], index) => {
    const there = { source: CLIENT, sourcePort: 40_000, destination: BACKEND, destinationPort: 80 };
    const back = { source: BACKEND, sourcePort: 80, destination: CLIENT, destinationPort: 40_000 };
    return buildFrame({
      ...(from === "client" ? there : back),
      ...{ protocol, id: index + 1, ...fields },
    });
  });
  const verdicts = await judgeCapture({
    compiled: compileObjects(clusterWithService, "node-1"),
    capture: buildPcap(timed(frames)),
  });
  return verdicts.map(({ ctState }) => (ctState === "INVALID" ? "x" : ".")).join("");
}

const SCALE_7 = new Uint8Array([3, 3, 7, 1]);

// The lab's kernel (Linux 6.18) said which are INVALID.
const CONVERSATIONS: readonly (readonly [
  what: string,
  protocol: number,
  steps: readonly Step[],
  invalid: string,
])[] = [
  [
    "a heartbeat's answer that comes first tells no tag of the other side",
    SCTP,
    [
      ["client", { chunk: 5, tag: 0x55 }],
      ["backend", { chunk: 4, tag: 0x90 }],
      ["backend", { chunk: 0, tag: 0x90 }],
      ["backend", { chunk: 0, tag: 0x55 }],
    ],
    "...x",
  ],
  [
    "an INIT that tells the tag already known does not excuse another tag",
    SCTP,
    [
      ["client", { chunk: 5, tag: 0x55 }],
      ["backend", { chunk: 4, tag: 0x90 }],
      ["backend", { chunk: 1, initTag: 0x55 }],
      ["client", { chunk: 2, tag: 0x55, initTag: 0xbc }],
    ],
    "...x",
  ],
  [
    "a reset far below its own side's SYN answers no SYN",
    TCP,
    [
      ["client", { flags: "S", seq: 100 }],
      ["backend", { flags: "S", seq: 1_000_000 }],
      ["backend", { flags: "R", seq: 900_000 }],
      ["client", { flags: ".", seq: 101, ack: 900_001 }],
    ],
    "...x",
  ],
  [
    "a connection picked up in its midst stays liberal when an ignored SYN is answered",
    TCP,
    [
      ["client", { flags: ".", seq: 5_000, ack: 7_000 }],
      ["backend", { flags: ".", seq: 7_000, ack: 5_000 }],
      ["client", { flags: "S", seq: 100 }],
      ["backend", { flags: "S.", seq: 300, ack: 101 }],
      ["backend", { flags: "R.", seq: 3_000_000, ack: 101 }],
    ],
    ".....",
  ],
  [
    "an ignored SYN that is answered has told its scale",
    TCP,
    [
      ["client", { flags: "S", seq: 100, window: 1000 }],
      ["backend", { flags: "S.", seq: 300, ack: 101, window: 1000 }],
      ["client", { flags: ".", seq: 101, ack: 301, window: 1000 }],
      ["client", { flags: "S", seq: 900_000, window: 1000, tcpOptions: SCALE_7 }],
      ["backend", { flags: "S.", seq: 5000, ack: 900_001, window: 1000, tcpOptions: SCALE_7 }],
      ["client", { flags: ".", seq: 900_001, ack: 5001, window: 1000 }],
      ["backend", { flags: ".", seq: 100_000, ack: 900_001 }],
      ["backend", { flags: ".", seq: 300_000, ack: 900_001 }],
    ],
    ".......x",
  ],
  [
    "a SYN without options keeps the scale of the SYN before",
    TCP,
    [
      ["client", { flags: "S", seq: 100, window: 1000, tcpOptions: SCALE_7 }],
      ["client", { flags: "S", seq: 200, window: 1000 }],
      ["backend", { flags: "S.", seq: 0, ack: 201, window: 1000, tcpOptions: SCALE_7 }],
      ["client", { flags: ".", seq: 201, ack: 1, window: 1000 }],
      ["backend", { flags: ".", seq: 100_000, ack: 201 }],
      ["backend", { flags: ".", seq: 300_000, ack: 201 }],
    ],
    ".....x",
  ],
];

describe("REDIRECT of what was sent to a group", () => {
  const ofLink = { family: "inet6", local: "fe80::9", prefixlen: 64, scope: "link" };

  it.each([
    ["an address of the group's scope", "ff02::1", [ofLink], "drop rule"],
    ["nothing where there is none", "ff02::1", [], "drop nat-failed"],
    ["the first one for groups of the world", "ff0e::1", [ofLink], "allow chain-policy"],
  ])("leads to %s", async (_, destination, more, said) => {
    const tables = [
      ...["*nat", ":PREROUTING ACCEPT [0:0]", "-A PREROUTING -j REDIRECT", "COMMIT"],
      ...["*filter", ":INPUT ACCEPT [0:0]", "-A INPUT -d fe80::9/128 -j DROP", "COMMIT", ""],
    ];
    const ports = { protocol: UDP, sourcePort: 4000, destinationPort: 53 };
    const verdicts = await judge6(
      tables.join("\n"),
      [{ ...ports, source: PEER, destination }],
      more,
    );
    expect(verdicts.map(({ verdict, reason }) => `${verdict} ${reason}`)).toEqual([said]);
  });
});

describe("a group that the kernel joins by itself", () => {
  const own = [
    ["fd00:1::5:77", 128],
    ["fd00:2::45:9912", 112],
    ["fd00:3::8", 127],
  ] as const;
  const more = own.map(([local, prefixlen]) => ({ family: "inet6", local, prefixlen }));

  it.each([
    ["all hosts", ["ff02::1"], ["ff02:1::1", "ff05::1", "ff12::1"]],
    ["a router's", ["ff02::2", "ff05::2"], ["ff08::2", "ff02::3"]],
    ["that of an address", ["ff02::1:ff00:1", "ff02::1:ff05:77"], ["ff02::1:ff00:77"]],
    ["that of a subnet", ["ff02::1:ff00:0", "ff02::1:ff45:0"], ["ff02::1:ff45:9910"]],
    ["not another scope's", ["ff02::1:ff00:8"], ["ff05::1:ff00:1", "ff02::2:ff00:1"]],
  ])("gets what is sent to it: %s", async (_, joined, others) => {
    const packets = [...joined, ...others].map((destination) => ({
      ...{ source: PEER, destination, protocol: UDP, destinationPort: 53 },
    }));
    const verdicts = await judge6("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", packets, more);
    expect(verdicts.map(({ verdict, reason }) => `${verdict} ${reason}`)).toEqual([
      ...joined.map(() => "allow chain-policy"),
      ...others.map(() => "unknown multicast"),
    ]);
  });
});

describe("a conversation's odd packets", () => {
  it.each(CONVERSATIONS)("are INVALID where the kernel's are: %s", async (_, ...each) => {
    const [protocol, steps, invalid] = each;
    expect(await invalidOf(protocol, steps)).toBe(invalid);
  });
});

/** What a node with these IPv6 rules makes of what it sends to itself, in hexadecimal digits. */
async function judgeOwn6(
  filter: readonly string[],
  packets: readonly string[],
  raw: readonly string[] = [],
  more: readonly string[] = [],
): Promise<readonly string[]> {
  const chains = [":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"];
  const tables = [
    ...["*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ...raw, "COMMIT"],
    ...[...more, "*filter", ...chains, ...filter, "COMMIT", ""],
  ];
  const own = ["2001:db8::10", "fd00:65:9::1"].map((local) => ({ local, prefixlen: 64 }));
  const eth0 = { ifname: "eth0", flags: [], link_type: "ether", addr_info: own };
  const lo = { ifname: "lo", flags: ["LOOPBACK"], link_type: "loopback", addr_info: [] };
  const compiled = programOf({
    tables: { legacy: { 4: "", 6: tables.join("\n") } },
    ipsets: "",
    addresses: JSON.stringify([lo, eth0]),
    routes: "",
  });
  const sent = packets.map((hex, index) => ({
    arrival: undefined,
    bytes: Uint8Array.from(Buffer.from(hex, "hex")),
    number: 1,
    sentNs: BigInt(index),
  }));
  const verdicts = await judgeCapture({ compiled, capture: captureOf(sent) });
  return verdicts.map(({ verdict, reason }) => `${verdict} ${reason}`);
}

describe("an IPv6 datagram in fragments that the node sends to itself", () => {
  it("is unknown where rules drop one of its fragments only", async () => {
    // The kernel delivers the first fragment; the second is dropped, by a match that takes it for a TCP header.
    const first =
      "600014aa00302c4020010db8000000000000000000000010fd00006500090000000000000000000106000001aec5320700509c4f6fcb53964c82716250107210037100007878787878787878787878787878787878787878";
    const second = `600014aa01202c4020010db8000000000000000000000010fd00006500090000000000000000000106000028aec53207${"78".repeat(280)}`;
    const rules = [
      "-A INPUT -p tcp -m tcpmss --mss 500:1400 -j RETURN",
      "-A INPUT -m conntrack --ctstate INVALID -j DROP",
    ];
    expect(await judgeOwn6(rules, [first, second])).toEqual([
      "unknown not-modelled",
      "unknown not-modelled",
    ]);
  });

  const both = "20010db8000000000000000000000010".repeat(2);
  const udp = `6b80037e00101140${both}9c4f75800010b08a7878787878787878`;

  it("comes back with a port that nobody knows, where the node drew it", async () => {
    const range = "[2001:db8::10]:2000-3000 --random-fully";
    const nat = ["*nat", ":PREROUTING ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"];
    const translates = [...nat, `-A POSTROUTING -p udp -j SNAT --to-source ${range}`, "COMMIT"];
    const mangle = ["*mangle", ":PREROUTING ACCEPT [0:0]"];
    const looks = [...mangle, "-A PREROUTING -i lo -p udp -m udp --sport 1:9999 -j DROP", "COMMIT"];
    const fragments = [
      `6b80032100282c40${both}110000019e8a59c99c4f7580006ce708${"78".repeat(24)}`,
      `6b80032100542c40${both}110000209e8a59c9${"78".repeat(76)}`,
    ];
    expect(await judgeOwn6([], fragments, [], [...translates, ...looks])).toEqual([
      "unknown not-modelled",
      "unknown not-modelled",
    ]);
  });

  it.each([
    [
      "comes back in fragments, which rules count one by one",
      `6b80032100282c40${both}110000019e8a59c99c4f7580006ce708${"78".repeat(24)}`,
      `6b80032100542c40${both}110000209e8a59c9${"78".repeat(76)}`,
      "drop rule",
    ],
    [
      "comes back whole if it is no longer than its longest fragment",
      `61000e3e00102c40${both}84000001653b91f71f909c4900000042`,
      `61000e3e00102c40${both}84000008653b91f7ea3911f006000004`,
      "allow chain-policy",
    ],
  ])("%s", async (_, first, second, later) => {
    const rules = [
      "-A INPUT -m conntrack --ctstate RELATED -j DROP",
      "-A INPUT -m statistic --mode nth --every 3 --packet 2 -j DROP",
    ];
    expect(await judgeOwn6(rules, [first, second, udp])).toEqual([
      "allow chain-policy",
      "allow chain-policy",
      later,
    ]);
  });
});

describe("a packet that the node sends to itself", () => {
  it("keeps its connection, whatever CT says when it comes back", async () => {
    const udp = `6b80037e00101140${"20010db8000000000000000000000010".repeat(2)}9c4f75800010b08a7878787878787878`;
    const verdicts = await judgeOwn6(
      ["-A INPUT -m conntrack --ctstate UNTRACKED -j DROP"],
      [udp],
      ["-A PREROUTING -j CT --notrack"],
    );
    expect(verdicts).toEqual(["allow chain-policy"]);
  });
});

describe("echo requests of one id that a rule sends to one destination", () => {
  const echo = (destination: string): PacketSpec => ({
    source: PEER,
    destination,
    protocol: ICMPV6,
    icmp: { type: 128, id: 130 },
  });

  it("differ by the first id that is free, which is no translation of the source", async () => {
    const verdicts = await judge6(
      [
        ...["*nat", ":PREROUTING ACCEPT [0:0]", "-A PREROUTING -j REDIRECT", "COMMIT"],
        ...["*filter", ":INPUT ACCEPT [0:0]"],
        ...["-A INPUT -m conntrack --ctstate SNAT -j DROP", "COMMIT", ""],
      ].join("\n"),
      [
        echo("2001:db8:2::1"),
        echo("2001:db8:2::2"),
        echo("2001:db8:2::2"),
        { source: NODE, destination: PEER, protocol: ICMPV6, icmp: { type: 129, id: 0 } },
      ],
    );
    expect(verdicts.slice(0, 3).map(({ verdict }) => verdict)).toEqual(["allow", "allow", "allow"]);
    expect(verdicts[3]?.ctState).toBe("ESTABLISHED");
  });
});

describe("connlimit in the raw table", () => {
  it("drops GRE of a version and a protocol that have no tuple, whatever came before", async () => {
    const verdicts = await judge6(
      [
        ...["*raw", ":PREROUTING ACCEPT [0:0]"],
        "-A PREROUTING -p gre -m connlimit --connlimit-above 4 --connlimit-mask 128 -j DROP",
        ...["COMMIT", "*filter", ":INPUT ACCEPT [0:0]"],
        ...["-A INPUT -m conntrack --ctstate INVALID -j ACCEPT", "COMMIT", ""],
      ].join("\n"),
      [
        { source: PEER, destination: NODE, protocol: UDP, destinationPort: 53 },
        { source: PEER, destination: NODE, protocol: 47, payload: new Uint8Array(8).fill(0x79) },
      ],
    );
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["allow", "drop"]);
  });
});

const GATEWAY = "192.0.2.10";
const SERVER = "203.0.113.5";
const OTHER = "203.0.113.6";
const PODS = ["10.65.0.1", "10.65.0.2"];
const FACES = ["eth0", "cali1", "cali2"];
const macOf = (face: string): string => `02:00:00:00:01:0${FACES.indexOf(face)}`;

/** A node with two pods and the world behind eth0, where it has an address. */
function gateway(tables: readonly string[], nft: readonly string[]): ReturnType<typeof programOf> {
  const addresses = FACES.map((ifname) => ({
    ...{ ifname, flags: [], link_type: "ether", address: macOf(ifname) },
    addr_info: ifname === "eth0" ? [{ family: "inet", local: GATEWAY, prefixlen: 24 }] : [],
  }));
  return programOf({
    tables: {
      legacy: { 4: [...tables, ""].join("\n"), 6: "" },
      ...(nft.length > 0 && {
        nft: {
          4: ["# Generated by iptables-nft-save v1.8.9 (nf_tables)", ...nft, ""].join("\n"),
          6: "",
        },
      }),
    },
    ipsets: "",
    addresses: JSON.stringify(addresses),
    routes: JSON.stringify([
      { dst: "default", gateway: "192.0.2.1", dev: "eth0" },
      ...PODS.map((dst, at) => ({ dst, dev: FACES[at + 1], scope: "link" })),
    ]),
  });
}

/** What a pod sends. */
function out(pod: number, packet: Partial<PacketSpec>): PacketSpec {
  const face = macOf(FACES[pod + 1]!);
  const packetOfPod = { source: PODS[pod]!, destination: SERVER, destinationMac: face };
  return { ...packetOfPod, protocol: UDP, sourcePort: 40_000, destinationPort: 80, ...packet };
}

/** What comes to the node's address. */
function back(packet: Partial<PacketSpec>): PacketSpec {
  const packetOfServer = { source: SERVER, destination: GATEWAY, destinationMac: macOf("eth0") };
  return { ...packetOfServer, protocol: UDP, sourcePort: 80, ...packet };
}

/** Where the packets go, or why that is unknown. */
async function placesOf(
  tables: readonly string[],
  packets: readonly PacketSpec[],
  nft: readonly string[] = [],
): Promise<string[]> {
  const recorded = packets.map((packet, index) => ({
    arrival: FACES.find((face) => macOf(face) === packet.destinationMac),
    bytes: buildFrame({ ...packet, id: index + 1 }),
    number: index + 1,
    sentNs: BigInt(index) * 1_000_000n,
  }));
  const verdicts = await judgeCapture({
    compiled: gateway(tables, nft),
    capture: captureOf(recorded),
  });
  return verdicts.map(({ verdict, outInterface, reason }) =>
    verdict === "allow" ? (outInterface ?? "local") : `${verdict} ${reason}`,
  );
}

const NAT = ["*nat", ":PREROUTING ACCEPT [0:0]", ":INPUT ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"];
const MASQUERADED = [
  ...[...NAT, ":POSTROUTING ACCEPT [0:0]"],
  ...["-A POSTROUTING -o eth0 -j MASQUERADE", "COMMIT"],
];

describe("a source that NAT gave another port", () => {
  const tables = MASQUERADED.toSpliced(
    ...[5, 0],
    `-A POSTROUTING -o eth0 -p udp -m udp --dport 81 -j SNAT --to-source ${GATEWAY}:5000`,
  );
  const toOther = { destination: OTHER };
  const fromOther = { source: OTHER };

  // The lab's kernel forwarded answers to the ports that it showed, and delivered those to others.
  it("gets that port again for another destination", async () => {
    const places = await placesOf(tables, [
      ...[out(0, { destinationPort: 81 }), out(0, toOther)],
      back({ ...fromOther, destinationPort: 40_000 }),
      back({ ...fromOther, destinationPort: 5_000 }),
    ]);
    expect(places).toEqual(["eth0", "eth0", "local", "cali1"]);
  });

  it("gets one that the node drew again: which, is unknown", async () => {
    const places = await placesOf(tables, [
      ...[out(1, {}), out(0, {}), out(0, toOther)],
      back({ ...fromOther, destinationPort: 40_000 }),
      back({ ...fromOther, destinationPort: 999 }),
      back({ ...fromOther, destinationPort: 50_000 }),
    ]);
    expect(places).toEqual(["eth0", "eth0", "eth0", "local", "local", "unknown out-interface"]);
  });

  it("keeps its own where that port is taken", async () => {
    const places = await placesOf(tables, [
      ...[out(0, { destinationPort: 81 }), out(1, { ...toOther, sourcePort: 5_000 })],
      out(0, toOther),
      back({ ...fromOther, destinationPort: 5_000 }),
      back({ ...fromOther, destinationPort: 40_000 }),
    ]);
    expect(places).toEqual(["eth0", "eth0", "eth0", "cali2", "cali1"]);
  });
});

const OWN = "192.0.2.10";
const CT_TCP = "net.netfilter.nf_conntrack_tcp_";

/** What the node says to itself, and how many seconds after the first packet. */
type Said = readonly [from: "client" | "server", fields: Partial<PacketSpec>, seconds?: number];

/** The node's verdicts and states of what it says to itself, from port 40000 to port 80 and back. */
async function judgeOwn(
  rules: readonly string[],
  switches: readonly string[],
  said: readonly Said[],
): Promise<string[]> {
  const [eth0, lo] = [
    { ifname: "eth0", flags: [], link_type: "ether", addr_info: [{ local: OWN, prefixlen: 24 }] },
    { ifname: "lo", flags: ["LOOPBACK"], link_type: "loopback", addr_info: [] },
  ];
  const compiled = programOf(
    {
      tables: { legacy: { 4: rules.join("\n"), 6: "" } },
      ipsets: "",
      addresses: JSON.stringify([lo, eth0]),
      routes: "",
    },
    { switches: switches.join("\n") },
  );
  const packets = said.map(([from, fields, seconds = 0], index) => {
    const ports = from === "client" ? [40_000, 80] : [80, 40_000];
    const bytes = buildPacket({
      ...{ source: OWN, destination: OWN, protocol: TCP, id: index + 1 },
      ...{ sourcePort: ports[0], destinationPort: ports[1], ...fields },
    });
    const sentNs = BigInt(seconds) * 1_000_000_000n + BigInt(index);
    return { arrival: undefined, bytes, number: index + 1, sentNs };
  });
  const verdicts = await judgeCapture({ compiled, capture: captureOf(packets) });
  return verdicts.map(({ verdict, ctState }) => `${verdict} ${ctState}`);
}

const FILTER = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"];
const NOTICES_STATES = "-A INPUT -m conntrack --ctstate INVALID";
const HANDSHAKE: readonly Said[] = [
  ["client", { flags: "S", seq: 100 }],
  ["server", { flags: "S.", seq: 300, ack: 101 }],
  ["client", { flags: ".", seq: 101, ack: 301 }],
];

// The lab's kernel (Linux 6.18) said so, or nf_conntrack_proto_tcp.c does where it takes minutes.
describe("a packet that the node sends to itself", () => {
  it("is not taken from its connection when it comes back; what has none can be", async () => {
    const raw = ["*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"];
    const rules = [
      ...[...raw, "-A PREROUTING -i lo -j CT --notrack", "COMMIT"],
      ...[...FILTER, "-A INPUT -m conntrack --ctstate UNTRACKED -j DROP", "COMMIT", ""],
    ];
    const stray: Said = ["server", { flags: "S.", seq: 300, ack: 5, sourcePort: 81 }];
    expect(await judgeOwn(rules, [], [...HANDSHAKE, stray])).toEqual([
      "allow NEW",
      "allow ESTABLISHED",
      "allow ESTABLISHED",
      "drop UNTRACKED",
    ]);
  });

  it.each([
    [[], "allow NEW"],
    [[`${CT_TCP}max_retrans=0`, `${CT_TCP}timeout_max_retrans=60`], "drop NEW"],
  ] as const)("is given the time of its state, as switched: %s", async (switches, said) => {
    const rules = [...FILTER, "-A INPUT -m conntrack --ctexpire 55:65 -j DROP", "COMMIT", ""];
    expect(await judgeOwn(rules, switches, HANDSHAKE.slice(0, 1))).toEqual([said]);
  });
});

describe("a connection of which both ends say goodbye out of their windows", () => {
  it.each([
    [1000, "allow NEW"],
    [100, "allow ESTABLISHED"],
  ])("is cut short where it had more than two minutes: %i s", async (seconds, said) => {
    const switches = [
      `${CT_TCP}timeout_established=${seconds}`,
      `${CT_TCP}timeout_unacknowledged=30`,
    ];
    const verdicts = await judgeOwn([...FILTER, NOTICES_STATES, "COMMIT", ""], switches, [
      ...HANDSHAKE,
      ["client", { flags: "F.", seq: 5_000_000, ack: 301 }],
      ["server", { flags: "F.", seq: 5_000_000, ack: 101 }],
      ["client", { flags: ".", seq: 101, ack: 301 }, 50],
    ]);
    expect(verdicts.slice(3)).toEqual(["allow INVALID", "allow INVALID", said]);
  });
});

describe("a source port that the node drew for a packet to itself", () => {
  it("is not known to rules behind", async () => {
    const rules = [
      ...[...NAT, ":POSTROUTING ACCEPT [0:0]"],
      ...[`-A POSTROUTING -p tcp -j SNAT --to-source ${OWN}:6000-6999`, "COMMIT"],
      ...[...FILTER, "-A INPUT -p tcp -m tcp --sport 6500 -j DROP", "COMMIT", ""],
    ];
    expect(await judgeOwn(rules, [], HANDSHAKE.slice(0, 1))).toEqual(["unknown NEW"]);
  });
});

describe("an error that the node sends to itself", () => {
  it("comes back with the source that its connection was given", async () => {
    const rules = [
      ...[...NAT, ":POSTROUTING ACCEPT [0:0]"],
      ...["-A POSTROUTING -p tcp -j SNAT --to-source 192.0.2.99", "COMMIT"],
      ...[...FILTER, "-A INPUT -s 192.0.2.99 -p icmp -j DROP", "COMMIT", ""],
    ];
    const ends = { source: OWN, destination: OWN, protocol: TCP };
    const quote = buildPacket({ ...ends, sourcePort: 80, destinationPort: 40_000, flags: "R" });
    const error: Said = ["client", { protocol: ICMP, icmp: { type: 3, code: 1, quote } }];
    expect(await judgeOwn(rules, [], [HANDSHAKE[0]!, error])).toEqual([
      "allow NEW",
      "drop RELATED",
    ]);
  });
});

describe("an error about a packet from a port to itself", () => {
  it("goes in the answers' direction", async () => {
    const rules = [...FILTER, "-A INPUT -p icmp -m conntrack --ctdir REPLY -j DROP", "COMMIT", ""];
    const ends = { protocol: UDP, sourcePort: 7, destinationPort: 7 };
    const quote = buildPacket({ ...ends, source: OWN, destination: OWN });
    const error: Said = ["client", { protocol: ICMP, icmp: { type: 3, code: 3, quote } }];
    const said: Said[] = [["client", ends], error];
    expect(await judgeOwn(rules, [], said)).toEqual(["allow NEW", "drop RELATED"]);
  });
});

describe("a closed connection", () => {
  it("does not live longer for a SYN that is answered with a reset", async () => {
    const reject = "-A INPUT -p tcp --syn -m conntrack --ctstate ESTABLISHED";
    const rules = [...FILTER, `${reject} -j REJECT --reject-with tcp-reset`, "COMMIT", ""];
    const verdicts = await judgeOwn(
      rules,
      [],
      [
        ...HANDSHAKE,
        ["server", { flags: "R", seq: 301 }],
        ["client", { flags: "S", seq: 900 }, 8],
        ["client", { flags: ".", seq: 101, ack: 301 }, 11],
      ],
    );
    expect(verdicts.slice(3)).toEqual(["allow ESTABLISHED", "drop ESTABLISHED", "allow NEW"]);
  });
});

describe("a connection that only some of the possible ways make", () => {
  it("is there perhaps, also where not all of them are tried", async () => {
    const marks = Array.from(
      { length: 10 },
      (_, cpu) => `-A FORWARD -m cpu --cpu ${cpu} -j MARK --set-mark ${cpu}`,
    );
    const tables = [
      ...["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"],
      ...[...marks, "-A FORWARD -m cpu --cpu 10 -j DROP", "COMMIT", ...MASQUERADED],
    ];
    expect(await placesOf(tables, [out(0, {}), back({ destinationPort: 40_000 })])).toEqual([
      "unknown not-modelled",
      "unknown not-modelled",
    ]);
  });

  it("is not shown by an answer of what is no backend of a Service", async () => {
    const drawn = "-m statistic --mode random --probability 0.5";
    const tables = [
      ...[...NAT, ":POSTROUTING ACCEPT [0:0]"],
      ...[`-A PREROUTING -p udp ${drawn} -j DNAT --to-destination ${PODS[1]}`, "COMMIT"],
      ...["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"],
      ...["-A FORWARD -i cali2 -m conntrack --ctstate NEW -j DROP", "COMMIT"],
    ];
    const answer = { destination: PODS[0]!, sourcePort: 53, destinationPort: 40_000 };
    const places = await placesOf(tables, [
      out(0, { sourcePort: 40_000, destinationPort: 53 }),
      out(1, answer),
    ]);
    expect(places[1]).toMatch(/^unknown /);
  });

  it("is not shown by another one that would like its port", async () => {
    const rules = (...lines: string[]): string[] => [
      ...[...NAT, ":POSTROUTING ACCEPT [0:0]"],
      ...[...lines, "COMMIT"],
    ];
    const legacy = rules(
      "-A PREROUTING -m quota --quota 40 -j ACCEPT",
      `-A PREROUTING -j DNAT --to-destination ${GATEWAY}`,
    );
    const nft = rules(
      `-A PREROUTING -j DNAT --to-destination ${PODS[0]}`,
      "-A INPUT -i cali2 -p udp -j SNAT --to-source 10.96.0.11:40004",
    );
    const asked = { destination: OTHER, sourcePort: 40_009, destinationPort: 53 };
    const places = await placesOf(
      legacy,
      [
        back({ source: OTHER, sourcePort: 53, destination: PODS[1]!, destinationPort: 40_009 }),
        out(1, asked),
        out(1, { source: "10.65.0.9", sourcePort: 40_019, destinationPort: 53 }),
        out(1, asked),
      ],
      nft,
    );
    expect(places).toEqual([
      "cali1",
      "unknown out-interface",
      "unknown backend",
      "unknown backend",
    ]);
  });
});
