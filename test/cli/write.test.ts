/**
 * Packets written with their verdicts (`-w`): as they were captured, in order, each with a comment. Read
 * back by a parser of the tests' own, by netverdict itself, and by tshark and tcpdump where they are.
 */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { Blocks } from "../capture/blocks.ts";
import { commentsOf, readPackets, whatStays } from "../capture/packets.ts";
import { buildFrame, buildPcap, buildPcapng, TCP, UDP } from "../frames.ts";
import type { TimedFrame } from "../frames.ts";

const ROOT = join(import.meta.dirname, "../..");
const BIN = join(ROOT, "dist/src/cli/bin.js");
const EXAMPLE = "examples/dns-forgotten";
const CAPTURE = `${EXAMPLE}/traffic.pcapng`;
const CORPUS = join(ROOT, "../shared/corpus/captures");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;
const hasReaders = has("tshark") && has("tcpdump");
if (!hasReaders) console.log("skipped: tshark or tcpdump is not installed");
const hasCorpus = existsSync(CORPUS);
if (!hasCorpus) console.log("skipped: the corpus has no captures beside this repository");

afterAll(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);

function file(name: string, content: Uint8Array | string): string {
  writeFileSync(path(name), content);
  return path(name);
}

function run(words: readonly string[], input?: Uint8Array) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...words], {
    cwd: ROOT,
    maxBuffer: 1 << 26,
    ...(input === undefined ? {} : { input }),
  });
  return { status, stdout, text: stdout.toString(), stderr: stderr.toString() };
}

const reads = (captures: readonly string[]): string[] => captures.flatMap((each) => ["-r", each]);

interface Line {
  readonly packet: number;
  readonly verdict: string;
}

/** Replays and writes all packets; what ndjson says of them beside. */
function annotate(captures: readonly string[], ...words: readonly string[]) {
  const out = path("annotated.pcapng");
  const replayed = run([
    "replay",
    ...reads(captures),
    "-f",
    EXAMPLE,
    "-o",
    "ndjson",
    "-w",
    out,
    ...words,
  ]);
  const lines = replayed.text
    .split("\n")
    .flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Line]));
  return { ...replayed, lines, out, content: readPackets(readFileSync(out)) };
}

const contentOf = (name: string) => readPackets(readFileSync(join(ROOT, name)));
const own = (packet: Parameters<typeof commentsOf>[0]): string => commentsOf(packet).at(-1) ?? "";

