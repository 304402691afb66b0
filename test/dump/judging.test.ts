/** Verdicts by a node's dumps: what was not told, and what targets leave unknown. */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { formatAddress } from "../../src/net/address.ts";
import type { PacketVerdict } from "../../src/engine/verdict.ts";
import {
  buildFrame,
  buildPacket,
  buildPcapng,
  ICMP,
  TCP,
  timed,
  UDP,
  type PacketSpec,
} from "../frames.ts";
import { judgeCapture } from "../judge.ts";

const ADDRESSES = JSON.stringify([
  { ifname: "lo", flags: ["LOOPBACK"], addr_info: [{ local: "127.0.0.1", prefixlen: 8 }] },
  { ifname: "eth0", flags: [], addr_info: [{ local: "10.0.0.1", prefixlen: 24 }] },
  { ifname: "eth1", flags: [], addr_info: [{ local: "10.1.0.1", prefixlen: 24 }] },
]);
const ROUTES = JSON.stringify([
  { dst: "default", gateway: "10.1.0.9", dev: "eth1" },
  { dst: "10.0.0.0/24", dev: "eth0" },
  { dst: "10.1.0.0/24", dev: "eth1" },
]);

interface Told {
  readonly addresses?: string | undefined;
  readonly routes?: string | undefined;
}

const WHOLE: Told = { addresses: ADDRESSES, routes: ROUTES };

async function judge(
  iptables: string,
  packets: readonly PacketSpec[],
  told: Told = WHOLE,
): Promise<PacketVerdict[]> {
  const texts = (text: string | undefined) => (text === undefined ? [] : [{ file: "f", text }]);
  const state = parseNode(
    {
      iptables: texts(iptables),
      ip6tables: [],
      ipset: [],
      addresses: texts(told.addresses),
      routes: texts(told.routes),
      backend: "legacy",
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
    },
  );
  const frames = timed(packets.map(buildFrame)).map((frame, index) => ({
    ...frame,
    captureInterface: packets[index]!.source.startsWith("10.1.") ? 1 : 0,
  }));
  const capture = buildPcapng(frames, ["eth0", "eth1"]);
  return judgeCapture({ compiled: state, capture });
}

function syn(destination: string, destinationPort = 80, source = "10.0.0.7"): PacketSpec {
  return { source, destination, protocol: TCP, sourcePort: 40_000, destinationPort };
}

function filter(...lines: readonly string[]): string {
  return ["*filter", ...lines, "COMMIT", ""].join("\n");
}

async function verdictOf(
  iptables: string,
  told: Told,
  packet = syn("10.1.0.7"),
): Promise<string[]> {
  const [verdict] = await judge(iptables, [packet], told);
  return [verdict!.verdict, verdict!.reason];
}

describe("a real node", () => {
  it("delivers, forwards and sends by its own routes", async () => {
    const rules = filter(
      ":FORWARD DROP [0:0]",
      "-A FORWARD -i eth0 -o eth1 -p tcp -m tcp --dport 80 -j ACCEPT",
    );
    const verdicts = await judge(rules, [
      syn("10.1.0.7"),
      syn("10.1.0.7", 81),
      syn("10.0.0.1"),
      syn("192.0.2.7"),
      syn("10.0.0.8", 80, "10.1.0.7"),
    ]);
    expect(
      verdicts.map(({ verdict, hook, outInterface }) => [verdict, hook, outInterface]),
    ).toEqual([
      ["allow", "FORWARD", "eth1"],
      ["drop", "FORWARD", undefined],
      ["allow", "INPUT", undefined],
      ["allow", "FORWARD", "eth1"],
      ["drop", "FORWARD", undefined],
    ]);
  });

  it("does not know whose connection an answer to what it refused has", async () => {
    const refused = buildPacket(syn("10.0.0.1", 9));
    const ends = { source: "10.0.0.1", destination: "10.0.0.7" };
    const packets: PacketSpec[] = [
      syn("10.0.0.1", 9),
      { ...ends, protocol: ICMP, icmp: { type: 3, code: 3, quote: refused } },
      { ...ends, source: "10.1.0.7", protocol: ICMP, icmp: { type: 3, code: 3, quote: refused } },
    ];
    const told = async (...rules: string[]): Promise<string[]> => {
      const reject = "-A INPUT -p tcp --dport 9 -j REJECT";
      const verdicts = await judge(filter(reject, ...rules), packets);
      return verdicts.map(({ verdict, reason }) => (verdict === "unknown" ? reason : verdict));
    };
    const forwards = "-A FORWARD -m conntrack --ctstate INVALID -j DROP";
    expect(await told(forwards, "-A OUTPUT -m conntrack --ctstate INVALID -j DROP")).toEqual([
      ...["drop", "answered", "drop"],
    ]);
    expect(await told(forwards)).toEqual(["drop", "allow", "drop"]);
  });

  it("without tables of a family says so", async () => {
    const packet: PacketSpec = { ...syn("fd00::2"), source: "fd00::1" };
    expect(await verdictOf(filter(), WHOLE, packet)).toEqual(["unknown", "no-tables"]);
  });

  it("asks both backends' tables", async () => {
    const state = parseNode(
      {
        iptables: [
          {
            file: "a",
            text: filter("-A FORWARD -p tcp -m tcp --dport 81 -j DROP"),
            backend: "legacy",
          },
          {
            file: "b",
            text: filter("-A FORWARD -p tcp -m tcp --dport 82 -j DROP"),
            backend: "nft",
          },
        ],
        ip6tables: [],
        ipset: [],
        addresses: [{ file: "c", text: ADDRESSES }],
        routes: [{ file: "d", text: ROUTES }],
        backend: undefined,
      },
      () => undefined,
    );
    const frames = [80, 81, 82].map((port) => buildFrame(syn("10.1.0.7", port)));
    const capture = buildPcapng(timed(frames), ["eth0"]);
    const verdicts = await judgeCapture({ compiled: state, capture });
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["allow", "drop", "drop"]);
  });
});

