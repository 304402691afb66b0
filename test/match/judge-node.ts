/** A node with a few rules, asked about packets that arrive by its one interface. */
import type { Diagnostic } from "../../src/errors.ts";
import { parseNode } from "../../src/dump/node.ts";
import type { Program } from "../../src/engine/program.ts";
import type { PacketVerdict } from "../../src/engine/verdict.ts";
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import { buildPcapng, type TimedFrame } from "../frames.ts";
import { judgeCapture } from "../judge.ts";

const ADDRESSES = [
  {
    ifname: "eth0",
    ifindex: 2,
    flags: ["BROADCAST", "UP"],
    link_type: "ether",
    address: "02:00:00:00:00:10",
    addr_info: [
      { family: "inet", local: "192.0.2.1", prefixlen: 24, scope: "global" },
      { family: "inet6", local: "2001:db8::1", prefixlen: 64, scope: "global" },
    ],
  },
];

/** The node's interface has this MAC: frames to it arrive. */
export const NODE_MAC = "02:00:00:00:00:10";

/** Judges frames of one family by rules of the filter table, in full: `-A INPUT ...`. */
export async function judgeNode(
  rules: readonly string[],
  frames: readonly TimedFrame[],
  backend: Backend = "legacy",
  sets = "",
  before = "",
): Promise<PacketVerdict[]> {
  const six = new DataView(frames[0]!.bytes.buffer).getUint16(12) === 0x86dd;
  const compiled = nodeOf(rules, backend, six ? 6 : 4, sets, before);
  return judgeCapture({ compiled, capture: buildPcapng(frames, ["eth0"]) });
}

/** The node with these rules for one family; sets as `ipset save` prints them; `before` are other tables. */
export function nodeOf(
  rules: readonly string[],
  backend: Backend,
  family: Family,
  sets = "",
  before = "",
): Program {
  const text = [
    before,
    "*filter",
    ":INPUT ACCEPT [0:0]",
    ":FORWARD ACCEPT [0:0]",
    ...rules,
    "COMMIT",
    "",
  ].join("\n");
  const errors: Diagnostic[] = [];
  const tables = [{ file: "rules", text, backend }];
  const program = parseNode(
    {
      iptables: family === 4 ? tables : [],
      ip6tables: family === 6 ? tables : [],
      ipset: [{ file: "sets", text: sets }],
      addresses: [{ file: "addresses", text: JSON.stringify(ADDRESSES) }],
      routes: [],
      backend: undefined,
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") errors.push(diagnostic);
    },
  );
  if (errors.length > 0) throw new Error(errors.map(({ message }) => message).join("\n"));
  return program;
}
