/** Stateful matches in the real kernel: bursts some time apart, packet by packet as our matcher says. */
import { describe, expect, it } from "vitest";
import { startLab, type LabPacket } from "../../src/lab/lab.ts";
import type { Backend } from "../../src/match/extension.ts";
import { buildFrame, UDP, type TimedFrame } from "../frames.ts";
import { haveLab } from "../kernel-lab/have-lab.ts";
import { numberOf } from "../kernel-lab/packets.ts";
import { judgeNode, NODE_MAC } from "./judge-node.ts";

// Each has a port of its own; what it matches is dropped.
const MATCHES: readonly string[] = [
  "-m limit --limit 1/hour --limit-burst 3",
  "-m limit --limit 2/sec --limit-burst 4",
  "-m limit --limit 100/sec --limit-burst 7",
  "-m limit --limit 1/min --limit-burst 1",
  // Of iptables-legacy's burst the kernel keeps 32 bits: one packet.
  "-m limit --limit 1/hour --limit-burst 39",
  "-m quota --quota 400",
  "-m quota ! --quota 400",
  "-m statistic --mode nth --every 3 --packet 0",
  "-m statistic --mode nth ! --every 4 --packet 3",
  "-m connlimit --connlimit-above 2 --connlimit-mask 24",
  "-m connlimit --connlimit-upto 1 --connlimit-mask 32",
  "-m connlimit --connlimit-above 0 --connlimit-mask 0 --connlimit-daddr",
  "-m recent --name a --rcheck --hitcount 3",
  "-m recent --name b --update --seconds 1 --hitcount 2",
  "-m recent --name c --remove",
  "-m recent --name d ! --rcheck --seconds 1 --reap",
  "-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 3 --hashlimit-name h1",
  "-m hashlimit --hashlimit-above 1/hour --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name h2",
  "-m hashlimit --hashlimit-above 2/sec --hashlimit-burst 3 --hashlimit-mode srcport,dstip --hashlimit-name h3",
  "-m hashlimit --hashlimit-upto 2/sec --hashlimit-burst 8 --hashlimit-mode srcip --hashlimit-srcmask 24 --hashlimit-name h4 --hashlimit-htable-expire 60000",
  "-m hashlimit --hashlimit-upto 300b/s --hashlimit-mode srcip --hashlimit-name h5",
  "-m hashlimit --hashlimit-above 300b/s --hashlimit-burst 600b --hashlimit-name h6",
  "-m hashlimit --hashlimit-upto 1kb/s --hashlimit-burst 3kb --hashlimit-mode dstport --hashlimit-name h7",
  "-m hashlimit --hashlimit-upto 2/sec --hashlimit-burst 1 --hashlimit-rate-match --hashlimit-name h8",
  "-m hashlimit --hashlimit-above 4/sec --hashlimit-rate-match --hashlimit-htable-expire 60000 --hashlimit-name h9",
  "-m hashlimit --hashlimit-above 200b/s --hashlimit-rate-match --hashlimit-htable-expire 60000 --hashlimit-name h10",
  "-m hashlimit --hashlimit-above 200b/s --hashlimit-burst 400b --hashlimit-rate-match --hashlimit-rate-interval 2 --hashlimit-name h11",
  "-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 1 --hashlimit-mode srcip --hashlimit-htable-size 2 --hashlimit-htable-max 2 --hashlimit-name h12",
  // Ranges that end before they start, and packets that no table sees.
  "-m udp --sport 4001:4000",
  "-m udp ! --sport 4001:4000",
  "-m length ! --length 200:50",
  "-m iprange ! --src-range 192.0.2.30-192.0.2.1",
  "-m conntrack ! --ctorigsrcport 4001:4000",
  "-m pkttype ! --pkt-type otherhost",
];

const PORT = 1000;
// A list is written behind the rule that asks it.
const RULES = MATCHES.flatMap((match, at) => {
  const rule = `-A INPUT -p udp --dport ${PORT + at}`;
  const name = /-m recent (--name \w+)/.exec(match)?.[1];
  return [`${rule} ${match} -j DROP`, ...(name ? [`${rule} -m recent ${name} --set`] : [])];
});
const TEXT = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ...RULES, "COMMIT", ""];

/** Every port in turns, from three addresses with different lengths. */
function burst(first: number): LabPacket[] {
  return Array.from({ length: 8 }, (_, turn) =>
    MATCHES.map((__, at) =>
      buildFrame({
        source: `192.0.2.${20 + (turn % 3)}`,
        destination: "192.0.2.1",
        protocol: UDP,
        sourcePort: 4000 + (turn % 2),
        destinationPort: PORT + at,
        destinationMac: NODE_MAC,
        id: first + turn * MATCHES.length + at,
        payload: new Uint8Array(60 + (turn % 4) * 16),
      }),
    ),
  )
    .flat()
    .map((bytes) => ({ arrival: "eth0", bytes }));
}

describe.runIf(haveLab())("stateful matches in the kernel", () => {
  it.each<Backend>(["legacy", "nft"])(
    "hold for the same packets, with %s",
    async (backend) => {
      const lab = await startLab({
        interfaces: [{ name: "eth0", mac: NODE_MAC, addresses: ["192.0.2.1/24"] }],
        routes: { 4: [], 6: [] },
        tables: { [backend]: { 4: TEXT.join("\n"), 6: "" } },
        ipsets: "",
        sysctls: {},
      });
      const frames: TimedFrame[] = [];
      const delivered = new Set<number>();
      try {
        for (const pause of [0, 300, 900, 2600]) {
          await new Promise((resolve) => setTimeout(resolve, pause));
          const packets = burst(frames.length + 1);
          const { sentNs, sights } = await lab.cross(packets);
          packets.forEach(({ bytes }, at) => {
            frames.push({ bytes, timestampNs: sentNs[at]!, captureInterface: 0 });
          });
          for (const { packet } of sights) delivered.add(numberOf(packet));
        }
      } finally {
        await lab.close();
      }
      const verdicts = await judgeNode(RULES, frames, backend);
      const wrong = verdicts.flatMap(({ verdict }, at) => {
        const kernel = delivered.has(at + 1) ? "allow" : "drop";
        if (verdict === kernel || verdict === "unknown") return [];
        const turn = Math.floor(at / MATCHES.length);
        return [`${MATCHES[at % MATCHES.length]}, turn ${turn}: ${verdict}, kernel ${kernel}`];
      });
      expect(wrong).toEqual([]);
      const known = verdicts.filter(({ verdict }) => verdict !== "unknown").length;
      expect(known).toBeGreaterThan(verdicts.length * 0.7);
    },
    30_000,
  );
});