describe("a capture that names no interface", () => {
  it("is judged by each of the node's, and none of them is named", async () => {
    const rules = filter(":FORWARD DROP [0:0]", "-A FORWARD -i eth1 -p udp -j ACCEPT");
    const state = parseNode(
      {
        iptables: [{ file: "a", text: rules, backend: "legacy" }],
        ip6tables: [],
        ipset: [],
        addresses: [{ file: "b", text: ADDRESSES }],
        routes: [{ file: "c", text: ROUTES }],
        backend: undefined,
      },
      () => undefined,
    );
    const packets = [syn("10.1.0.7"), { ...syn("10.1.0.7"), protocol: UDP }];
    const capture = buildPcapng(timed(packets.map(buildFrame)));
    const verdicts = await judgeCapture({ compiled: state, capture });
    expect(
      verdicts.map(({ verdict, reason, inInterface }) => [verdict, reason, inInterface]),
    ).toEqual([
      ["drop", "rule", undefined],
      ["unknown", "no-in-interface", undefined],
    ]);
  });
});

describe("a node that did not tell its routes", () => {
  const NO_ROUTES: Told = { addresses: ADDRESSES };
  const NOTHING: Told = {};

  it("still delivers to its own addresses and their subnets", async () => {
    const rules = filter(":INPUT DROP [0:0]");
    expect(await verdictOf(rules, NO_ROUTES, syn("10.0.0.1"))).toEqual(["drop", "rule"]);
    expect(await verdictOf(rules, NO_ROUTES, syn("10.1.0.7"))).toEqual(["allow", "chain-policy"]);
  });

  it("leaves others unknown, unless the rules drop them by whatever interface", async () => {
    const far = syn("192.0.2.7");
    expect(await verdictOf(filter(), NO_ROUTES, far)).toEqual(["unknown", "no-routes"]);
    expect(await verdictOf(filter(":FORWARD DROP [0:0]"), NO_ROUTES, far)).toEqual([
      "drop",
      "rule",
    ]);
    const byOne = filter(":FORWARD DROP [0:0]", "-A FORWARD -o eth1 -j ACCEPT");
    expect(await verdictOf(byOne, NO_ROUTES, far)).toEqual(["unknown", "no-routes"]);
    const before = "*raw\n-A PREROUTING -p tcp -j DROP\nCOMMIT\n";
    expect(await verdictOf(before, NO_ROUTES, far)).toEqual(["drop", "rule"]);
  });

  it("nor its addresses, may be the destination itself", async () => {
    const far = syn("192.0.2.7");
    expect(await verdictOf(filter(":FORWARD DROP [0:0]"), NOTHING, far)).toEqual([
      "unknown",
      "no-routes",
    ]);
    const both = filter(":FORWARD DROP [0:0]", ":INPUT DROP [0:0]");
    expect(await verdictOf(both, NOTHING, far)).toEqual(["drop", "rule"]);
  });
});