describe("replay -w", () => {
  it("writes every packet as it was captured, with its verdict in words", () => {
    const { content, lines, status } = annotate([CAPTURE]);
    expect(status).toBe(0);
    expect(whatStays(content)).toEqual(whatStays(contentOf(CAPTURE)));
    expect(content.packets.map((packet) => own(packet).split(/[ :]/)[0]?.toLowerCase())).toEqual(
      lines.map(({ verdict }) => verdict),
    );
    expect(own(content.packets[21]!)).toBe(
      `DROP shop/checkout -> kube-system/coredns: NetworkPolicy shop/checkout-egress egress ${EXAMPLE}/policies.yaml:26 ` +
        "(no egress rule of the policies selecting shop/checkout matches)",
    );
    expect(own(content.packets[3]!)).toBe(
      `ALLOW shop/frontend -> shop/cart: NetworkPolicy shop/frontend-egress egress[0] ${EXAMPLE}/policies.yaml:13`,
    );
    expect(own(content.packets[0]!)).toBe("UNFILTERED: not an IP packet");
  });

  it("gives a verdict option to what is allowed or dropped, and to nothing else", () => {
    const { content, lines } = annotate([CAPTURE]);
    const options = { allow: "010000000000000000", drop: "010200000000000000" };
    expect(
      content.packets.map((packet) =>
        packet.options.find(({ code }) => code === 7)?.value.toString("hex"),
      ),
    ).toEqual(lines.map(({ verdict }) => options[verdict as keyof typeof options]));
  });

  it("is judged as the capture is, and gets a second comment", () => {
    const first = annotate([CAPTURE]);
    const copy = file("copy.pcapng", readFileSync(first.out));
    const second = annotate([copy]);
    expect(second.lines).toEqual(first.lines);
    expect(second.content.packets.map(commentsOf)).toEqual(
      first.content.packets.map((packet) => [own(packet), own(packet)]),
    );
  });

  it("keeps the times of pcap, in micro- and in nanoseconds, compressed or not", () => {
    const nano = readFileSync(join(ROOT, CAPTURE));
    const times = readPackets(nano).packets.map(({ bytes, ticks }): TimedFrame => {
      return { bytes: Uint8Array.from(Buffer.from(bytes, "hex")), timestampNs: ticks! };
    });
    const capture = file("traffic.pcap", buildPcap(times));
    const packed = file("traffic.pcap.gz", gzipSync(readFileSync(capture)));
    const before = whatStays(readPackets(readFileSync(capture)));
    expect(before).toHaveLength(33);
    expect(whatStays(annotate([capture]).content)).toEqual(before);
    expect(whatStays(annotate([packed]).content)).toEqual(before);
    const out = path("piped.pcapng");
    const words = ["replay", "-r", "-", "-f", EXAMPLE, "-o", "json", "-w", out];
    expect(run(words, readFileSync(packed)).status).toBe(0);
    expect(whatStays(readPackets(readFileSync(out)))).toEqual(before);
  });

  it("writes several captures in the order of time, their interfaces side by side", () => {
    const frames = readPackets(readFileSync(join(ROOT, CAPTURE))).packets.map(
      ({ bytes, ticks }): TimedFrame => {
        return { bytes: Uint8Array.from(Buffer.from(bytes, "hex")), timestampNs: ticks! };
      },
    );
    const odd = file(
      "odd.pcapng",
      buildPcapng(
        frames.filter((_, index) => index % 2 === 1),
        ["eth0"],
      ),
    );
    const even = file(
      "even.pcapng",
      buildPcapng(
        frames.filter((_, index) => index % 2 === 0),
        ["eth0"],
      ),
    );
    const { content, lines } = annotate([odd, even]);
    expect(content.packets.map(({ bytes, ticks }) => ({ bytes, ticks }))).toEqual(
      contentOf(CAPTURE).packets.map(({ bytes, ticks }) => ({ bytes, ticks })),
    );
    expect(content.sections).toHaveLength(1);
    expect(content.sections[0]!.interfaces.map((each) => [each.name, ...commentsOf(each)])).toEqual(
      [
        ["eth0", `from ${even}`],
        ["eth0", `from ${odd}`],
      ],
    );
    expect(lines).toHaveLength(33);
  });

  it("writes those that the expression chooses, and no more than -c", () => {
    const chosen = annotate([CAPTURE], "udp", "and", "port", "53");
    expect(chosen.content.packets.map(({ bytes }) => bytes)).toEqual(
      chosen.lines.map(({ packet }) => contentOf(CAPTURE).packets[packet - 1]!.bytes),
    );
    expect(chosen.lines.length).toBeGreaterThan(3);
    expect(annotate([CAPTURE], "-c", "3", "udp").content.packets).toHaveLength(3);
    expect(annotate([CAPTURE], "-c", "7").content.packets).toHaveLength(7);
  });

  it("waits for the rest of a fragmented datagram, and keeps the order", () => {
    const base = { source: "10.1.1.10", destination: "10.1.2.20", protocol: UDP } as const;
    const whole = buildFrame({
      ...base,
      sourcePort: 40000,
      destinationPort: 53,
      payload: new Uint8Array(1200),
    });
    const fragment = (first: number, last: number, id: number): Uint8Array => {
      const bytes = new Uint8Array(34 + last - first);
      bytes.set(whole.subarray(0, 34));
      bytes.set(whole.subarray(34 + first, 34 + last), 34);
      const view = new DataView(bytes.buffer);
      view.setUint16(16, bytes.length - 14);
      view.setUint16(18, id);
      view.setUint16(20, (first >> 3) | (34 + last < whole.length ? 0x2000 : 0));
      view.setUint16(24, 0);
      return bytes;
    };
    const other = buildFrame({
      ...base,
      protocol: TCP,
      sourcePort: 40001,
      destinationPort: 80,
      flags: "S",
    });
    const frames = [
      fragment(0, 800, 7),
      ...Array.from({ length: 5000 }, () => other),
      fragment(800, whole.length - 34, 7),
    ];
    const capture = file(
      "fragments.pcapng",
      buildPcapng(
        frames.map((bytes, index) => ({ bytes, timestampNs: BigInt(index) * 1000n + 10n ** 18n })),
      ),
    );
    const { content, lines } = annotate([capture]);
    expect(lines).toHaveLength(5002);
    expect(whatStays(content)).toEqual(whatStays(readPackets(readFileSync(capture))));
    expect(content.packets.every((packet) => own(packet) !== "")).toBe(true);
    expect(own(content.packets[0]!)).toBe(own(content.packets[5001]!));
  });

  it("writes to standard output, alone", () => {
    const printed = run(["replay", "-r", CAPTURE, "-f", EXAMPLE, "-w", "-"]);
    expect(printed.status).toBe(0);
    expect(whatStays(readPackets(printed.stdout))).toEqual(whatStays(contentOf(CAPTURE)));
    const both = run(["replay", "-r", CAPTURE, "-f", EXAMPLE, "-w", "-", "-o", "json"]);
    expect(both).toMatchObject({ status: 2, text: "" });
    expect(both.stderr).toContain("only one output can go to standard output");
    const report = path("beside.json");
    run(["replay", "-r", CAPTURE, "-f", EXAMPLE, "-w", "-", "-o", `json=${report}`]);
    expect(JSON.parse(readFileSync(report, "utf8"))).toMatchObject({ packets: 33 });
  });

  it("refuses text before anything is replayed, and leaves no file", () => {
    const out = path("text.pcapng");
    const refused = run(["replay", "-r", `${EXAMPLE}/traffic.txt`, "-f", EXAMPLE, "-w", out]);
    expect(refused).toMatchObject({ status: 2, text: "" });
    expect(refused.stderr).toContain(
      "traffic.txt: it is text, whose packets cannot be written again",
    );
    expect(readdirSync(folder).filter((name) => name.includes("text.pcapng"))).toEqual([]);
  });

  it("overwrites no input, and one file is not written twice", () => {
    const capture = file("input.pcapng", readFileSync(join(ROOT, CAPTURE)));
    const before = readFileSync(capture);
    const refused = run(["replay", "-r", capture, "-f", EXAMPLE, "-w", capture]);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain("the output would overwrite an input");
    expect(readFileSync(capture).equals(before)).toBe(true);
    const out = path("twice.pcapng");
    const twice = run(["replay", "-r", capture, "-f", EXAMPLE, "-w", out, "--write-dropped", out]);
    expect(twice.status).not.toBe(0);
    expect(readdirSync(folder).filter((name) => name.includes("twice"))).toEqual([]);
  });

  it("keeps what could be read of a damaged capture, and says that it is partial", () => {
    const whole = readFileSync(join(ROOT, CAPTURE));
    const capture = file("cut.pcapng", whole.subarray(0, whole.length - 30));
    const { status, content } = annotate([capture]);
    expect(status).toBe(3);
    expect(whatStays(content)).toEqual(whatStays(contentOf(CAPTURE)).slice(0, 32));
  });

  it("keeps the old file when the capture cannot be read at all", () => {
    const out = file("old.pcapng", "what was there");
    const capture = file("nonsense.pcap", "no capture at all, not even text that could be one");
    expect(run(["replay", "-r", capture, "-f", EXAMPLE, "-w", out]).status).toBe(2);
    expect(readFileSync(out, "utf8")).toBe("what was there");
  });
});

