/** What becomes of connections on a real node: found in the kernel lab, pinned here without a kernel. */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import type { Backend } from "../../src/match/extension.ts";
import {
  buildFrame,
  buildPacket,
  buildPcapng,
  ICMP,
  ICMPV6,
  TCP,
  timed,
  UDP,
  type PacketSpec,
} from "../frames.ts";
import { judgeCapture } from "../judge.ts";
import { withExtensions } from "../kernel-lab/packets.ts";

const NODE = "10.0.0.1";
const CLIENT = "10.0.0.7";
const SERVER = "10.1.0.7";
const GRE = 47;
const DCCP = 33;

const ADDRESSES = JSON.stringify([
  { ifname: "lo", flags: ["LOOPBACK"], addr_info: [{ local: "127.0.0.1", prefixlen: 8 }] },
  {
    ifname: "eth0",
    flags: [],
    addr_info: [
      { local: NODE, prefixlen: 24 },
      { local: "fd00::77", prefixlen: 64 },
      { local: "fd00::1", prefixlen: 64 },
    ],
  },
  { ifname: "eth1", flags: [], addr_info: [{ local: "10.1.0.1", prefixlen: 24 }] },
]);
const ROUTES = JSON.stringify([
  { type: "local", dst: NODE, dev: "eth0", table: "local" },
  { dst: "10.0.0.0/24", dev: "eth0" },
  { dst: "10.1.0.0/24", dev: "eth1" },
  { type: "local", dst: "fd00::77", dev: "eth0", table: "local" },
  { type: "local", dst: "fd00::1", dev: "eth0", table: "local" },
  { dst: "fd00::/64", dev: "eth0" },
  { dst: "fd01::/64", dev: "eth1" },
]);

function table(name: string, ...rules: readonly string[]): string {
  const chains =
    name === "nat"
      ? ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]
      : ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
  const own = name === "filter" || name === "security" ? chains.slice(1, 4) : chains;
  return [`*${name}`, ...own.map((chain) => `:${chain} ACCEPT [0:0]`), ...rules, "COMMIT", ""].join(
    "\n",
  );
}

interface Said {
  readonly verdict: string;
  readonly state: string | undefined;
  readonly out: string | undefined;
}

async function judge(
  rules: string,
  packets: readonly PacketSpec[],
  backend: Backend = "legacy",
): Promise<Said[]> {
  const given = { file: "rules", text: rules };
  const six = packets.some(({ source }) => source.includes(":"));
  const state = parseNode(
    {
      iptables: six ? [] : [given],
      ip6tables: six ? [given] : [],
      ipset: [],
      addresses: [{ file: "addresses", text: ADDRESSES }],
      routes: [{ file: "routes", text: ROUTES }],
      backend,
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
    },
  );
  const interfaceOf = ({ source }: PacketSpec): number => (/^(10\.1\.|fd01:)/.test(source) ? 1 : 0);
  const frames = timed(packets.map(buildFrame)).map((frame, index) => ({
    ...frame,
    captureInterface: interfaceOf(packets[index]!),
  }));
  const verdicts = await judgeCapture({
    compiled: state,
    capture: buildPcapng(frames, ["eth0", "eth1"]),
  });
  return verdicts.map(({ verdict, ctState, outInterface }) => ({
    verdict,
    state: ctState,
    out: outInterface,
  }));
}

function words(said: readonly Said[]): string[] {
  return said.map(({ verdict, state, out }) => [verdict, state, out ?? "-"].join(" "));
}

const ask: PacketSpec = {
  source: CLIENT,
  destination: SERVER,
  protocol: UDP,
  sourcePort: 40_000,
  destinationPort: 53,
  payload: new Uint8Array(8),
};
const answer: PacketSpec = {
  ...ask,
  source: SERVER,
  destination: CLIENT,
  sourcePort: 53,
  destinationPort: 40_000,
};

