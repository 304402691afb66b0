/**
 * Connections of one client to one service, of which the later repeat what was said of the first: unless a rule looked
 * at the client's port, or something else has changed. `judgeNode` walks every packet, too, and fails where any
 * differs.
 */
import { describe, expect, it } from "vitest";
import type { Matcher } from "../../src/engine/matcher.ts";
import type { Backend } from "../../src/match/extension.ts";
import { buildFrame, buildPcapng, TCP, UDP, type PacketSpec, type TimedFrame } from "../frames.ts";
import { replayCapture } from "../judge.ts";
import { judgeNode, nodeOf, NODE_MAC } from "../match/judge-node.ts";
import { makeRandom, type Random } from "../random.ts";

const START_NS = 1_700_000_000_000_000_000n;
const PEER_MAC = "02:00:00:00:00:01";
const NODE = "192.0.2.1";
const TRACKS = "-A INPUT -m conntrack --ctstate INVALID -j DROP";

/** A packet from a client's port, TCP's first to port 80 of the node unless told otherwise. */
type Step = Partial<PacketSpec> & { readonly port: number };

function framesOf(steps: readonly Step[]): TimedFrame[] {
  return steps.map(({ port, ...step }, index) => ({
    bytes: buildFrame({
      ...{ source: "192.0.2.7", destination: NODE, protocol: TCP, flags: "S" },
      ...{ sourcePort: port, destinationPort: 80, destinationMac: NODE_MAC, id: index + 1 },
      ...step,
    }),
    timestampNs: START_NS + BigInt(index) * 1_000_000n,
    captureInterface: 0,
  }));
}

/** What the node sends back to a client's port. */
function answerTo(port: number, flags = "S."): Step {
  return {
    ...{ port: 80, source: NODE, destination: "192.0.2.7", destinationPort: port, flags, ack: 1 },
    ...{ sourceMac: NODE_MAC, destinationMac: PEER_MAC },
  };
}

/** `1`, `0` or `?` for each packet: whether it was dropped. */
async function dropped(
  rules: readonly string[],
  steps: readonly Step[],
  { backend, sets, before }: { backend?: Backend; sets?: string; before?: string } = {},
): Promise<string> {
  const verdicts = await judgeNode(rules, framesOf(steps), backend, sets, before);
  return verdicts
    .map(({ verdict }) => (verdict === "drop" ? "1" : verdict === "allow" ? "0" : "?"))
    .join("");
}

const opening = (port: number): Step => ({ port });
const PORTS = [3000, 3001, 3002, 3003, 3004, 3005];
const NAT =
  "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT";
const MANY = Array.from({ length: 40 }, (_, index) => `-A INPUT -s 10.0.0.${index} -j DROP`);

describe("a client's further connections", () => {
  it.each([
    ["a range", "-p tcp --sport 3004 -j DROP", ""],
    ["a range of tcp's", "-p tcp -m tcp --sport 3004:3004 -j DROP", ""],
    ["all but some", "-p tcp -m tcp ! --sport 1:3003 -m tcp ! --sport 3005 -j DROP", ""],
    ["a list", "-p tcp -m multiport --sports 1,3004 -j DROP", ""],
    ["either port of a list", "-p tcp -m multiport --ports 1,3004 -j DROP", ""],
    ["the connection's", "-m conntrack --ctproto tcp --ctorigsrcport 3004 -j DROP", ""],
    [
      "a set's",
      "-p tcp -m set --match-set s src,src -j DROP",
      "create s hash:ip,port\nadd s 192.0.2.7,tcp:3004",
    ],
  ])("are told apart by %s", async (_, rule, sets) => {
    for (const backend of ["legacy", "nft"] as const) {
      for (const rules of [[], MANY]) {
        const all = [TRACKS, ...rules, `-A INPUT ${rule}`];
        expect(await dropped(all, PORTS.map(opening), { sets, backend })).toBe("000010");
      }
    }
  });

  it("come into being, so that answers belong to them", async () => {
    const rules = [
      TRACKS,
      ":OUTPUT ACCEPT [0:0]",
      "-A OUTPUT -m conntrack ! --ctstate ESTABLISHED -j DROP",
    ];
    for (const before of ["", NAT]) {
      const steps = [...PORTS.map(opening), ...PORTS.map((port) => answerTo(port)), answerTo(4000)];
      expect(await dropped(rules, steps, { before })).toBe(`${"0".repeat(12)}1`);
    }
  });

  it("do not where the first ones were dropped", async () => {
    const rules = [
      TRACKS,
      "-A INPUT -p tcp --dport 80 -m conntrack --ctstate NEW -j DROP",
      ":OUTPUT ACCEPT [0:0]",
      "-A OUTPUT -m conntrack ! --ctstate NEW -j DROP",
    ];
    const steps = [
      ...PORTS.map(opening),
      ...PORTS.map((port) => ({ port, flags: "." })),
      opening(1),
    ];
    expect(await dropped(rules, steps)).toBe("1".repeat(13));
  });

  it("are another's where the other end asked first, and nat then draws another port", async () => {
    const mine: Step = { ...answerTo(3004, "S"), ack: 0 };
    const rules = [TRACKS];
    const steps = [opening(3000), opening(3001), opening(3002), mine, opening(3004)];
    for (const before of ["", NAT]) expect(await dropped(rules, steps, { before })).toBe("00000");
  });
});

