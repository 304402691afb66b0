/**
 * What the IP stack discards by itself, for options in a packet's header and for its length: seeded random
 * packets through the kernel, and through a matcher that knows the node by its dumps.
 */
import { describe, expect, it } from "vitest";

import { startLab } from "../../src/lab/lab.ts";
import { buildPacket, ICMP, ICMPV6, UDP, wrapPacket } from "../frames.ts";
import { makeRandom, type Random } from "../random.ts";
import { compareScene, type Comparison } from "./differential.ts";
import { INTERFACES, macOf, ROUTES } from "./ground.ts";
import { haveLab } from "./have-lab.ts";
import { numberOf, withHopByHop, withoutDontFragment, withOptions } from "./packets.ts";
import { randomHopByHop, randomOptions } from "./random-options.ts";
import type { Recorded } from "./recording.ts";

const SEED = Number(process.env["NETVERDICT_LAB_SEED"] ?? "1");
const PACKETS = Number(process.env["NETVERDICT_LAB_PACKETS"] ?? "1500");

const MTU_BY_NAME: Readonly<Record<string, number>> = { cali1: 1400, cali12: 1300, eth1: 1450 };
const NARROW = INTERFACES.map((link) => ({ ...link, mtu: MTU_BY_NAME[link.name] ?? 1500 }));
const WAYS = {
  4: [...ROUTES[4], "198.18.0.0/24 via 198.51.100.67 dev eth1 mtu 1350"],
  6: ROUTES[6],
};

// Forwarded, and to the node itself.
const DESTINATIONS = {
  4: ["10.65.0.1", "10.65.0.2", "10.67.0.7", "198.18.0.7", "192.0.2.10"],
  6: ["fd00:65::1", "fd00:65::2", "fd00:67::7", "2001:db8::10"],
};

function packet(random: Random, family: 4 | 6, number: number, payload: number): Uint8Array {
  const protocol = random.chance(0.5) ? UDP : family === 4 ? ICMP : ICMPV6;
  return buildPacket({
    source: family === 4 ? "192.0.2.20" : "2001:db8::20",
    destination: random.pick(DESTINATIONS[family]),
    protocol,
    // Each is a connection of its own.
    sourcePort: 1024 + number,
    destinationPort: 9,
    icmp: { type: family === 4 ? 8 : 128, id: number },
    id: number,
    payload: new Uint8Array(payload),
  });
}

const KINDS: Readonly<Record<string, (random: Random, number: number) => Uint8Array>> = {
  "IPv4 options": (random, number) =>
    withOptions(packet(random, 4, number, 8), randomOptions(random)),
  "hop-by-hop options": (random, number) =>
    withHopByHop(packet(random, 6, number, 8), randomHopByHop(random)),
  length: (random, number) => {
    const family = random.pick([4, 6] as const);
    const long = packet(random, family, number, 1200 + random.below(250));
    return family === 4 && random.chance(0.3) ? withoutDontFragment(long) : long;
  },
};

async function compare(make: (random: Random, number: number) => Uint8Array): Promise<Comparison> {
  const random = makeRandom(SEED);
  const lab = await startLab({
    ...{ interfaces: NARROW, routes: WAYS, ipsets: "", sysctls: {} },
    tables: { legacy: { 4: TABLES, 6: TABLES } },
  });
  try {
    const sent = Array.from({ length: PACKETS }, (_, index): Omit<Recorded, "sentNs"> => {
      const number = index + 1;
      const bytes = wrapPacket(make(random, number), { destinationMac: macOf("eth0") });
      return { arrival: "eth0", bytes, number };
    });
    const { sentNs, sights } = await lab.cross(sent);
    const placeByNumber = new Map(
      sights.map(({ place = "local", packet: out }) => [numberOf(out), place]),
    );
    const packets = sent.map((each, at) => ({ ...each, sentNs: sentNs[at] ?? 0n }));
    const places = sent.map(({ number }) => placeByNumber.get(number));
    return await compareScene({
      ...{ rules: { sets: [], tables: [] }, loaded: lab.loaded, packets, places },
    });
  } finally {
    await lab.close();
  }
}

// Connections are followed, so that the options of what is put together count as well.
const TABLES = "*filter\n-A FORWARD -m conntrack --ctstate INVALID\nCOMMIT\n";

describe.runIf(haveLab())("what the IP stack discards", () => {
  it.each(Object.entries(KINDS))("is what the kernel does: %s", async (kind, make) => {
    const { differences, dropped, compared, unknown } = await compare(make);
    console.log(`${kind}: ${dropped} of ${compared} dropped, unknown: ${[...unknown].join(" ")}`);
    const described = differences.map(({ packet: { bytes }, kernel, ours, verdict }) => {
      return [Buffer.from(bytes.subarray(14, 80)).toString("hex"), kernel, ours, verdict.reason];
    });
    expect(described).toEqual([]);
    expect(dropped).toBeGreaterThan(PACKETS / 10);
    expect(compared - dropped).toBeGreaterThan(PACKETS / 10);
  });
});
