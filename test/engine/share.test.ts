/**
 * Captures that several workers decide, each its share: what they count together is what one counts alone.
 * `judgeCapture` compares the two wherever it is called; here are traffic that is made to mislead it, and all
 * that one worker has to decide.
 */
import { describe, expect, it } from "vitest";
import { parseNode } from "../../src/dump/node.ts";
import type { Program } from "../../src/engine/program.ts";
import { sharingOf } from "../../src/engine/share.ts";
import { buildFrame, buildPcap, buildPcapng, TCP, timed, UDP, type TimedFrame } from "../frames.ts";
import { compileObjects, judgeCapture, shareCapture } from "../judge.ts";
import { nodeOf } from "../match/judge-node.ts";
import { makeRandom } from "../random.ts";
import { randomWorld, worldObjects } from "../random-cluster.ts";
import { randomTraffic } from "../random-traffic.ts";

const FIRST_SEED = Number(process.env["NETVERDICT_SHARE_SEED"] ?? "1");
const ROUNDS = Number(process.env["NETVERDICT_SHARE_ROUNDS"] ?? "12");
describe("shares", () => {
  it.each(["cold", "assume-established"] as const)(
    "come to what one worker says, on random clusters, %s",
    async (midstream) => {
      let shared = 0;
      for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
        const random = makeRandom(seed * 7919);
        const size = { pods: 4 + random.below(12), policies: random.below(10), calico: seed % 4 };
        const world = randomWorld(random, seed % 2 === 0 ? size : { ...size, ties: true });
        const compiled = compileObjects(worldObjects(world));
        const frames = timed(randomTraffic(random, world));
        // Long enough for fragments to be given up, and out of order.
        const times = frames.map((frame, index) => ({
          ...frame,
          timestampNs: frame.timestampNs + BigInt(index * 200 + random.below(900)) * 1_000_000n,
        }));
        const question = { compiled, capture: buildPcap(times), midstream };
        try {
          await judgeCapture(question);
        } catch (error) {
          throw new Error(`seed ${seed}: ${String(error)}`);
        }
        if ((await shareCapture(question, 2)) !== undefined) shared += 1;
      }
      // Of the others some pod reaches itself through a Service.
      console.log(`shares: ${shared} of ${ROUNDS} clusters were shared`);
      expect(shared).toBeGreaterThan(ROUNDS / 4);
    },
  );

  it("are of one size, whatever the addresses", async () => {
    const compiled = nodeOf(["-A INPUT -p tcp -j DROP"], "legacy", 4);
    const clients = Array.from({ length: 4000 }, (_, index) => `10.${index >> 8}.${index & 255}.1`);
    const frames = clients.map((source) =>
      buildFrame({ source, destination: "192.0.2.1", protocol: TCP, destinationPort: 80 }),
    );
    const capture = buildPcapng(timed(frames), ["eth0"]);
    const asked = { compiled, capture, share: { index: 0, count: 4 } };
    const judged = await shareCapture(asked, 4);
    expect(judged?.flows).toHaveLength(4000);
  });
});

describe("a capture of several interfaces", () => {
  const interfaceOf = (index: number, address: string): object => ({
    ifname: `eth${index}`,
    ifindex: 2 + index,
    flags: ["BROADCAST", "UP"],
    link_type: "ether",
    address: `02:00:00:00:00:1${index}`,
    addr_info: [{ family: "inet", local: address, prefixlen: 24, scope: "global" }],
  });
  const node = parseNode(
    {
      ...{ ip6tables: [], ipset: [], routes: [], backend: undefined },
      iptables: [{ file: "r", text: "*filter\n:FORWARD ACCEPT\nCOMMIT\n", backend: "legacy" }],
      addresses: [
        {
          file: "a",
          text: JSON.stringify([interfaceOf(0, "192.0.2.1"), interfaceOf(1, "198.51.100.1")]),
        },
      ],
    },
    () => undefined,
  );

  // Which interfaces there are, single workers may learn of others' packets only.
  it("is one for all workers, whoever's packets show it", async () => {
    const random = makeRandom(20_261_128);
    for (let round = 0; round < 20; round++) {
      const frames: TimedFrame[] = Array.from({ length: 40 }, (_, id) => {
        const far = random.chance(0.2);
        const [near, other] = ["192.0.2", "198.51.100"];
        const sourceMac = far ? "02:00:00:00:00:77" : "02:00:00:00:00:66";
        const packet = {
          ...{ source: `${far ? other : near}.${10 + random.below(9)}`, protocol: UDP, id },
          ...{ destination: `192.0.2.${30 + random.below(3)}`, destinationPort: 53 },
        };
        const gateway = far ? "02:00:00:00:00:11" : "02:00:00:00:00:10";
        const arriving = { ...packet, sourceMac, destinationMac: gateway };
        // Some go back by the interface that they came by.
        const leaving = { ...packet, ttl: 63, sourceMac: "02:00:00:00:00:10" };
        return [
          { bytes: buildFrame(arriving), captureInterface: far ? 1 : 0 },
          { bytes: buildFrame(leaving), captureInterface: 0 },
        ];
      })
        .flat()
        .map((frame, index) => ({ ...frame, timestampNs: BigInt(index) * 1000n }));
      await judgeCapture({ compiled: node, capture: buildPcapng(frames, ["eth0", "eth1"]) });
    }
  });
});

const ERRORS = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";

function whole(program: Program): string | undefined {
  const sharing = sharingOf(program);
  return sharing.kind === "whole" ? sharing.why : undefined;
}