describe("GRE that is translated", () => {
  const rules = table("nat", `-A PREROUTING -i eth0 -j DNAT --to-destination ${SERVER}`);
  const packet = (payload: readonly number[]): PacketSpec => ({
    source: CLIENT,
    destination: "10.1.0.9",
    protocol: GRE,
    payload: Uint8Array.from(payload),
  });

  it("is dropped when its header has less than eight bytes, or a version that nobody knows", async () => {
    const said = await Promise.all(
      [[1], [0, 0, 8, 0, 0, 0, 0, 0], [0, 5, 8, 0, 0, 0, 0, 0]].map((payload) =>
        judge(rules, [packet(payload)]),
      ),
    );
    expect(said.flat().map(({ verdict }) => verdict)).toEqual(["drop", "allow", "drop"]);
  });
});

describe("a packet with nothing behind its IP header", () => {
  it("is dropped by a match on ports", async () => {
    const empty: PacketSpec = {
      source: CLIENT,
      destination: SERVER,
      protocol: DCCP,
      payload: new Uint8Array(0),
    };
    const rules = table(
      "filter",
      "-A FORWARD -p dccp -m multiport --dports 80 -j MARK --set-mark 1",
    );
    expect(words(await judge(rules, [empty]))).toEqual(["drop UNTRACKED -"]);
  });
});

// The lab's kernel (Linux 6.18) said so.
describe("DCCP", () => {
  const rules = table(
    "filter",
    "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
    "-A FORWARD -p dccp -m dccp --dport 80 -j DROP",
  );
  const to = (port: number): PacketSpec => ({
    ...{ source: CLIENT, destination: SERVER, protocol: DCCP },
    payload: Uint8Array.from([0, 5, 0, port, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]),
  });
  const back: PacketSpec = {
    ...{ source: SERVER, destination: CLIENT, protocol: DCCP },
    payload: new Uint8Array(1),
  };
  const error: PacketSpec = {
    ...{ source: SERVER, destination: CLIENT, protocol: ICMP },
    icmp: { type: 3, code: 2, quote: buildPacket({ ...to(9), payload: new Uint8Array(0) }) },
  };

  it("has ports for rules, and connections without ports, of which nothing is INVALID", async () => {
    expect(words(await judge(rules, [to(80), to(81), error, back, to(80)]))).toEqual([
      "drop NEW -",
      "allow NEW eth1",
      "allow RELATED eth0",
      "allow ESTABLISHED eth0",
      "allow ESTABLISHED eth1",
    ]);
  });

  it("keeps its ports where it is translated; a second connection to one end is dropped", async () => {
    const nat = table(
      "nat",
      `-A PREROUTING -i eth0 -d 10.1.0.9 -j DNAT --to-destination ${SERVER}`,
    );
    const other = { ...to(80), destination: "10.1.0.9" };
    const both = `${nat}${table("filter", "-A FORWARD -p dccp -m dccp ! --dport 80 -j DROP")}`;
    expect(
      words(await judge(both, [other, to(80), { ...other, payload: to(81).payload }])),
    ).toEqual(["allow NEW eth1", "drop NEW -", "drop NEW -"]);
  });
});

// The lab's kernel said so, of packets of sockets, too.
describe("UDP-Lite", () => {
  const UDPLITE = 136;
  const rules = table("filter", "-A FORWARD -m conntrack --ctstate INVALID -j DROP");
  const segment = Uint8Array.from([0, 5, 0, 53, 0, 8, 0x12, 0x34, 1, 2, 3, 4]);
  const packet = { protocol: UDPLITE, payload: segment };

  it("that arrives is INVALID, as its checksum is verified as UDP's", async () => {
    expect(words(await judge(rules, [{ ...packet, source: CLIENT, destination: SERVER }]))).toEqual(
      ["drop INVALID -"],
    );
  });

  it.each([
    ["", 0x12, "NEW"],
    [" without a checksum", 0, "INVALID"],
  ])("that the node sends%s is not verified", async (_, checksum, state) => {
    const payload = segment.map((byte, at) => (at === 6 || at === 7 ? checksum : byte));
    const own = { ...packet, payload, source: NODE, destination: CLIENT };
    const [said] = await judge(rules, [own]);
    expect(said?.state).toBe(state);
  });
});