describe("replay --write-dropped, --write-allowed, --write-unknown", () => {
  it("write the packets of one verdict, and agree with the counts", () => {
    const [dropped, allowed, unknown] = ["dropped", "allowed", "unknown"].map(path) as [
      string,
      string,
      string,
    ];
    const words = [
      "--write-dropped",
      dropped,
      "--write-allowed",
      allowed,
      "--write-unknown",
      unknown,
    ];
    const { text } = run(["replay", "-r", CAPTURE, "-f", EXAMPLE, "-o", "json", ...words]);
    const { verdicts } = JSON.parse(text) as { verdicts: Record<string, number> };
    const all = annotate([CAPTURE]);
    for (const [name, verdict] of [
      [dropped, "drop"],
      [allowed, "allow"],
      [unknown, "unknown"],
    ] as const) {
      const { packets, sections } = readPackets(readFileSync(name));
      expect(packets).toHaveLength(verdicts[verdict]!);
      expect(sections.map(({ interfaces }) => interfaces.length)).toEqual([1]);
      expect(packets.map(({ bytes, ticks }) => [bytes, ticks])).toEqual(
        all.lines
          .filter((line) => line.verdict === verdict)
          .map(({ packet }) => all.content.packets[packet - 1]!)
          .map(({ bytes, ticks }) => [bytes, ticks]),
      );
    }
  });
});

