/**
 * What is measured: rules and traffic as the files that a user would have, loaded as the command line loads
 * them. Files live in one folder that is gone when the process ends.
 */
import { statSync, writeFileSync } from "node:fs";
import { DiagnosticLog } from "../src/cli/diagnostics.ts";
import { Interruption } from "../src/cli/interruption.ts";
import { loadJudge, type Judge, type JudgeOptions } from "../src/cli/judge.ts";
import { loadProgramMatcher } from "../src/cli/matcher.ts";
import { makeTraffic, TemporaryFolder, type MadeTraffic } from "../src/cli/bench-traffic.ts";
import { replayTraffic } from "../src/cli/traffic.ts";
import type { Matcher } from "../src/engine/matcher.ts";
import type { Totals } from "../src/engine/verdict.ts";
import { rulesOf } from "../src/workload/places.ts";
import { makeCluster, type ClusterSize } from "./cluster.ts";
import type { NodeDumps } from "./firewall.ts";

/** Rules, loaded. */
export interface Subject {
  readonly judge: Judge;
  readonly options: JudgeOptions;
  /** The same as words of a command line. */
  readonly words: readonly string[];
  readonly rules: number;
}

/** Traffic for a subject. */
export interface Traffic {
  readonly file: string;
  readonly packets: number;
  readonly bytes: number;
}

/** One replay of a subject's traffic. */
export interface Replay {
  readonly seconds: number;
  readonly matcher: Matcher;
  readonly totals: Totals;
}

/** The most that the command line allows: nothing is crowded out. */
export const CONNTRACK_MAX = 4_194_304;

const folder = new TemporaryFolder();
let files = 0;

/** A file of the run's own. */
export function temporaryFile(name: string): string {
  files += 1;
  return folder.file(`${files}-${name}`);
}

/** Loads a node's dumps. */
export function nodeSubject(dumps: NodeDumps): Subject {
  const [iptables, ipset, addresses, routes] = (
    ["iptables", "ipset", "addresses", "routes"] as const
  ).map((name) => {
    const file = temporaryFile(name);
    writeFileSync(file, dumps[name]);
    return file;
  });
  const words = [
    ...["--iptables", iptables!, "--ipset", ipset!],
    ...["--addresses", addresses!, "--routes", routes!],
  ];
  return subjectOf(
    { iptables: [iptables!], ipset: [ipset!], addresses: [addresses!], routes: [routes!] },
    words,
  );
}

/** Loads a Calico-shaped cluster: all its nodes as one. */
export function clusterSubject(size: ClusterSize): Subject {
  return fileSubject(clusterFile(size));
}

/** Loads such a cluster from its file. */
export function fileSubject(file: string): Subject {
  return subjectOf({ filename: [file] }, ["-f", file]);
}

/** A Calico-shaped cluster as kubectl prints it. */
export function clusterFile(
  size: ClusterSize,
  change: (objects: readonly object[]) => readonly object[] = (objects) => objects,
): string {
  const file = temporaryFile("cluster.json");
  const list = { apiVersion: "v1", kind: "List", items: change(makeCluster("mixed", size)) };
  writeFileSync(file, JSON.stringify(list, null, 4));
  return file;
}

/** Makes traffic that suits the rules: some flows are aimed at rules, what is dropped is not answered. */
export async function trafficFor(
  { judge, options }: Subject,
  size: Omit<MadeTraffic, "seed" | "share" | "sizes"> & Partial<MadeTraffic>,
): Promise<Traffic> {
  const made = { seed: 1, share: "even", sizes: "minimum", ...size } as const;
  const asking = { judge, capture: options, log: quietLog(), interruption };
  const file = await makeTraffic(new TemporaryFolder(), made, asking);
  return { file, packets: made.packets, bytes: statSync(file).size };
}

/** Replays in this process, as `replay -o json` does up to its report. */
export async function replayHere(
  { judge, options }: Subject,
  { file }: Pick<Traffic, "file">,
  how: { readonly walkAll?: boolean; readonly packetsMax?: number } = {},
): Promise<Replay> {
  const matcher = loadProgramMatcher(judge.program, {
    midstream: judge.midstream,
    conntrackMax: CONNTRACK_MAX,
    tracePacket: undefined,
    walkAll: how.walkAll ?? false,
  });
  const start = performance.now();
  await replayTraffic({
    capture: { ...options, read: [file] },
    ...{ matcher, interruption },
    resolveName: () => undefined,
    log: quietLog(),
    packetsMax: how.packetsMax,
    packetsWanted: false,
    onBatch: async () => true,
  });
  if (interruption.requested) throw new Error("interrupted");
  return { seconds: (performance.now() - start) / 1000, matcher, totals: matcher.totals() };
}

const interruption = new Interruption();

const NO_OPTIONS: JudgeOptions = {
  ...{
    filename: [],
    clusterCidr: [],
    endpoint: [],
    staged: "ignore" as const,
    dialect: "calico" as const,
  },
  ...{
    iptables: [],
    ip6tables: [],
    ipset: [],
    addresses: [],
    routes: [],
    conntrack: [],
    sysctl: [],
  },
  ...{ read: [], conntrackMax: CONNTRACK_MAX },
};

/** Loads what the options name; `words` say the same on a command line. */
export function subjectOf(given: Partial<JudgeOptions>, words: readonly string[]): Subject {
  const options = { ...NO_OPTIONS, ...given };
  const judge = loadJudge(options, quietLog());
  const rules = judge.program.rulesets.flatMap(rulesOf).length;
  return { judge, options, words, rules };
}

/** Errors end the run; warnings are about dumps that are left out on purpose. */
function quietLog(): DiagnosticLog {
  return new DiagnosticLog((text) => {
    if (text.includes("error")) throw new Error(text);
  });
}