describe("a target that is not modelled", () => {
  it.each([
    ["can drop what would be allowed", ["-A FORWARD -j MAGIC"], "unknown"],
    [
      "changes nothing that is dropped anyway",
      [":FORWARD DROP [0:0]", "-A FORWARD -p udp -j MAGIC"],
      "drop",
    ],
    ["is not asked by what does not match", ["-A FORWARD -p udp -j MAGIC"], "allow"],
  ])("%s", async (_, lines, wanted) => {
    const [verdict] = await verdictOf(filter(...lines), WHOLE);
    expect(verdict).toBe(wanted);
  });

  it("that goes on leaves the mark unknown, until it is set again", async () => {
    const hashed =
      "*mangle\n-A PREROUTING -j HMARK --hmark-src-prefix 24 --hmark-mod 4 --hmark-rnd 0x1\n";
    const asks = filter("-A FORWARD -m mark --mark 0x1/0x1 -j DROP");
    expect(await verdictOf(`${hashed}COMMIT\n${asks}`, WHOLE)).toEqual(["unknown", "not-modelled"]);
    const set = `${hashed}-A PREROUTING -j MARK --set-xmark 0x0/0x1\nCOMMIT\n${asks}`;
    expect(await verdictOf(set, WHOLE)).toEqual(["allow", "chain-policy"]);
  });

  it("that makes a TCP header longer makes its options and the length unknown", async () => {
    const mss = "*mangle\n-A FORWARD -p tcp -m tcp --syn -j TCPMSS --set-mss 500\nCOMMIT\n";
    for (const match of ["-p tcp -m tcp --tcp-option 2", "-m length --length 44"]) {
      const asks = filter(`-A FORWARD ${match} -j DROP`);
      expect(await verdictOf(mss + asks, WHOLE)).toEqual(["unknown", "not-modelled"]);
      expect(await verdictOf(asks, WHOLE)).toEqual(["allow", "chain-policy"]);
    }
  });
});