describe("what-if -w", () => {
  const compare = (...words: readonly string[]) =>
    run([
      ...["what-if", "-r", CAPTURE, "-f", `${EXAMPLE}/cluster.yaml`, "--fail-on", "any-change"],
      ...["--proposed", `${EXAMPLE}/policies.yaml`, ...words],
    ]);

  it("writes every packet with what becomes of it, and what was before", () => {
    const out = path("compared.pcapng");
    const [drops, allows] = [path("new-drops.pcapng"), path("new-allows.pcapng")];
    const words = [
      "-w",
      out,
      "--write-new-drops",
      drops,
      "--write-new-allows",
      allows,
      "-o",
      "json",
    ];
    const { status, text } = compare(...words);
    expect(status).toBe(1);
    const content = readPackets(readFileSync(out));
    expect(whatStays(content)).toEqual(whatStays(contentOf(CAPTURE)));
    expect(own(content.packets[21]!)).toBe(
      `DROP shop/checkout -> kube-system/coredns: NetworkPolicy shop/checkout-egress egress ${EXAMPLE}/policies.yaml:26 ` +
        "(no egress rule of the policies selecting shop/checkout matches); before: ALLOW: no policy isolates it for egress",
    );
    expect(own(content.packets[0]!)).toBe("UNFILTERED: not an IP packet; as before");
    const report = JSON.parse(text) as Record<"newDrop" | "newAllow", { packets: number }>;
    const dropped = readPackets(readFileSync(drops)).packets;
    expect(report.newDrop.packets).toBeGreaterThan(3);
    expect(dropped).toHaveLength(report.newDrop.packets);
    expect(dropped.map(own)).toEqual(
      content.packets.map(own).filter((comment) => /^DROP.*; before: ALLOW/.test(comment)),
    );
    expect(readPackets(readFileSync(allows)).packets).toHaveLength(report.newAllow.packets);
  });

  it("says the same with and without, and refuses text", () => {
    expect(compare("-w", path("compared.pcapng")).text).toBe(compare().text);
    const refused = compare("-r", `${EXAMPLE}/traffic.txt`, "-w", path("none.pcapng"));
    expect(refused).toMatchObject({ status: 2, text: "" });
    expect(existsSync(path("none.pcapng"))).toBe(false);
  });
});

