/**
 * The `verify` command: the same tables in this machine's own kernel, the same packets through it, and
 * every packet on which the kernel and the matcher differ. Packets are sent one after another, without
 * the capture's pauses; the matcher judges them by the times at which they were sent.
 */
import { release } from "node:os";
import { appendMadeFrame, readPacketBytes } from "../capture/record.ts";
import type { CapturedPacket } from "../capture/record.ts";
import { CaptureOrder } from "../engine/capture-order.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import { isSetListing } from "../dump/ipset-save.ts";
import { parseIptablesSave } from "../dump/iptables-save.ts";
import type { NodeText } from "../dump/node-text.ts";
import { buildLabGround } from "../lab/node.ts";
import type { LabGround } from "../lab/node.ts";
import { NUMBERS, frameOf, numberOf, numberedPacket } from "../lab/frames.ts";
import { LabError, labMissing, startLab } from "../lab/lab.ts";
import type { FamilyTexts, KernelLab, LabNode, LabPacket } from "../lab/lab.ts";
import type { Backend } from "../match/extension.ts";
import { packetJson, stringifyJson } from "../report/json.ts";
import type { Json } from "../report/json.ts";
import { countText } from "../report/layout.ts";
import { renderIpsets } from "../tables/ipset.ts";
import { renderIptables } from "../tables/iptables.ts";
import { sysctlPaths } from "../dump/sysctl.ts";
import { formatAddress } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { tellAnswers } from "./dns-answers.ts";
import { EXIT_DONE, EXIT_FINDING, EXIT_INTERRUPTED, EXIT_PARTIAL, Failure } from "./failure.ts";
import { makeResolver } from "./hosts.ts";
import { Interruption } from "./interruption.ts";
import { inputFiles, loadJudge, namesNode } from "./judge.ts";
import type { Judge } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import { readNodeFiles } from "./node-files.ts";
import type { CaptureOptions, ClusterOptions, NodeOptions } from "./options.ts";
import { openSink } from "./output.ts";
import type { Output } from "./output.ts";
import { replayTraffic } from "./traffic.ts";
import type { TrafficEnd } from "./traffic.ts";

/** The formats of `verify -o`; the first is the default. */
export const VERIFY_FORMATS = ["text", "json"] as const;
export type VerifyFormat = (typeof VERIFY_FORMATS)[number];

/** Options of `verify`. */
export interface VerifyOptions extends ClusterOptions, NodeOptions, CaptureOptions {
  readonly output?: readonly Output<VerifyFormat>[];
  /** Most packets. */
  readonly c?: number;
}

/** Runs `verify` and gives its exit code. */
export async function verify(options: VerifyOptions): Promise<number> {
  if (options.read.length === 0) throw new Failure("no capture: name one with -r FILE");
  const missing = labMissing();
  if (missing !== undefined) throw new Failure(`no kernel lab can be had here: ${missing}`);
  if (!namesNode(options) && options.node === undefined) {
    throw new Failure("the lab is one node: say which with --node NAME");
  }
  const log = new DiagnosticLog((text) => process.stderr.write(text));
  const [judge] = await tellAnswers([loadJudge(options, log)] as const, options);
  const ground = buildLabGround(judge.program.topology);
  const [output = { format: VERIFY_FORMATS[0], file: undefined }] = options.output ?? [];
  const sink = openSink(output.file, inputFiles(options));
  const interruption = new Interruption();
  let lab: KernelLab | undefined;
  try {
    lab = await startLab(labNode(options, judge, { ground, log }));
    const comparing = new Comparing(judge, options, { ground, lab });
    const end = await followCapture(comparing, { judge, options, log, interruption });
    const notes = [...ground.notes, ...notesOf(judge)];
    const report = { ...comparing.result(), end, notes };
    await sink.write(output.format === "json" ? jsonOf(report) : textOf(report));
    await sink.finish();
    return exitCode(report);
  } catch (error) {
    sink.abandon();
    if (error instanceof LabError) throw new Failure(`the kernel lab: ${error.message}`);
    throw error;
  } finally {
    await lab?.close();
    interruption.dispose();
  }
}

function notesOf({ program: { connections = [] } }: Judge): string[] {
  if (connections.length === 0) return [];
  return ["the connections of --conntrack are left aside: the lab's kernel begins with none"];
}

// ── The node ──────────────────────────────────────────────────────────────────────────────────────────

/** Captures are often cut, and hold checksums that a network card had yet to fill in (CT-6). */
const SYSCTLS = { "netfilter/nf_conntrack_checksum": 0 };