const RULES = [
  "-A INPUT -p tcp --dport 80 -j ACCEPT",
  "-A INPUT -p udp --dport 53 -j ACCEPT",
  "-A INPUT -p tcp --sport 3001 -j DROP",
  "-A INPUT -s 192.0.2.8 -p tcp -m multiport --sports 3002,3003 -j DROP",
  "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
  "-A INPUT -m conntrack --ctstate ESTABLISHED -m conntrack --ctorigdstport 81 -j DROP",
  "-A INPUT -p udp -m udp --sport 3000:3002 -j DROP",
  "-A INPUT -p tcp -m tcp --tcp-flags FIN FIN -j DROP",
  "-A INPUT -s 192.0.2.9 -j DROP",
  "-A INPUT -m mark --mark 1 -j DROP",
  "-A INPUT -p tcp --dport 82 -j CONNMARK --set-mark 7",
  "-A INPUT -m connmark --mark 7 -j DROP",
  "-A OUTPUT -p tcp --dport 3003 -j DROP",
  "-A OUTPUT -m conntrack --ctstate NEW -j DROP",
  "-A INPUT -p tcp -m set --match-set s src,src -j DROP",
  "-A INPUT -p udp --dport 53 -j SET --add-set t src,src",
  "-A INPUT -p udp -m set --match-set t src,src -j DROP",
];
const SETS = [
  "create s hash:ip,port",
  "add s 192.0.2.8,tcp:3000",
  "create t hash:ip,port",
  "add t 192.0.2.7,udp:3003",
].join("\n");

/** The next packet of a few clients' few connections, in whatever order. */
function drawStep(random: Random): Step {
  const port = 3000 + random.below(5);
  const protocol = random.pick([TCP, TCP, UDP]);
  const service = protocol === UDP ? 53 : 80 + random.below(3);
  const client = `192.0.2.${7 + random.below(3)}`;
  const flags = random.pick(["S", "S", "S", ".", "F.", "R"]);
  if (random.below(4) > 0) {
    return { port, protocol, source: client, destinationPort: service, flags };
  }
  return {
    ...answerTo(port, flags === "S" ? "S." : flags),
    ...{ port: service, protocol, destination: client },
  };
}

describe("many of them", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "come to what walking them comes to (seed %i)",
    async (seed) => {
      const random = makeRandom(seed);
      const rules = RULES.filter(() => random.below(3) === 0);
      const steps = Array.from({ length: 600 }, () => drawStep(random));
      const before = random.below(2) === 0 ? NAT : "";
      const backend = random.pick(["legacy", "nft"] as const);
      await judgeNode(
        [":OUTPUT ACCEPT [0:0]", TRACKS, ...rules],
        framesOf(steps),
        backend,
        SETS,
        before,
      );
    },
  );

  it("are walked three times at most", async () => {
    let matcher: Matcher | undefined;
    const steps = Array.from({ length: 500 }, (_, index) => opening(2000 + index));
    const capture = buildPcapng(framesOf(steps), ["eth0"]);
    const compiled = nodeOf([TRACKS, ...MANY], "legacy", 4, "", NAT);
    await replayCapture({ compiled, capture, packetsWanted: false }, (last) => {
      matcher = last;
    });
    expect(matcher!.repeated()).toBeGreaterThanOrEqual(497);
  });
});