describe.runIf(hasReaders)("annotated captures in tshark and tcpdump", () => {
  const runTshark = (name: string, fields: readonly string[], ...words: readonly string[]) => {
    const wanted = fields.flatMap((each) => ["-e", each]);
    const { status, stdout } = spawnSync(
      "tshark",
      ["-n", "-r", name, "-T", "fields", ...wanted, ...words],
      { encoding: "utf8", maxBuffer: 1 << 28 },
    );
    const lines = stdout.split("\n").slice(0, -1);
    return { status, rows: lines.map((line) => line.split("\t")) };
  };
  const tshark = (name: string, ...fields: readonly string[]) => runTshark(name, fields).rows;
  const STAYS = [
    "frame.number",
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "frame.encap_type",
    "frame.protocols",
  ];

  /** What tcpdump prints, with all bytes; it stops at what it cannot read. */
  const tcpdump = (name: string): string =>
    spawnSync("tcpdump", ["-nn", "-tt", "-xx", "-r", name], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    }).stdout;

  it("have a comment on every packet, and are what they were", () => {
    const { out, content } = annotate([CAPTURE]);
    expect(tshark(out, ...STAYS)).toEqual(tshark(join(ROOT, CAPTURE), ...STAYS));
    expect(tshark(out, "frame.comment").flat()).toEqual(content.packets.map(own));
    expect(tcpdump(out)).toBe(tcpdump(join(ROOT, CAPTURE)));
    expect(tcpdump(out)).toContain("10.96.0.10.53");
  });

  it("show the verdict to filters", () => {
    const { out, lines } = annotate([CAPTURE]);
    const filter = "frame.verdict.ebpf_tc == 2";
    const { rows } = runTshark(out, ["frame.number"], "-Y", filter);
    expect(rows.flat().map(Number)).toEqual(
      lines.filter(({ verdict }) => verdict === "drop").map(({ packet }) => packet),
    );
  });

  it("have a column and colours by the profile", () => {
    const { out } = annotate([CAPTURE]);
    const config = path("config");
    cpSync(join(ROOT, "examples/wireshark"), join(config, "profiles"), { recursive: true });
    const { stdout, stderr } = spawnSync("tshark", ["-n", "-C", "netverdict", "-r", out], {
      encoding: "utf8",
      env: { ...process.env, WIRESHARK_CONFIG_DIR: config },
    });
    expect(stderr).not.toMatch(/preferences|colorfilters/);
    expect(stdout.split("\n")[21]).toMatch(
      /DNS DROP shop\/checkout -> .* matches\) Standard query/,
    );
    const rules = readFileSync(join(config, "profiles/netverdict/colorfilters"), "utf8");
    const filters = [...rules.matchAll(/^@[^@]*@([^@]*)@/gm)].map(([, filter = ""]) => filter);
    expect(
      filters.map((filter) => runTshark(out, ["frame.number"], "-Y", filter).rows.length),
    ).toEqual([0, 8, 0, 1, 24]);
  });

  it("keep sections, comments and fine times", () => {
    const b = new Blocks(true);
    const comment = b.option(1, [...Buffer.from("seen by a person")]);
    const bytes = [
      b.section(),
      b.interface([
        ...b.option(2, [...Buffer.from("eth0")]),
        ...b.option(9, [9]),
        ...b.option(0, []),
      ]),
      b.packet({ ticks: 1_700_000_000_123_456_789n, options: [...comment, ...b.option(0, [])] }),
      b.section(),
      b.interface([...b.option(2, [...Buffer.from("eth1")]), ...b.option(0, [])]),
      b.packet(),
    ].flat();
    const capture = file("sections.pcapng", Uint8Array.from(bytes));
    const { out } = annotate([capture]);
    const fields = [...STAYS, "frame.interface_name", "frame.section_number"];
    expect(tshark(out, ...fields)).toEqual(tshark(capture, ...fields));
    expect(tshark(out, "frame.comment")[0]![0]).toMatch(/^seen by a person,UNFILTERED/);
  });

  it.runIf(hasCorpus)(
    "of the corpus are what they were",
    () => {
      const names = readdirSync(CORPUS, { recursive: true, encoding: "utf8" })
        .filter((name) => /\.(pcap|pcapng)$/.test(name))
        .filter((_, index) => index % 24 === 0)
        .map((name) => join(CORPUS, name));
      let packets = 0;
      let compared = 0;
      for (const name of names) {
        const replayed = run([
          "replay",
          "-r",
          name,
          "-f",
          EXAMPLE,
          "-o",
          "json",
          "-w",
          path("corpus.pcapng"),
        ]);
        // libpcap ends a pcapng file at a packet beyond the snap length, a pcap file it does not.
        if (replayed.status !== 0 || replayed.stderr.includes("snap length")) continue;
        const { status, rows } = runTshark(name, STAYS);
        // A Simple Packet Block has no time; the block that can have a comment must have one.
        const before = rows.map((row) =>
          row.map((value, at) => (at === 1 && value === "" ? "0.000000000" : value)),
        );
        if (status !== 0) continue;
        const after = tshark(path("corpus.pcapng"), ...STAYS, "frame.comment");
        expect(
          after.map((row) => row.slice(0, STAYS.length)),
          name,
        ).toEqual(before);
        expect(
          after.filter((row) => (row[STAYS.length] ?? "") === ""),
          name,
        ).toEqual([]);
        expect(tcpdump(path("corpus.pcapng")), name).toBe(tcpdump(name));
        packets += after.length;
        compared += 1;
      }
      console.log(
        `corpus: ${packets} packets of ${compared} captures compared by tshark and tcpdump`,
      );
    },
    240_000,
  );
});
