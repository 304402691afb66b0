/** Text captures judged by a node's dumps: what the words show is enough, or the missing fact is named. */
import { describe, expect, it } from "vitest";
import { parseNode } from "../../src/dump/node.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { judgeCapture } from "../judge.ts";

const ADDRESSES = [
  {
    ifname: "eth0",
    ifindex: 2,
    flags: ["BROADCAST", "UP"],
    link_type: "ether",
    address: "02:00:00:00:00:10",
    addr_info: [{ family: "inet", local: "192.0.2.10", prefixlen: 24, scope: "global" }],
  },
  {
    ifname: "cali1",
    ifindex: 3,
    flags: ["BROADCAST", "UP"],
    link_type: "ether",
    address: "ee:ee:ee:ee:ee:ee",
    addr_info: [],
  },
];

const ROUTES = [
  { dst: "default", gateway: "192.0.2.1", dev: "eth0", flags: [] },
  { dst: "10.65.0.1", dev: "cali1", scope: "link", flags: [] },
];

/** Judges text by the rules of the filter table, as `verdict reason in out`. */
async function tell(rules: readonly string[], ...lines: readonly string[]): Promise<string[]> {
  const chains = ["INPUT", "FORWARD", "OUTPUT"].map((chain) => `:${chain} ACCEPT [0:0]`);
  const table = ["*filter", ...chains, ...rules, "COMMIT", ""].join("\n");
  const compiled = parseNode(
    {
      iptables: [{ file: "rules", text: table, backend: "legacy" }],
      ip6tables: [],
      ipset: [],
      addresses: [{ file: "addresses", text: JSON.stringify(ADDRESSES) }],
      routes: [{ file: "routes", text: JSON.stringify(ROUTES) }],
      backend: undefined,
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
    },
  );
  const capture = new TextEncoder().encode(`${lines.join("\n")}\n`);
  const verdicts = await judgeCapture({ compiled, capture });
  return verdicts.map(({ verdict, reason, inInterface, outInterface }) =>
    [verdict, reason, inInterface ?? "?", outInterface ?? "-"].join(" "),
  );
}

const SYN = "Flags [S], seq 1, win 64240, length 0";
const TO_WORLD = `IP 10.65.0.1.40000 > 203.0.113.5.80: ${SYN}`;
const TO_POD = `IP 203.0.113.5.40000 > 10.65.0.1.80: ${SYN}`;
const LISTENING = (name: string): string =>
  `listening on ${name}, link-type EN10MB (Ethernet), snapshot length 262144 bytes`;
const DROP_POD = "-A FORWARD -i cali1 -j DROP";
const DROP_UPLINK = "-A FORWARD -i eth0 -j DROP";