function labNode(
  options: VerifyOptions,
  { program }: Judge,
  { ground, log }: { readonly ground: LabGround; readonly log: DiagnosticLog },
): LabNode {
  const { interfaces, routes } = ground;
  const base = { interfaces, routes, sysctls: SYSCTLS };
  if (!namesNode(options)) {
    const textOf = (family: 4 | 6): string =>
      program.rulesets
        .filter((ruleset) => ruleset.family === family)
        .map(renderIptables)
        .join("");
    const ipsets = renderIpsets(program.rulesets);
    return { ...base, ipsets, tables: { legacy: { 4: textOf(4), 6: textOf(6) } } };
  }
  // The very words of the dumps: what we made of them is what is to be proved.
  const texts = readNodeFiles(options, log);
  const tables: Partial<Record<Backend, FamilyTexts>> = {};
  for (const [family, files] of [
    [4, texts.iptables],
    [6, texts.ip6tables],
  ] as const) {
    for (const { file, text, backend = texts.backend } of files) {
      const quiet = (): void => undefined;
      const sets = program.rulesets.flatMap((ruleset) => ruleset.sets);
      const own = parseIptablesSave({ file, text, family, backend }, sets, quiet).backend;
      const before = tables[own] ?? { 4: "", 6: "" };
      tables[own] = { ...before, [family]: before[family] + text };
    }
  }
  const sysctls = { ...SYSCTLS, ...sysctlPaths(texts.sysctl ?? []) };
  return { ...base, sysctls, ipsets: setsText(texts.ipset, program), tables };
}

/** > ipset restores what ipset save prints, not what ipset list does. Every ruleset has all sets. */
function setsText(files: readonly NodeText[], { rulesets }: Judge["program"]): string {
  const listed = files.some(({ text }) => isSetListing(text));
  if (listed) return renderIpsets(rulesets.slice(0, 1));
  return files.map(({ text }) => text).join("");
}

// ── The packets ───────────────────────────────────────────────────────────────────────────────────────

/** Why a packet of the capture is not sent. */
type LeftOut =
  | "not IP, or addressed to another host"
  | "seen a second time or leaving"
  | "without bytes in the capture"
  | "of which the capture does not show where they arrive";

/** A packet on which the two differ. */
interface Difference {
  /** Position in the capture, from 1. */
  readonly number: number;
  /** An interface, `local` or `drop`. */
  readonly kernel: string;
  readonly verdict: PacketVerdict;
}

interface Result {
  readonly sent: number;
  readonly agreed: number;
  readonly unknown: ReadonlyMap<string, number>;
  readonly leftOut: ReadonlyMap<LeftOut, number>;
  readonly differences: readonly Difference[];
}

interface Report extends Result {
  readonly end: TrafficEnd;
  readonly notes: readonly string[];
}

interface Following {
  readonly judge: Judge;
  readonly options: VerifyOptions;
  readonly log: DiagnosticLog;
  readonly interruption: Interruption;
}

/** The matcher reads the capture first: what it says of each packet's arrival decides how it is sent. */
async function followCapture(comparing: Comparing, following: Following): Promise<TrafficEnd> {
  const { judge, options, log, interruption } = following;
  const matcher = loadProgramMatcher(judge.program, {
    midstream: judge.midstream,
    conntrackMax: options.conntrackMax,
    tracePacket: undefined,
  });
  return await replayTraffic({
    capture: options,
    matcher,
    resolveName: makeResolver(options.hosts, judge.snapshot, log),
    log,
    interruption,
    packetsMax: options.c,
    packetsWanted: true,
    onBatch: async ({ names }) => {
      await comparing.add(matcher, names);
      return true;
    },
  });
}

/** A packet that is sent, and where it stands in the capture. */
interface Passenger {
  readonly position: number;
  readonly number: number;
  readonly packet: LabPacket;
}

/** What the kernel made of a packet that was sent. */
interface Crossing {
  readonly position: number;
  /** An interface, `local` or `drop`. */
  readonly kernel: string;
}

/** Sends packets through the lab and has a second matcher judge the same ones. */
class Comparing {
  readonly #lab: KernelLab;
  readonly #ground: LabGround;
  readonly #matcher: Matcher;
  readonly #order: CaptureOrder<undefined>;
  readonly #names: readonly string[];
  readonly #numberByDatagram = new Map<string, number>();
  readonly #unknown = new Map<string, number>();
  readonly #leftOut = new Map<LeftOut, number>();
  readonly #differences: Difference[] = [];
  /** Packets that were sent, by their number in the matcher's capture. */
  readonly #crossings = new Map<number, Crossing>();
  #number = 0;
  #sent = 0;
  #agreed = 0;

