/**
 * DPDK's classifier, by the test program that comes with it: rules and headers as its files have them. It
 * classifies headers that lie in memory and does nothing else.
 */
import { writeFileSync } from "node:fs";
import { rangeText, type ClassRule } from "../classbench.ts";
import { temporaryFile } from "../subject.ts";
import type { PlainPacket } from "./plain-loop.ts";
import { hasTool, runTool } from "./tools.ts";

const PROGRAM = "dpdk-test-acl";
export const DPDK = "dpdk-test-acl, headers in memory";
/** From the widest down: the first that this processor has is used. */
const METHODS = ["avx512x16", "avx2", "sse", "scalar"] as const;
const EAL = ["--no-huge", "-m", "4096", "--no-pci", "-l", "1", "--log-level", "1"];
const PASSES = 5;
/** By itself it ends at more than 65,536. */
const HEADERS_MAX = 1 << 20;

/** A rule set in DPDK's own form. */
export interface DpdkSet {
  readonly rules: string;
  readonly method: string;
}

/** Why it cannot be measured; undefined when it can. */
export function dpdkMissing(): string | undefined {
  return hasTool(PROGRAM) ? undefined : "it is not installed (Debian: dpdk-dev)";
}

/** Writes the rules. What none of them matches gets the number of a last rule, which matches everything. */
export function dpdkSet(rules: readonly ClassRule[]): DpdkSet {
  const file = temporaryFile("dpdk-rules");
  const lines = rules.map(({ source, destination, protocol, sourcePorts, destinationPorts }) => {
    const ports = [sourcePorts, destinationPorts].map(({ first, last }) => `${first} : ${last}`);
    const matched = protocol === undefined ? "0x00/0x00" : `0x${protocol.toString(16)}/0xff`;
    return `@${rangeText(source)} ${rangeText(destination)} ${ports.join(" ")} ${matched}\n`;
  });
  writeFileSync(file, `${lines.join("")}@0.0.0.0/0 0.0.0.0/0 0 : 65535 0 : 65535 0x00/0x00\n`);
  const one = { source: 1, destination: 1, protocol: 6, sourcePort: 1, destinationPort: 1 };
  const headers = dpdkHeaders([one]);
  const method = METHODS.find((each) => {
    try {
      return search({ rules: file, method: each }, headers, 1, 1).includes(" 1 pkts");
    } catch {
      return false;
    }
  });
  if (method === undefined) throw new Error(`${PROGRAM} does not accept the rules`);
  return { rules: file, method };
}

/** Writes headers. */
export function dpdkHeaders(packets: readonly PlainPacket[]): string {
  const file = temporaryFile("dpdk-headers");
  const lines = packets.map(
    ({ source, destination, sourcePort, destinationPort, protocol }) =>
      `${source} ${destination} ${sourcePort} ${destinationPort} ${protocol}\n`,
  );
  writeFileSync(file, lines.join(""));
  return file;
}

/** The number of each header's first matching rule, from 0. */
export function dpdkMatches(set: DpdkSet, headers: string): number[] {
  const text = search(set, headers, 1, 2);
  const results = text.matchAll(/^ipv4_5tuple: \d+, category: 0, result: (\d+)$/gm);
  return [...results].map((match) => Number(match[1]));
}

/** Seconds for one pass over all headers, by its own clock. */
export function timeDpdk(set: DpdkSet, headers: string, packets: number): number {
  const text = search(set, headers, PASSES, 1);
  return packets / Number(/([\d.]+) pkt\/sec/.exec(text)?.[1]);
}

function search(
  { rules, method }: DpdkSet,
  headers: string,
  passes: number,
  verbose: number,
): string {
  return runTool(
    PROGRAM,
    ...EAL,
    "--",
    ...[`--rulesf=${rules}`, `--tracef=${headers}`, `--alg=${method}`],
    `--tracenum=${HEADERS_MAX}`,
    // The default prints every packet within the time that is taken.
    ...[`--verbose=${verbose}`, `--iter=${passes}`],
  );
}