describe("one worker decides all", () => {
  it.each([
    ["-A INPUT -m limit --limit 1/sec -j ACCEPT", "-m limit"],
    [
      "-A INPUT -m hashlimit --hashlimit-upto 1/sec --hashlimit-name a --hashlimit-mode srcip -j ACCEPT",
      "-m hashlimit",
    ],
    ["-A INPUT -m statistic --mode nth --every 2 --packet 0 -j ACCEPT", "-m statistic"],
    ["-A INPUT -m recent --set --name a --mask 255.255.255.255 --rsource -j ACCEPT", "-m recent"],
    ["-A INPUT -m quota --quota 1000 -j ACCEPT", "-m quota"],
    [
      "-A INPUT -m connlimit --connlimit-upto 2 --connlimit-mask 32 --connlimit-saddr -j ACCEPT",
      "-m connlimit",
    ],
    [
      "-A INPUT -m connbytes --connbytes 10 --connbytes-mode packets --connbytes-dir both",
      "-m connbytes",
    ],
    ["-A INPUT -m rateest --rateest a --rateest-lt --rateest-bps 1bit -j ACCEPT", "-m rateest"],
    ["-A INPUT -m helper --helper ftp -j ACCEPT", "-m helper"],
    ["-A INPUT -j SET --add-set s src", "-j SET"],
  ])("where a rule is %s", (rule, why) => {
    const sets = rule.includes("SET ") ? "create s hash:ip" : "";
    expect(whole(nodeOf([rule], "legacy", 4, sets))).toContain(why);
  });

  it.each([
    ["nat", "-A POSTROUTING -o eth0 -j MASQUERADE", "-j MASQUERADE"],
    ["nat", "-A POSTROUTING -o eth0 -j SNAT --to-source 192.0.2.1", "-j SNAT"],
    ["nat", "-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 81", "-j REDIRECT"],
    ["nat", "-A PREROUTING -d 192.0.2.0/24 -j NETMAP --to 198.51.100.0/24", "-j NETMAP"],
    [
      "nat",
      "-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.1:80",
      "-j DNAT",
    ],
    ["raw", "-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp", "-j CT"],
    ["raw", "-A PREROUTING -j CT --zone 1", "-j CT"],
  ])("where table %s has %s", (table, rule, why) => {
    const chains = [":PREROUTING ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"];
    const own = table === "raw" ? chains.slice(0, 1) : chains;
    const before = [`*${table}`, ...own, rule, "COMMIT"].join("\n");
    expect(whole(nodeOf([], "legacy", 4, "", before))).toContain(why);
  });

  it.each(["hash:ip counters", "hash:ip timeout 60", "bitmap:ip,mac range 10.0.0.0/24"])(
    "where a set is %s",
    (set) => {
      const rule = "-A INPUT -m set --match-set s src -j ACCEPT";
      const flags = set.startsWith("bitmap") ? rule.replace("s src", "s src,src") : rule;
      expect(whole(nodeOf([flags], "legacy", 4, `create s ${set}`))).toContain("set s");
    },
  );

  it.each([
    ["-A INPUT -m set --match-set s src -j ACCEPT", "create s hash:ip\nadd s 10.0.0.1"],
    ["-A INPUT -m connmark --mark 1 -j ACCEPT", ""],
    ["-A INPUT -m statistic --mode random --probability 0.5 -j ACCEPT", ""],
    ["-A INPUT -p tcp -j REJECT --reject-with tcp-reset", ""],
    ["-A INPUT -j NFQUEUE --queue-num 0", ""],
    [ERRORS, ""],
  ])("but not where all is in the packet and its connection: %s", (rule, sets) => {
    expect(whole(nodeOf([rule], "legacy", 4, sets))).toBeUndefined();
  });

  it("where connections from before are translated", () => {
    const held = (reply: string): Program =>
      parseNode(
        {
          ...{ iptables: [], ip6tables: [], ipset: [], addresses: [], routes: [] },
          conntrack: [
            {
              file: "c",
              text: `udp 17 90 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=53 ${reply} mark=0`,
            },
          ],
          backend: undefined,
        },
        () => undefined,
      );
    const plain = "src=10.0.0.2 dst=10.0.0.1 sport=53 dport=1";
    expect(whole(held(plain))).toBeUndefined();
    expect(whole(held(plain.replace("dst=10.0.0.1", "dst=10.0.0.9")))).toContain("translated");
    expect(whole(held(plain.replace("sport=53", "sport=5353")))).toContain("translated");
  });
});

describe("one worker decides all once it shows", () => {
  const clients = (count: number): Uint8Array[] =>
    Array.from({ length: count }, (_, index) =>
      buildFrame({
        source: `10.0.${index >> 8}.${index & 255}`,
        destination: "192.0.2.1",
        destinationMac: "02:00:00:00:00:10",
        protocol: UDP,
        sourcePort: 1000,
        destinationPort: 53,
      }),
    );

  it("that the connections may have been too many for all", async () => {
    const compiled = nodeOf([ERRORS], "legacy", 4);
    const capture = buildPcapng(timed(clients(64)), ["eth0"]);
    const shared = (conntrackMax: number) => shareCapture({ compiled, capture, conntrackMax }, 2);
    expect(await shared(64)).toBeUndefined();
    expect((await shared(1000))?.flows).toHaveLength(64);
  });

  it("that nobody knows how a connection is translated", async () => {
    const nat = ["*nat", ":PREROUTING ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]", "COMMIT"];
    // Whether it is let through, nobody knows.
    const rules = [
      "-A INPUT -m statistic --mode random --probability 0.5 -j ACCEPT",
      "-A INPUT -j DROP",
    ];
    const compiled = nodeOf(rules, "legacy", 4, "", nat.join("\n"));
    const capture = buildPcapng(timed(clients(4)), ["eth0"]);
    expect(whole(compiled)).toBeUndefined();
    const answers = await shareCapture({ compiled, capture }, 2);
    expect(answers === undefined || answers.flows.length === 4).toBe(true);
  });
});