describe("targets", () => {
  const mangle = (...lines: readonly string[]): string =>
    ["*mangle", ...lines, "COMMIT", ""].join("\n");

  it.each([
    ["MARK", ["-j MARK --set-xmark 0x3/0x3"], "-m mark --mark 0x3/0xff"],
    ["TTL", ["-j TTL --ttl-set 9"], "-m ttl --ttl-eq 8"],
    ["TTL upwards", ["-j TTL --ttl-inc 255"], "-m ttl --ttl-eq 254"],
    ["TOS", ["-j TOS --set-tos 0x10/0xff"], "-m tos --tos 0x10/0xff"],
    ["DSCP", ["-j DSCP --set-dscp 0x0a"], "-m dscp --dscp 0x0a"],
    ["CONNMARK", ["-j CONNMARK --set-xmark 0x5/0xff"], "-m connmark --mark 0x5"],
    [
      "CONNMARK, restored",
      [
        "-j CONNMARK --set-xmark 0x5/0xff",
        "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
      ],
      "-m mark --mark 0x5",
    ],
    [
      "CONNMARK, shifted",
      [
        "-j MARK --set-xmark 0x5/0xff",
        "-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xffff --left-shift-mark 8",
      ],
      "-m connmark --mark 0x500",
    ],
  ])("show later rules what they changed: %s", async (_, lines, match) => {
    const changes = mangle(...lines.map((line) => `-A PREROUTING ${line}`));
    const state = "-m conntrack --ctstate NEW";
    const asks = filter(":FORWARD DROP [0:0]", `-A FORWARD ${match} ${state} -j ACCEPT`);
    expect(await verdictOf(changes + asks, WHOLE)).toEqual(["allow", "rule"]);
    expect(await verdictOf(asks, WHOLE)).toEqual(["drop", "rule"]);
  });

  it("keep a connection's mark for its later packets", async () => {
    const rules =
      mangle("-A PREROUTING -i eth0 -j CONNMARK --set-xmark 0x7/0xff") +
      filter(
        ":FORWARD DROP [0:0]",
        "-A FORWARD -i eth0 -j ACCEPT",
        "-A FORWARD -m connmark --mark 0x7 -j ACCEPT",
      );
    const reply: PacketSpec = {
      ...{ source: "10.1.0.7", destination: "10.0.0.7", protocol: TCP },
      ...{ sourcePort: 80, destinationPort: 40_000, flags: "S.", seq: 9, ack: 1 },
    };
    const verdicts = await judge(rules, [{ ...syn("10.1.0.7"), seq: 0 }, reply]);
    expect(verdicts.map(({ verdict, ctState }) => [verdict, ctState])).toEqual([
      ["allow", "NEW"],
      ["allow", "ESTABLISHED"],
    ]);
  });

  it("leave a packet untracked, the first word in raw counting", async () => {
    const asks = filter("-A FORWARD -m conntrack --ctstate UNTRACKED -j DROP");
    const untracked = "*raw\n-A PREROUTING -j CT --notrack\nCOMMIT\n";
    const templated = "*raw\n-A PREROUTING -j CT\n-A PREROUTING -j NOTRACK\nCOMMIT\n";
    expect(await verdictOf(untracked + asks, WHOLE)).toEqual(["drop", "rule"]);
    expect(await verdictOf(templated + asks, WHOLE)).toEqual(["allow", "chain-policy"]);
  });

  it("make unknown what depends on a zone", async () => {
    const zoned = "*raw\n-A PREROUTING -p tcp -m tcp --dport 80 -j CT --zone 5\nCOMMIT\n";
    const asks = filter("-A FORWARD -m conntrack --ctstate NEW -j DROP");
    expect(await verdictOf(zoned + asks, WHOLE)).toEqual(["unknown", "not-modelled"]);
    expect(await verdictOf(zoned + asks, WHOLE, syn("10.1.0.7", 81))).toEqual(["drop", "rule"]);
  });

  it("let a helper expect connections that then may be RELATED", async () => {
    const helped = "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\nCOMMIT\n";
    const rules = (policy: string): string =>
      helped +
      filter(
        `:FORWARD ${policy} [0:0]`,
        "-A FORWARD -p tcp -m tcp --dport 21 -j ACCEPT",
        "-A FORWARD -m conntrack --ctstate RELATED -j ACCEPT",
      );
    const packets = [syn("10.1.0.7", 30_000), syn("10.1.0.7", 21), syn("10.1.0.7", 30_001)];
    const strict = await judge(rules("DROP"), packets);
    expect(strict.map(({ verdict }) => verdict)).toEqual(["drop", "allow", "unknown"]);
    const open = await judge(rules("ACCEPT"), packets);
    expect(open.map(({ verdict }) => verdict)).toEqual(["allow", "allow", "allow"]);
  });

  it("hand packets to sockets and programs that nobody knows", async () => {
    const proxied = mangle("-A PREROUTING -p tcp -j TPROXY --on-port 99 --tproxy-mark 0x1/0x1");
    expect(await verdictOf(proxied + filter(), WHOLE)).toEqual(["unknown", "no-socket"]);
    const queued = filter("-A FORWARD -p udp -j NFQUEUE --queue-num 3");
    const datagram: PacketSpec = { ...syn("10.1.0.7"), protocol: UDP };
    expect(await verdictOf(queued, WHOLE, datagram)).toEqual(["unknown", "queue"]);
    expect(await verdictOf(queued, WHOLE)).toEqual(["allow", "chain-policy"]);
  });

  it("that only log change nothing", async () => {
    const logs = filter(
      "-A FORWARD -j LOG --log-prefix x",
      "-A FORWARD -j NFLOG --nflog-group 1",
      "-A FORWARD -j AUDIT --type accept",
      "-A FORWARD -p icmp -j DROP",
    );
    const ping: PacketSpec = { source: "10.0.0.7", destination: "10.1.0.7", protocol: ICMP };
    expect(await verdictOf(logs, WHOLE)).toEqual(["allow", "chain-policy"]);
    expect(await verdictOf(logs, WHOLE, ping)).toEqual(["drop", "rule"]);
  });
});

