/**
 * The node's switches: the same random traffic through the kernel with each of them set, and through a
 * matcher that is told them. The tables only look at states, so that what is INVALID or expired shows.
 */
import { describe, expect, it } from "vitest";

import { startLab } from "../../src/lab/lab.ts";
import { makeRandom } from "../random.ts";
import { compareScene } from "./differential.ts";
import { buildFrame, UDP } from "../frames.ts";
import { INTERFACES, macOf, ROUTES } from "./ground.ts";
import { haveLab } from "./have-lab.ts";
import { numberOf } from "./packets.ts";
import { record, type Recorded } from "./recording.ts";
import { TRAFFIC } from "./sequences.ts";

const STATES = [
  ...["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"],
  "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
  "-A FORWARD -p tcp -m conntrack --ctstatus ASSURED -m conntrack --ctexpire 0:150 -j DROP",
  "-A FORWARD -p udp -m conntrack --ctstate ESTABLISHED --ctexpire 0:12 -j DROP",
  "-A FORWARD -p icmp -m conntrack --ctstate ESTABLISHED --ctexpire 0:12 -j DROP",
  "-A FORWARD -p sctp -m conntrack --ctstate ESTABLISHED --ctexpire 0:4 -j DROP",
  "COMMIT",
  "",
].join("\n");

const CT = "net.netfilter.nf_conntrack_";

// What is switched; and whether more is dropped by it than without.
const SWITCHES: readonly (readonly string[])[] = [
  [],
  [`${CT}tcp_be_liberal=1`],
  [`${CT}tcp_loose=0`],
  [`${CT}tcp_ignore_invalid_rst=1`],
  [`${CT}tcp_max_retrans=1`, `${CT}tcp_timeout_max_retrans=100`],
  [`${CT}tcp_timeout_established=100`],
  [`${CT}tcp_timeout_unacknowledged=100`],
  [`${CT}udp_timeout=10`, `${CT}icmp_timeout=10`, `${CT}sctp_timeout_cookie_wait=10`],
  ["net.ipv4.ip_forward=0"],
  ["net.ipv4.conf.cali1.forwarding=0"],
  ["net.ipv6.conf.all.forwarding=0"],
  ["net.ipv4.conf.all.rp_filter=1"],
  ["net.ipv4.conf.all.rp_filter=2"],
  ["net.ipv4.conf.eth1.rp_filter=1", "net.ipv4.conf.tap0.rp_filter=2"],
  ["net.ipv4.conf.all.accept_local=1"],
  ["net.ipv4.conf.eth0.accept_local=1", "net.ipv4.conf.all.rp_filter=2"],
  ["net.ipv4.conf.eth0.accept_local=1", "net.ipv4.conf.all.rp_filter=1"],
  ["net.ipv4.conf.all.route_localnet=1"],
  ["net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0"],
];

// > Where a route has a realm every source is looked up.
const WITHOUT_REALMS = {
  4: ROUTES[4].map((route) => route.replace(/ realm .*/, "")),
  6: ROUTES[6],
};

const SOURCES = [
  ...["10.65.0.1", "10.65.0.3", "192.0.2.20", "192.0.2.10", "198.51.100.10", "198.51.100.20"],
  ...["10.65.9.1", "10.65.9.7", "10.66.0.5", "127.0.0.1", "127.0.0.2", "8.8.8.8", "192.0.2.255"],
  ...["0.1.2.3", "0.0.0.0", "127.0.0.5"],
];
const DESTINATIONS = [
  ...["10.65.0.2", "192.0.2.10", "198.51.100.20", "192.0.2.255", "255.255.255.255", "127.0.0.1"],
  ...["0.1.2.3", "0.0.0.0"],
];
const PORTS_BEGIN = 10_000;

/** From everybody to everybody, by every interface: who may come from where. */
function strangers(): Omit<Recorded, "sentNs">[] {
  const ways = INTERFACES.flatMap((link) =>
    SOURCES.flatMap((source) => DESTINATIONS.map((destination) => ({ link, source, destination }))),
  );
  return ways.map(({ link, source, destination }, at) => {
    const number = STRANGERS_BEGIN + at;
    const bytes = buildFrame({
      ...{ source, destination, protocol: UDP, sourcePort: PORTS_BEGIN + at, destinationPort: 9 },
      ...{ id: number, destinationMac: macOf(link.name), payload: new Uint8Array(8) },
    });
    return { arrival: link.name, bytes, number };
  });
}

const STRANGERS_BEGIN = 60_000;

const PACKETS = Number(process.env["NETVERDICT_LAB_PACKETS"] ?? "1500");

describe.runIf(haveLab())("the node's switches", () => {
  it.each(SWITCHES.map((switches) => [switches.join(" "), switches] as const))(
    "are the kernel's: %s",
    async (_, switches) => {
      const lab = await startLab({
        interfaces: INTERFACES,
        routes: switches.length === 0 ? ROUTES : WITHOUT_REALMS,
        tables: { legacy: { 4: STATES, 6: STATES.replaceAll("icmp ", "ipv6-icmp ") } },
        ipsets: "",
        sysctls: Object.fromEntries(
          switches.map((each) => {
            const [key = "", value = ""] = each.split("=");
            return [key.split(".").slice(1).join("/"), Number(value)];
          }),
        ),
      });
      const packets: Recorded[] = [];
      const places: (string | undefined)[] = [];
      try {
        const recording = await record(lab, makeRandom(13), PACKETS, new Set(TRAFFIC));
        packets.push(...recording.packets);
        places.push(...recording.places);
        const others = strangers();
        const { sentNs, sights } = await lab.cross(others);
        const placeByNumber = new Map(
          sights.map(({ place = "local", packet }) => [numberOf(packet), place]),
        );
        others.forEach((each, at) => {
          packets.push({ ...each, sentNs: sentNs[at] ?? 0n });
          places.push(placeByNumber.get(each.number));
        });
      } finally {
        await lab.close();
      }
      const rules = { sets: [], tables: [] };
      const told = switches.join("\n");
      const scene = { rules, loaded: lab.loaded, packets, places, switches: told };
      const { differences, dropped, unknown } = await compareScene(scene);
      console.log(
        `switches ${switches.join(" ")}: ${dropped} of ${packets.length} dropped, unknown: ${[...unknown].map(([reason, count]) => `${reason} ${count}`).join(", ")}`,
      );
      expect(
        differences.map(({ position, kernel, ours, verdict }) => [
          position,
          kernel,
          ours,
          verdict.reason,
        ]),
      ).toEqual([]);
    },
    30_000,
  );
});
