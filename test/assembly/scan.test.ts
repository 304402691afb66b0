/**
 * Frames that the scan decodes in one pass, between others that look alike and are not: `judgeNode` fails
 * where packets without records of their own come to something else.
 */
import { expect, it } from "vitest";
import { buildFrame, TCP, UDP, type TimedFrame } from "../frames.ts";
import { judgeNode, NODE_MAC } from "../match/judge-node.ts";

const START_NS = 1_700_000_000_000_000_000n;
const RULES = [
  "-A INPUT -m conntrack --ctstate INVALID -j DROP",
  "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
  "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
  "-A INPUT -p udp -m udp --dport 53 -j ACCEPT",
  "-A INPUT -m length --length 60:1500 -j ACCEPT",
  "-A INPUT -j DROP",
];
/** Where a changed byte tells: in the headers behind the MAC addresses. */
const CHANGED_FROM = 12;
const CHANGED_TO = 48;

it("decides plain frames between odd ones as it decides them one by one", async () => {
  let state = 20_261_127;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const frames = Array.from({ length: 4000 }, (_, index): TimedFrame => {
    const protocol = random(2) === 0 ? TCP : UDP;
    const bytes = buildFrame({
      source: `192.0.2.${2 + random(4)}`,
      destination: "192.0.2.1",
      protocol,
      sourcePort: 1000 + random(8),
      destinationPort: protocol === TCP ? 22 : 53,
      flags: ["S", ".", "P.", "F."][random(4)],
      seq: random(4),
      payload: new Uint8Array(random(3)),
      destinationMac: NODE_MAC,
    });
    if (random(2) === 0) {
      bytes[CHANGED_FROM + random(CHANGED_TO - CHANGED_FROM)]! ^= 1 << random(8);
    }
    return { bytes, timestampNs: START_NS + BigInt(index) * 1_000_000n, captureInterface: 0 };
  });
  const verdicts = await judgeNode(RULES, frames);
  const words = new Set(verdicts.map(({ verdict }) => verdict));
  expect([...words].toSorted()).toEqual(["allow", "drop", "unfiltered", "unknown"]);
});