describe("a backend that is drawn", () => {
  const rules = [
    "*nat",
    "-A PREROUTING -d 10.96.0.10 -p udp -m udp --dport 80 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.1.0.7:8080",
    "-A PREROUTING -d 10.96.0.10 -p udp -m udp --dport 80 -j DNAT --to-destination 10.1.0.8:8080",
    "COMMIT",
    filter("-A FORWARD -d 10.1.0.7 -j DROP"),
  ].join("\n");
  const ask = { ...syn("10.96.0.10"), protocol: UDP };
  const answerOf = (source: string): PacketSpec => ({
    ...ask,
    source,
    sourcePort: 8080,
    destination: ask.source,
    destinationPort: ask.sourcePort,
  });

  it.each([
    ["10.1.0.7", "drop"],
    ["10.1.0.8", "allow"],
  ])("is known from its answer on (%s)", async (backend, later) => {
    const verdicts = await judge(rules, [ask, ask, answerOf(backend), ask]);
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["unknown", "unknown", "allow", later]);
    expect(verdicts[0]?.reason).toBe("backend");
    expect(verdicts[3]?.ctState).toBe("ESTABLISHED");
    expect(formatAddress(verdicts[3]!.translated!.address)).toBe(backend);
  });

  it("is known, too, where another fact is missing of those that were not drawn", async () => {
    const doubtful = rules.replace(
      "-d 10.1.0.7 -j DROP",
      "-d 10.1.0.7 -m osf --genre Linux -j DROP",
    );
    const verdicts = await judge(doubtful, [ask, answerOf("10.1.0.8"), ask]);
    expect([verdicts[0]?.verdict, verdicts[2]?.verdict]).toEqual(["unknown", "allow"]);
  });
});

describe("a range of ports that the destination's port lies in", () => {
  const nat = (target: string): string =>
    `*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j ${target}\nCOMMIT\n${filter("-A INPUT -p tcp -m tcp --dport 85 -j DROP")}`;

  it.each([
    ["REDIRECT --to-ports 80-90", "drop"],
    ["DNAT --to-destination 10.0.0.1:80-90", "drop"],
    // One of them is drawn all the same.
    ["REDIRECT --to-ports 80-90 --random", "unknown"],
    ["DNAT --to-destination 10.0.0.1:80-90 --random", "unknown"],
    ["DNAT --to-destination 10.0.0.1:85 --random", "drop"],
    ["DNAT --to-destination 10.0.0.1:80-84 --random", "allow"],
    ["DNAT --to-destination 10.0.0.1 --random", "drop"],
  ])("-j %s", async (target, expected) => {
    const [verdict] = await judge(nat(target), [syn("10.0.0.1", 85)]);
    expect(verdict!.verdict).toBe(expected);
  });
});

describe("what the node itself sends", () => {
  const sent = (destination: string): PacketSpec => ({
    ...{ source: "10.0.0.1", destination, protocol: UDP, sourcePort: 9, destinationPort: 9 },
    destinationMac: destination.startsWith("224.") ? "01:00:5e:00:00:05" : "ff:ff:ff:ff:ff:ff",
  });

  // > Only the node's own copy of it, which comes back, is of another type.
  it.each(["224.0.0.5", "255.255.255.255"])("to %s is a unicast packet for it", async (to) => {
    const verdicts = await Promise.all(
      ["unicast", "multicast", "broadcast"].map(async (type) => {
        const rule = `-A OUTPUT -d ${to}/32 -m pkttype --pkt-type ${type} -j DROP`;
        const [verdict] = await judge(filter(":OUTPUT ACCEPT [0:0]", rule), [sent(to)]);
        return verdict!.verdict;
      }),
    );
    expect(verdicts).toEqual(["drop", "allow", "allow"]);
  });

  // > It is copied only where it leaves by another interface than the loopback.
  it("to a broadcast address of the loopback comes back as a unicast packet", async () => {
    const addresses = JSON.stringify([
      {
        ifname: "lo",
        flags: ["LOOPBACK", "UP"],
        addr_info: [{ family: "inet", local: "127.0.0.1", prefixlen: 8 }],
      },
    ]);
    const routes = JSON.stringify([
      { type: "local", dst: "127.0.0.0/8", dev: "lo", table: "local" },
      { type: "broadcast", dst: "127.255.255.255", dev: "lo", table: "local" },
    ]);
    const packet = { ...sent("127.255.255.255"), source: "127.0.0.1" };
    const verdicts = await Promise.all(
      ["unicast", "broadcast"].map(async (type) => {
        const rule = `-A INPUT -i lo -m pkttype --pkt-type ${type} -j DROP`;
        const [verdict] = await judge(filter(":INPUT ACCEPT [0:0]", rule), [packet], {
          addresses,
          routes,
        });
        return verdict!.verdict;
      }),
    );
    expect(verdicts).toEqual(["drop", "allow"]);
  });
});
