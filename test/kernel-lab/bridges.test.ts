/**
 * A node with a bridge: what its ports take, what it hands from one to another, and which rules see that.
 * Seeded random frames through the kernel, and through a matcher that knows the node by its dumps.
 */
import { describe, expect, it } from "vitest";

import { startLab, type LabBridge } from "../../src/lab/lab.ts";
import { buildPacket, buildPcapng, TCP, UDP, wrapPacket } from "../frames.ts";
import { judgeCapture } from "../judge.ts";
import { makeRandom, type Random } from "../random.ts";
import { programOf } from "./differential.ts";
import { haveLab } from "./have-lab.ts";
import { numberOf } from "./packets.ts";

const PACKETS = Number(process.env["NETVERDICT_LAB_PACKETS"] ?? "1500");
const SEED = Number(process.env["NETVERDICT_LAB_SEED"] ?? "1");

interface End {
  readonly mac: string;
  readonly port: string;
  readonly 4: string;
  readonly 6: string;
}

const BEHIND: readonly End[] = [
  { mac: "02:00:00:00:02:01", port: "p1", 4: "10.5.0.2", 6: "fd05::2" },
  { mac: "02:00:00:00:02:02", port: "p2", 4: "10.5.0.3", 6: "fd05::3" },
  { mac: "02:00:00:00:02:03", port: "p2", 4: "10.5.0.4", 6: "fd05::4" },
];
/** Whoever is asked for, and sends nothing: what comes by its port has come from another one. */
const ASKED: End = { mac: "02:00:00:00:02:05", port: "p3", 4: "10.5.0.9", 6: "fd05::9" };
const AWAY: End = { mac: "02:00:00:00:02:04", port: "eth0", 4: "192.0.2.2", 6: "2001:db8::2" };
const OWN = { 4: "10.5.0.1", 6: "fd05::1" };

const BRIDGE: LabBridge = {
  name: "br0",
  mac: "02:00:00:00:01:b0",
  ports: ["p1", "p2", "p3"],
  addresses: [`${OWN[4]}/24`, `${OWN[6]}/64`],
  neighbours: [...BEHIND, ASKED].flatMap(({ mac, port, ...end }) =>
    [end[4], end[6]].map((address) => ({ address, mac, port })),
  ),
};
const INTERFACES = [
  { name: "eth0", mac: "02:00:00:00:01:00", addresses: ["192.0.2.1/24", "2001:db8::1/64"] },
  { name: "p1", mac: "02:00:00:00:01:01", addresses: [] },
  { name: "p2", mac: "02:00:00:00:01:02", addresses: [] },
  { name: "p3", mac: "02:00:00:00:01:03", addresses: [] },
];

// Ports at the destination say what becomes of a packet; by others nothing does.
function tables(family: 4 | 6): string {
  const [away, near] = [AWAY[family], ASKED[family]];
  const to = (address: string): string => (family === 4 ? address : `[${address}]`);
  return `*nat
-A PREROUTING -p udp -m udp --dport 101 -j DNAT --to-destination ${to(away)}
-A PREROUTING -p udp -m udp --dport 102 -j DNAT --to-destination ${to(near)}
-A PREROUTING -p udp -m udp --dport 103 -j DNAT --to-destination ${to(OWN[family])}
-A POSTROUTING -o br0 -p udp -m udp --dport 104 -j SNAT --to-source ${to(OWN[family])}
COMMIT
*filter
-A INPUT -i br0 -p udp -m udp --dport 105 -j DROP
-A INPUT -i p1 -p udp -m udp --dport 106 -j DROP
-A FORWARD -i br0 -o br0 -p udp -m udp --dport 105 -j DROP
-A FORWARD -i p1 -p udp -m udp --dport 106 -j DROP
-A FORWARD -o p2 -p udp -m udp --dport 106 -j DROP
-A FORWARD -i br0 -o eth0 -p udp -m udp --dport 107 -j DROP
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
`;
}

interface Sent {
  readonly arrival: string;
  readonly bytes: Uint8Array;
  readonly number: number;
}

