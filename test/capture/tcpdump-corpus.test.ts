/**
 * tcpdump's own test suite: reading the text it prints gives the same addresses, protocol and ports for
 * every packet as reading the capture. What the text does not show is not compared; a wrong value never
 * passes.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { PCAP } from "../../src/capture/pcap.ts";
import { PCAPNG } from "../../src/capture/pcapng.ts";
import { TCPDUMP } from "../../src/capture/tcpdump.ts";
import { readCapture, truthOf, type Read, type Truth } from "./truth.ts";

const FOLDER = join(import.meta.dirname, "../../../shared/corpus/captures/tcpdump/tests");
const there = existsSync(join(FOLDER, "TESTLIST"));
if (!there) console.log("skipped: the corpus has no captures/tcpdump/tests beside this repository");

interface Pair {
  readonly name: string;
  readonly capture: string;
  readonly text: string;
  readonly options: readonly string[];
}

function readPairs(): Pair[] {
  return readFileSync(join(FOLDER, "TESTLIST"), "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => {
      const [name = "", capture = "", text = "", ...options] = line.trim().split(/\s+/);
      return { name, capture: join(FOLDER, capture), text: join(FOLDER, text), options };
    })
    .filter(({ capture, text }) => existsSync(capture) && existsSync(text));
}

/** What the reader says against what the bytes say: the first field that differs, in words. */
function difference(read: Read, truth: Truth): string | undefined {
  if (truth === undefined) return undefined;
  const notIp = (read.flags & layout.PACKET_NOT_IP) !== 0;
  if (truth === "other") return notIp ? undefined : "an IP packet where there is none";
  if (notIp) return "no IP packet where there is one";
  const has = (bit: number): boolean => (read.known & bit) !== 0;
  const wrong = (name: string, got: unknown, real: unknown): string | undefined =>
    got === real ? undefined : `${name} ${String(got)}, not ${String(real)}`;
  return (
    (has(layout.KNOWN_SRC) ? wrong("source", read.src, truth.src) : undefined) ??
    (has(layout.KNOWN_DST) ? wrong("destination", read.dst, truth.dst) : undefined) ??
    (has(layout.KNOWN_PROTOCOL) ? wrong("protocol", read.protocol, truth.protocol) : undefined) ??
    (has(layout.KNOWN_PORTS) && !truth.laterFragment
      ? (wrong("source port", read.sport, truth.sport) ??
        wrong("destination port", read.dport, truth.dport))
      : undefined)
  );
}

/** Headers so damaged that tcpdump prints no addresses. */
const MISSED = [
  "ipv4_invalid_total_length_2 packet 1: addresses",
  "ipv6-bad-version packet 2: addresses",
  "ipv6-bad-version packet 4: addresses",
  "gre-heapoverflow-1 packet 2: addresses",
  "hoobr_rt6_print packet 1: addresses",
  "hoobr_rt6_print packet 2: addresses",
  "LINKTYPE_IPV4_invalid packet 1: addresses",
  "LINKTYPE_IPV6_invalid packet 1: addresses",
];

/** Files whose text has another number of packets than the capture, and why. */
const UNCOUNTED = new Map<string, string>([
  ["dns_tcp-skip-3-c-4", "--skip and -c leave packets out"],
  ["geneve-tcp", "a filter leaves packets out"],
  ["isoclns-oobr", "no line says what the frame holds: reported, not counted"],
  ["kday4", "one 802.2 frame is printed without its type: reported, not counted"],
  ["of10_inv_QUEUE_GET_CONFIG_REPLY-vv", "the text has no packet head: reported, not counted"],
  ["olsr-oobr-2", "two lines say `Invalid header` and nothing else"],
  ["print-sampling", "--print-sampling leaves packets out"],
  ["rsvp-rsvp_obj_print-oobr", "one line says `Invalid header` and nothing else"],
]);

describe.runIf(there)("TCPDUMP on tcpdump's own output", () => {
  it("never gives another value than the capture", () => {
    let packets = 0;
    let addresses = 0;
    const wrong: string[] = [];
    const missed: string[] = [];
    const uncounted: string[] = [];
    for (const { name, capture, text } of readPairs()) {
      const bytes = readFileSync(capture);
      const format = [PCAP, PCAPNG].find(({ detect }) => detect(bytes.subarray(0, 65_536)));
      if (format === undefined) continue;
      const truths = readCapture(format, bytes).packets;
      const reads = readCapture(TCPDUMP, readFileSync(text)).packets;
      if (reads.length !== truths.length) {
        const decoded = truths.some(
          ({ frame, linkType }) => truthOf(frame, linkType) !== undefined,
        );
        if (decoded) uncounted.push(name);
        continue;
      }
      reads.forEach((read, index) => {
        const { frame, linkType } = truths[index]!;
        if ((read.flags & layout.PACKET_DECODED) === 0) return;
        packets += 1;
        if ((read.known & layout.KNOWN_SRC) !== 0) addresses += 1;
        const found = difference(read, truthOf(frame, linkType));
        const truth = truthOf(frame, linkType);
        if (
          truth !== "other" &&
          truth?.src !== undefined &&
          (read.known & layout.KNOWN_SRC) === 0
        ) {
          missed.push(`${name} packet ${index + 1}: addresses`);
        } else if (
          truth !== "other" &&
          truth?.sport !== undefined &&
          !truth.laterFragment &&
          (read.known & layout.KNOWN_PORTS) === 0
        ) {
          missed.push(`${name} packet ${index + 1}: ports`);
        }
        if (found !== undefined) wrong.push(`${name} packet ${index + 1}: ${found}`);
      });
    }
    console.log(
      `tcpdump's TESTLIST: ${packets} packets read from text, ${addresses} with addresses, ` +
        `${wrong.length} wrong, ${missed.length} that the text does not show`,
    );
    expect(wrong).toEqual([]);
    expect(missed).toEqual(MISSED);
    expect(uncounted.sort()).toEqual([...UNCOUNTED.keys()].sort());
  });
});