describe("the in-interface of a text", () => {
  it("is its own column", async () => {
    const said = await tell(
      [DROP_POD],
      `10:00:00.000001 cali1 In  ${TO_WORLD}`,
      `10:00:00.000002 eth0  In  ${TO_POD}`,
    );
    expect(said).toEqual(["drop rule cali1 -", "allow chain-policy eth0 cali1"]);
  });

  it("is missing only where a rule asks for it", async () => {
    expect(await tell([DROP_POD], `10:00:00.000001 ${TO_WORLD}`)).toEqual([
      "unknown no-in-interface ? -",
    ]);
    const byPort = "-A FORWARD -p tcp -m tcp --dport 80 -j DROP";
    expect(await tell([byPort, DROP_POD], `10:00:00.000001 ${TO_WORLD}`)).toEqual([
      "drop rule ? -",
    ]);
  });

  it("is that of `listening on` for what comes from behind it", async () => {
    const said = await tell([DROP_POD], LISTENING("cali1"), `10:00:00.000001 ${TO_WORLD}`);
    expect(said).toEqual(["drop rule cali1 -"]);
  });

  it("is not that of `listening on` for what leaves by it", async () => {
    const pod = [LISTENING("cali1"), `10:00:00.000001 ${TO_POD}`];
    expect(await tell(["-A FORWARD -o cali1 -j ACCEPT"], ...pod)).toEqual(["allow rule ? cali1"]);
    expect(await tell([DROP_UPLINK], ...pod)).toEqual(["unknown no-in-interface ? -"]);
    const own = `IP 192.0.2.10.40000 > 203.0.113.5.80: ${SYN}`;
    const out = await tell(["-A OUTPUT -j DROP"], LISTENING("eth0"), `10:00:00.000001 ${own}`);
    expect(out).toEqual(["drop rule ? -"]);
  });

  it("is told by the MAC addresses of -e", async () => {
    const link = (source: string, destination: string): string =>
      `10:00:00.000001 ${source} > ${destination}, ethertype IPv4 (0x0800), length 74: `;
    const packet = TO_POD.slice("IP ".length);
    const pod = "0a:00:00:00:00:01";
    const node = "ee:ee:ee:ee:ee:ee";
    const leaving = await tell(
      ["-A FORWARD -o cali1 -j ACCEPT"],
      LISTENING("cali1"),
      link(node, pod) + packet,
    );
    expect(leaving).toEqual(["allow rule ? cali1"]);
    const arriving = await tell([DROP_POD], LISTENING("cali1"), link(pod, node) + packet);
    expect(arriving).toEqual(["drop rule cali1 -"]);
  });
});

describe("what a text does not show", () => {
  const forwarded = (text: string): string => `10:00:00.000001 cali1 In  ${text}`;
  const verbose = "IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto TCP (6), length 40)";

  it.each([
    ["TCP options", "-p tcp -m tcp --tcp-option 5", "no-payload"],
    ["TCP options, negated", "-p tcp -m tcp ! --tcp-option 5", "no-payload"],
    ["payload", '-p tcp -m string --string "x" --algo bm', "no-payload"],
    ["the TTL without -v", "-m ttl --ttl-lt 10", "no-header"],
    ["the length without -v", "-m length --length 0:50", "no-header"],
    ["the type of service without -v", "-m dscp --dscp 0x0a", "no-header"],
    ["the MAC address without -e", "-m mac --mac-source 0a:00:00:00:00:01", "no-mac"],
  ])("makes a rule unknown: %s", async (_, match, reason) => {
    const rule = `-A FORWARD ${match} -j DROP`;
    expect(await tell([rule], forwarded(TO_WORLD))).toEqual([`unknown ${reason} cali1 -`]);
    const decided = await tell(["-A FORWARD -i cali1 -j DROP", rule], forwarded(TO_WORLD));
    expect(decided).toEqual(["drop rule cali1 -"]);
  });

  it.each([
    ["the TTL", "-m ttl --ttl-lt 10"],
    ["the length", "-m length --length 60:80"],
    ["the type of service", "-m dscp --dscp 0x0a"],
  ])("is there with -v: %s", async (_, match) => {
    const text = forwarded(`${verbose}\n    ${TO_WORLD.slice("IP ".length)}`);
    const said = await tell([`-A FORWARD ${match} -j DROP`], text);
    expect(said).toEqual(["allow chain-policy cali1 eth0"]);
  });

  it("is an error's quote where connections are translated", async () => {
    const error = "IP 203.0.113.9 > 192.0.2.10: ICMP host 203.0.113.5 unreachable, length 36";
    const text = [LISTENING("eth0"), `12:00:00.000001 ${error}`];
    const masquerade = [
      "*nat",
      ":POSTROUTING ACCEPT [0:0]",
      "-A POSTROUTING -o eth0 -j MASQUERADE",
    ];
    const tracked = "-A FORWARD -m conntrack --ctstate RELATED -j ACCEPT";
    expect(await tell([tracked], ...text)).toEqual(["allow chain-policy eth0 -"]);
    const said = await tell([tracked, "COMMIT", ...masquerade], ...text);
    expect(said).toEqual(["unknown no-icmp eth0 -"]);
  });
});
