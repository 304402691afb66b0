/** A node with more interfaces than 16 bits number: a cluster's pods, judged as one node. */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import { buildFrame, buildPcapng, TCP, timed } from "../frames.ts";
import { judgeCapture } from "../judge.ts";

const MAC = "02:00:00:00:00:10";
const COUNT = 66_000;
const ASKED = [3, 100, 65_535, 65_636, 65_999];

function addressOf(number: number): string {
  return `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`;
}

describe("interfaces", () => {
  it("are told apart beyond 65,535", async () => {
    const rules = [
      ...["*filter", ":INPUT ACCEPT", ":FORWARD DROP", ":OUTPUT ACCEPT"],
      ...["-A FORWARD -o v100 -j ACCEPT", "-A FORWARD -o v65999 -j ACCEPT", "COMMIT", ""],
    ];
    const addresses = [
      {
        ...{ ifname: "eth0", flags: [], link_type: "ether", address: MAC },
        addr_info: [{ local: "192.0.2.1", prefixlen: 24, scope: "global" }],
      },
      ...Array.from({ length: COUNT }, (_, number) => ({ ifname: `v${number}`, flags: [] })),
    ];
    const routes = [
      { dst: "192.0.2.0/24", dev: "eth0", scope: "link", prefsrc: "192.0.2.1" },
      ...Array.from({ length: COUNT }, (_, number) => ({
        ...{ dst: addressOf(number), dev: `v${number}`, scope: "link" },
      })),
    ];
    const compiled = parseNode(
      {
        iptables: [{ file: "r", text: rules.join("\n"), backend: "legacy" }],
        ip6tables: [],
        ipset: [],
        addresses: [{ file: "a", text: JSON.stringify(addresses) }],
        routes: [{ file: "t", text: JSON.stringify(routes) }],
        conntrack: [],
        backend: undefined,
      },
      () => undefined,
    );
    const frames = ASKED.map((number) =>
      buildFrame({
        ...{ source: "192.0.2.20", destination: addressOf(number), destinationMac: MAC },
        ...{ protocol: TCP, destinationPort: 80, flags: "S" },
      }),
    );
    const verdicts = await judgeCapture({
      compiled,
      capture: buildPcapng(timed(frames), ["eth0"]),
    });
    expect(verdicts.map(({ verdict, outInterface }) => [verdict, outInterface])).toEqual([
      ...[
        ["drop", undefined],
        ["allow", "v100"],
        ["drop", undefined],
      ],
      ...[
        ["drop", undefined],
        ["allow", "v65999"],
      ],
    ]);
  });
});