  constructor(
    { program }: Judge,
    options: VerifyOptions,
    { ground, lab }: { readonly ground: LabGround; readonly lab: KernelLab },
  ) {
    this.#lab = lab;
    this.#ground = ground;
    this.#names = ground.interfaces.map(({ name }) => name);
    // The lab's kernel has seen nothing before.
    const unmet = { ...program, connections: [] };
    this.#matcher = loadProgramMatcher(unmet, {
      midstream: "cold",
      conntrackMax: options.conntrackMax,
      tracePacket: undefined,
    });
    this.#matcher.nameInterfaces([...this.#names, undefined]);
    this.#order = new CaptureOrder(this.#matcher);
  }

  /** Takes the packets of a batch that another matcher has judged. */
  async add(matcher: Matcher, names: readonly string[]): Promise<void> {
    const passengers: Passenger[] = [];
    for (let index = 0; index < matcher.batch.count; index++) {
      const verdict = matcher.packetVerdict(index, names);
      const captured = readPacketBytes(matcher.batch, index);
      const passenger = this.#passenger(verdict, captured);
      if (typeof passenger === "string") count(this.#leftOut, passenger);
      else passengers.push(passenger);
    }
    if (passengers.length > 0) await this.#cross(passengers);
  }

  #passenger(verdict: PacketVerdict, captured: CapturedPacket | undefined): Passenger | LeftOut {
    if (verdict.verdict === "unfiltered") return "not IP, or addressed to another host";
    if (captured === undefined) return "without bytes in the capture";
    if (verdict.duplicateOf !== undefined || verdict.observed) {
      return "seen a second time or leaving";
    }
    const arrival = verdict.inInterface;
    const own = verdict.sourceRoute?.kind === "local";
    const number = this.#nextNumber(captured.datagram);
    const packet = numberedPacket(captured.bytes, captured.length, number);
    const position = verdict.number;
    if (own && (arrival === undefined || !this.#names.includes(arrival))) {
      return { position, number, packet: { arrival: undefined, bytes: packet } };
    }
    const link = this.#ground.interfaces.find(({ name }) => name === arrival);
    if (link === undefined) return "of which the capture does not show where they arrive";
    const bytes = frameOf(packet, {
      source: captured.macs?.source,
      destination: captured.macs?.destination,
      own: link.mac,
    });
    return { position, number, packet: { arrival: link.name, bytes } };
  }

  /** Fragments of one datagram have one number. */
  #nextNumber(datagram: string | undefined): number {
    const known = datagram === undefined ? undefined : this.#numberByDatagram.get(datagram);
    if (known !== undefined) return known;
    this.#number = (this.#number + 1) % NUMBERS || 1;
    if (datagram !== undefined) {
      if (this.#numberByDatagram.size >= DATAGRAMS_MAX) this.#numberByDatagram.clear();
      this.#numberByDatagram.set(datagram, this.#number);
    }
    return this.#number;
  }

  async #cross(passengers: readonly Passenger[]): Promise<void> {
    const { sentNs, sights } = await this.#lab.cross(passengers.map(({ packet }) => packet));
    const placeByNumber = new Map<number, string>();
    for (const { place = "local", packet } of sights) placeByNumber.set(numberOf(packet), place);
    for (const { position, number } of passengers) {
      this.#sent++;
      this.#crossings.set(this.#sent, { position, kernel: placeByNumber.get(number) ?? "drop" });
    }
    this.#judge(passengers, sentNs);
  }

  /** Has the matcher judge what was sent, in as many batches as it takes. */
  #judge(passengers: readonly Passenger[], sentNs: BigUint64Array): void {
    const { batch, blockAddress, blockSize } = this.#matcher;
    let first = 0;
    while (first < passengers.length) {
      batch.clear();
      let used = 0;
      let next = first;
      for (; next < passengers.length; next++) {
        const { arrival, bytes } = passengers[next]?.packet ?? { arrival: undefined, bytes: EMPTY };
        const fits = appendMadeFrame(
          batch,
          { address: blockAddress, size: blockSize, used },
          {
            bytes,
            link: arrival === undefined ? "none" : "ethernet",
            captureInterface:
              arrival === undefined ? this.#names.length : this.#names.indexOf(arrival),
            timestampNs: sentNs[next] ?? 0n,
          },
        );
        if (!fits) break;
        used += bytes.length;
      }
      this.#matcher.replay();
      this.#compareSettled();
      first = next;
    }
  }

  #compareSettled(): void {
    for (const { verdict } of this.#order.take([], () => undefined)) {
      const crossing = this.#crossings.get(verdict.number);
      if (crossing === undefined) throw new Error("bug: a verdict on a packet that was not sent");
      this.#crossings.delete(verdict.number);
      this.#compare(verdict, crossing);
    }
  }

  #compare(verdict: PacketVerdict, { position, kernel }: Crossing): void {
    const ours = placeOf(verdict);
    if (ours === "unknown") count(this.#unknown, verdict.reason);
    else if (ours === kernel) this.#agreed++;
    else this.#differences.push({ number: position, kernel, verdict });
  }

  /** What came of it; nothing more is sent. */
  result(): Result {
    this.#matcher.finish();
    this.#compareSettled();
    return {
      sent: this.#sent,
      agreed: this.#agreed,
      unknown: this.#unknown,
      leftOut: this.#leftOut,
      differences: this.#differences,
    };
  }
}