describe("an ICMP error", () => {
  it("is INVALID when it quotes less than the ports", async () => {
    const error = (quoted: number): PacketSpec => ({
      ...{ source: SERVER, destination: CLIENT, protocol: ICMP },
      icmp: { type: 3, code: 3, quote: buildPacket(ask).slice(0, quoted) },
    });
    const rules = table("filter", "-A FORWARD -m conntrack --ctstate INVALID -j DROP");
    expect(words(await judge(rules, [ask, error(28), error(23), error(9)]))).toEqual([
      "allow NEW eth1",
      "allow RELATED eth0",
      "drop INVALID -",
      "drop INVALID -",
    ]);
  });

  it("is unknown when it quotes more extension headers than are read", async () => {
    const six = { ...ask, source: "fd00::7", destination: "fd01::7" };
    const error = (headers: number): PacketSpec => ({
      ...{ source: six.destination, destination: six.source, protocol: ICMPV6 },
      icmp: {
        type: 1,
        quote: withExtensions(buildPacket(six), new Array<number>(headers).fill(60)),
      },
    });
    const rules = table("filter", "-A FORWARD -m conntrack --ctstate INVALID -j DROP");
    const said = await judge(rules, [six, error(16), error(17)]);
    expect(said.map(({ verdict }) => verdict)).toEqual(["allow", "allow", "unknown"]);
  });
});

describe("MASQUERADE of IPv6", () => {
  it("takes the first address of the destination's subnet, however many bits others share", async () => {
    const rules = table("nat", "-A POSTROUTING -o eth0 -j MASQUERADE");
    const six = { ...ask, source: "fd01::7", destination: "fd00::2" };
    const answered = (destination: string): PacketSpec => ({
      ...answer,
      source: "fd00::2",
      destination,
    });
    expect(words(await judge(rules, [six, answered("fd00::1"), answered("fd00::77")]))).toEqual([
      "allow NEW eth0",
      "allow NEW -",
      "allow ESTABLISHED eth1",
    ]);
  });
});

describe("an ICMP error about a translated connection", () => {
  it("has the connection's DNAT state", async () => {
    const rules =
      table("nat", `-A PREROUTING -i eth0 -p udp -j DNAT --to-destination ${SERVER}`) +
      table("mangle", "-A FORWARD -p icmp -m conntrack --ctstate DNAT -j DROP");
    const toService = { ...ask, destination: "10.1.0.9" };
    const error: PacketSpec = {
      source: SERVER,
      destination: CLIENT,
      protocol: ICMP,
      icmp: { type: 3, code: 3, quote: buildPacket(ask) },
    };
    expect(words(await judge(rules, [toService, error]))).toEqual([
      "allow NEW eth1",
      "drop RELATED -",
    ]);
  });
});

describe("the security table", () => {
  it("is behind nat INPUT for iptables-nft, before it for iptables-legacy", async () => {
    const rules =
      table("security", "-A INPUT -s 10.9.9.9/32 -j DROP") +
      table("nat", "-A INPUT -j SNAT --to-source 10.9.9.9");
    const toNode = { ...ask, destination: NODE };
    const [legacy] = await judge(rules, [toNode]);
    const [nft] = await judge(rules, [toNode], "nft");
    expect([legacy?.verdict, nft?.verdict]).toEqual(["allow", "drop"]);
  });
});

describe("a packet from an address to itself", () => {
  it("is met as its own answer the second time", async () => {
    const same: PacketSpec = { source: SERVER, destination: SERVER, protocol: 253 };
    const rules = table("filter", "-A INPUT -m conntrack --ctstate NEW");
    expect(words(await judge(rules, [same, same]))).toEqual([
      "allow NEW eth1",
      "allow ESTABLISHED eth1",
    ]);
  });
});