function randomFrame(random: Random, number: number): Sent {
  const family = random.pick([4, 6] as const);
  const from = random.pick([...BEHIND, ...BEHIND, AWAY]);
  const to = random.pick([...BEHIND, AWAY]);
  const strange = random.pick(["02:00:00:00:09:09", "02:00:00:00:01:01", BRIDGE.mac]);
  const own = from === AWAY ? INTERFACES[0]!.mac : BRIDGE.mac;
  // A bridge hands nothing back to the port that it came by.
  const crosses = random.chance(0.5) && to.port !== from.port;
  const mac = random.chance(0.1) ? strange : crosses ? to.mac : own;
  const spoofed = family === 4 ? random.pick(["127.0.0.5", OWN[4]]) : OWN[6];
  const packet = buildPacket({
    source: random.chance(0.1) ? spoofed : from[family],
    destination: random.chance(0.2) ? OWN[family] : to[family],
    protocol: random.chance(0.9) ? UDP : TCP,
    // Each is a connection of its own.
    sourcePort: 1024 + number,
    destinationPort: 100 + random.below(9),
    flags: random.pick(["S", ".", "R"]),
    ttl: random.chance(0.2) ? 1 : 64,
    id: number,
    payload: new Uint8Array(8),
  });
  const bytes = wrapPacket(packet, { sourceMac: from.mac, destinationMac: mac });
  return { arrival: from.port, bytes, number };
}

const SWITCHES = [
  [1, 1],
  [0, 0],
  [1, 0],
] as const;

describe.runIf(haveLab())("a bridge", () => {
  it.each(SWITCHES)("is judged as by the kernel: iptables %i, ip6tables %i", async (four, six) => {
    const calls = {
      "bridge/bridge-nf-call-iptables": four,
      "bridge/bridge-nf-call-ip6tables": six,
    };
    const lab = await startLab({
      ...{ interfaces: INTERFACES, bridges: [BRIDGE], routes: { 4: [], 6: [] }, ipsets: "" },
      tables: { legacy: { 4: tables(4), 6: tables(6) } },
      sysctls: calls,
    });
    const random = makeRandom(SEED);
    const sent = Array.from({ length: PACKETS }, (_, at) => randomFrame(random, at + 1));
    const { sentNs, sights } = await lab.cross(sent).finally(() => lab.close());
    const placeByNumber = new Map<number, string>();
    for (const { place = "local", packet } of sights) {
      // The marked one is what the node got, if a flood went elsewhere as well.
      const top = BRIDGE.ports.includes(place) ? BRIDGE.name : place;
      const number = numberOf(packet);
      if (placeByNumber.get(number) !== "local") placeByNumber.set(number, top);
    }
    const names = INTERFACES.map(({ name }) => name);
    const frames = sent.map(({ bytes, arrival }, at) => ({
      ...{ bytes, timestampNs: sentNs[at] ?? 0n, captureInterface: names.indexOf(arrival) },
    }));
    const switches = Object.entries(calls).map(([key, value]) => `net/${key} = ${value}`);
    const compiled = programOf(lab.loaded, { switches: switches.join("\n") });
    const verdicts = await judgeCapture({ compiled, capture: buildPcapng(frames, names) });
    const counts = new Map<string, number>();
    const differences = verdicts.flatMap((verdict, at) => {
      const kernel = placeByNumber.get(sent[at]!.number) ?? "drop";
      const ours = placeOf(verdict);
      counts.set(ours, (counts.get(ours) ?? 0) + 1);
      // What no rule sees goes where the bridge sends it, or is nobody's.
      if (ours === "unknown") return [];
      const same = ours === "unfiltered" ? kernel === "br0" || kernel === "drop" : ours === kernel;
      return same
        ? []
        : [
            [
              at + 1,
              kernel,
              ours,
              verdict.reason,
              Buffer.from(sent[at]!.bytes.subarray(0, 80)).toString("hex"),
              sent[at]!.arrival,
            ].join(" "),
          ];
    });
    console.log(`bridge ${four} ${six}: ${[...counts].map((each) => each.join(" ")).join(", ")}`);
    expect(differences).toEqual([]);
    // Frames for another port's own address.
    expect(counts.get("unknown") ?? 0).toBeLessThan(PACKETS / 20);
    for (const each of ["br0", "eth0", "local", "drop"])
      expect(counts.get(each)).toBeGreaterThan(20);
  });
});

function placeOf({
  verdict,
  outInterface,
}: Awaited<ReturnType<typeof judgeCapture>>[number]): string {
  return verdict === "allow" ? (outInterface ?? "local") : verdict;
}