const EMPTY = new Uint8Array();
/** More unfinished datagrams than the kernel itself would hold. */
const DATAGRAMS_MAX = 4096;

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function placeOf({ verdict, outInterface }: PacketVerdict): string {
  return verdict === "allow" ? (outInterface ?? "local") : verdict;
}

// ── The report ────────────────────────────────────────────────────────────────────────────────────────

function exitCode({ end, differences }: Report): number {
  if (differences.length > 0) return EXIT_FINDING;
  if (end.partial === "interrupted") return EXIT_INTERRUPTED;
  return end.partial === undefined ? EXIT_DONE : EXIT_PARTIAL;
}

function textOf(report: Report): string {
  const { sent, agreed, unknown, leftOut, differences, notes } = report;
  const doubted = [...unknown.values()].reduce((sum, each) => sum + each, 0);
  const reasons = [...unknown].map(([reason, packets]) => `${reason} ${packets}`).join(", ");
  const lines = [
    ...differences.map(differenceText),
    `${countText(sent, "packet")} sent through Linux ${release()}: ${agreed} as netverdict says, ${differences.length} otherwise, ` +
      `${doubted} unknown to netverdict${doubted === 0 ? "" : ` (${reasons})`}`,
    ...[...leftOut].map(([why, packets]) => `not sent: ${countText(packets, "packet")} ${why}`),
    ...notes.map((note) => `note: ${note}`),
    ...(report.end.partial === undefined
      ? []
      : [`the capture was not followed to its end: ${report.end.partial}`]),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function differenceText({ number, kernel, verdict }: Difference): string {
  const end = (side: "source" | "destination"): string => {
    const address = verdict[side];
    const port = verdict[`${side}Port`];
    const text = address === undefined ? "?" : formatAddress(address);
    return port === undefined ? text : `${text} port ${port}`;
  };
  const protocol = verdict.protocol === undefined ? "" : ` ${protocolName(verdict.protocol)}`;
  const by = verdict.inInterface === undefined ? "" : ` arriving by ${verdict.inInterface}`;
  const { rule } = verdict;
  const where = rule === undefined ? "" : ` (${rule.table}:${rule.chain}:${rule.number})`;
  return `packet ${number}${protocol} ${end("source")} to ${end("destination")}${by}: kernel ${inWords(kernel)}, netverdict ${inWords(placeOf(verdict))}${where}`;
}

function inWords(place: string): string {
  if (place === "drop") return "drops it";
  return place === "local" ? "delivers it to the node" : `lets it out by ${place}`;
}

function jsonOf({ sent, agreed, unknown, leftOut, differences, notes, end }: Report): string {
  const report: Json = {
    kernel: release(),
    packets: sent,
    agreed,
    unknown: Object.fromEntries(unknown),
    notSent: Object.fromEntries(leftOut),
    differences: differences.map(({ number, kernel, verdict }) => ({
      packet: number,
      kernel: {
        verdict: kernel === "drop" ? "drop" : "allow",
        outInterface: kernel === "drop" || kernel === "local" ? null : kernel,
      },
      netverdict: packetJson(verdict, end.nature),
    })),
    notes,
    partial: end.partial,
  };
  return `${stringifyJson(report, 2)}\n`;
}