describe("a connection that only perhaps exists", () => {
  // Nobody knows whether the match holds.
  const doubt = "-A POSTROUTING -p udp --dport 53 -m nobody --knows -j DROP";

  it("leaves its answers unknown only where rules tell them from others", async () => {
    const strict = table(
      "filter",
      "-A FORWARD -i eth1 -m conntrack --ctstate NEW -j DROP",
      "-A FORWARD -i eth1 -p icmp -j DROP",
    );
    const open = await judge(table("mangle", doubt) + table("filter"), [ask, answer]);
    const closed = await judge(table("mangle", doubt) + strict, [ask, answer]);
    expect([...open, ...closed].map(({ verdict }) => verdict)).toEqual([
      "unknown",
      "allow",
      "unknown",
      "unknown",
    ]);
  });

  it("has the translation that it would have", async () => {
    const rules =
      table("mangle", doubt) +
      table("nat", "-A POSTROUTING -o eth1 -j SNAT --to-source 10.1.0.1") +
      table("filter", "-A INPUT -j DROP");
    const translated = { ...answer, destination: "10.1.0.1" };
    const said = await judge(rules, [ask, translated]);
    // For the client, or for the node itself.
    expect(said.map(({ verdict }) => verdict)).toEqual(["unknown", "unknown"]);
  });

  it("answers by an address that the drawn backend decides", async () => {
    // eth0's backend is asked by 10.0.0.1, eth1's by 10.1.0.1.
    const service = "10.96.0.1";
    const dnat = `-A PREROUTING -d ${service}/32 -j DNAT --to-destination`;
    const nat = table(
      "nat",
      `-A PREROUTING -d ${service}/32 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.0.0.9`,
      `${dnat} ${SERVER}`,
      "-A POSTROUTING -j MASQUERADE",
    );
    const tcp = { protocol: TCP, sourcePort: 4000, destinationPort: 80 };
    const answer = { protocol: TCP, sourcePort: 80, destinationPort: 4000, flags: "S.", ack: 1 };
    const said = await judge(nat + table("filter"), [
      { ...tcp, source: CLIENT, destination: service },
      { ...answer, source: SERVER, destination: "10.1.0.1" },
    ]);
    expect(said).toEqual([
      { verdict: "unknown", state: "NEW", out: undefined },
      { verdict: "allow", state: "ESTABLISHED", out: "eth0" },
    ]);
  });

  it("does not keep others from a verdict", async () => {
    const other: PacketSpec = { ...ask, protocol: TCP, destinationPort: 80 };
    const rules = table("mangle", doubt) + table("filter");
    expect((await judge(rules, [ask, other]))[1]?.verdict).toBe("allow");
  });
});

describe("a SYN whose translated source is taken", () => {
  const rules = table("nat", "-A POSTROUTING -o eth1 -p tcp -j SNAT --to-source 10.1.0.1:6000");
  const syn = (source: string, seq: number): PacketSpec => ({
    source,
    destination: SERVER,
    protocol: TCP,
    sourcePort: 40_000,
    destinationPort: 80,
    flags: "S",
    seq,
  });
  const back = (flags: string, ack: number): PacketSpec => ({
    ...syn(SERVER, 500),
    destination: "10.1.0.1",
    sourcePort: 80,
    destinationPort: 6000,
    flags,
    ack,
  });

  it("is dropped, unless that connection is over and its numbers are lower", async () => {
    const open = [syn(CLIENT, 100), back("S.", 101)];
    const over = [...open, { ...back("R.", 101), seq: 501 }];
    const last = async (packets: readonly PacketSpec[]): Promise<string | undefined> =>
      (await judge(rules, packets)).at(-1)?.verdict;
    expect(await last([...open, syn("10.0.0.8", 900)])).toBe("drop");
    expect(await last([...over, syn("10.0.0.8", 900)])).toBe("allow");
    expect(await last([...over, syn("10.0.0.8", 50)])).toBe("drop");
  });
});

describe("a reset that ends a connection before any answer", () => {
  it("shows rules the time that was left", async () => {
    const rules = table("mangle", "-A PREROUTING -m conntrack --ctexpire 80:400 -j DROP");
    const syn: PacketSpec = { ...ask, protocol: TCP, destinationPort: 80, flags: "S", seq: 9 };
    const reset: PacketSpec = { ...answer, protocol: TCP, sourcePort: 80, flags: "R", seq: 1 };
    expect(words(await judge(rules, [syn, reset]))).toEqual([
      "allow NEW eth1",
      "drop ESTABLISHED -",
    ]);
  });
});
