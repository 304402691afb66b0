/**
 * How fast are ClassBench-shaped rule sets without any locality, beside DPDK's classifier? DPDK only classifies
 * headers that lie in memory, and so does our classification by itself. As a whole we read, decode, follow
 * connections, decide and count; the same packets at a node without rules, of which as many pass, tell how much of
 * that time the rules take.
 */
import { classifySeconds, loadClassifier, type Classifier } from "../classifier.ts";
import { ANYTHING, drawRules, firstMatch, type ClassRule, type Family } from "../classbench.ts";
import { firewallOf } from "../firewall.ts";
import { interleave, type Task } from "../measure.ts";
import { NETVERDICT, replaySeconds } from "../path.ts";
import type { Asking, Question } from "../question.ts";
import { DPDK, dpdkHeaders, dpdkMatches, dpdkMissing, dpdkSet, timeDpdk } from "../rivals/dpdk.ts";
import { packetsOf, type PlainPacket } from "../rivals/plain-loop.ts";
import { nodeSubject, replayHere, trafficFor } from "../subject.ts";
import { compileWasm } from "../wasm.ts";

/** Names that bars look for. */
export const ALONE = "netverdict's classification alone";
export const NO_RULES = "netverdict without rules";
/** Packets whose rules are compared. */
const COMPARED = 20_000;

export const classify: Question = {
  name: "classify",
  asks: "ClassBench-shaped rules, every packet a new connection: packets a second",
  async answer(asking) {
    const missing = dpdkMissing();
    if (missing !== undefined) asking.missing("dpdk-test-acl", missing);
    const how = { wasm: compileWasm("classify"), withDpdk: missing === undefined };
    for (const family of ["acl", "fw", "ipc"] as const) {
      for (const at of [1000, 10_000]) await measureSet(asking, family, at, how);
    }
  },
};

interface How {
  /** Of bench/assembly/classify.ts. */
  readonly wasm: Uint8Array<ArrayBuffer>;
  readonly withDpdk: boolean;
}

async function measureSet(
  asking: Asking,
  family: Family,
  at: number,
  { wasm, withDpdk }: How,
): Promise<void> {
  const size = `${family}, ${at.toLocaleString("en-US")} rules`;
  asking.progress(size);
  const rules = drawRules(family, at, 1);
  const subject = nodeSubject(firewallOf(rules));
  const closed = nodeSubject(firewallOf([]));
  const open = nodeSubject(firewallOf([ANYTHING]));
  const packets = asking.full ? 100_000 : 20_000;
  const traffic = await trafficFor(subject, { packets, flows: packets });
  const headers = packetsOf(traffic.file);
  const sample = headers.slice(0, COMPARED);
  const oracle = sample.map((packet) => firstMatch(rules, packet));
  const { matcher } = await replayHere(subject, traffic, { packetsMax: COMPARED });
  const passed = matcher.totals().verdicts.allow / COMPARED;
  const own = [...matcher.ruleCounts()].slice(1).map((rule) => rule.packets);
  const expected = countsOf(sample, oracle, rules);
  const wrong = own.filter((count, index) => count !== expected[index]);
  asking.checked("rule counts of a linear first match", sample.length, wrong.length);
  const tasks: Task[] = [
    { name: NETVERDICT, units: packets, run: () => replaySeconds(subject, traffic) },
    {
      ...{ name: NO_RULES, units: packets },
      // What passes becomes a connection, which takes longer than the rules do.
      run: async () =>
        passed * (await replaySeconds(open, traffic)) +
        (1 - passed) * (await replaySeconds(closed, traffic)),
    },
  ];
  const whole = await interleave(tasks, asking.full ? 5 : 3);
  asking.add({ size, at, unit: "packets", tasks: whole });
  const alone = [aloneTask(asking, loadClassifier(wasm, subject, headers), oracle)];
  if (withDpdk) alone.push(dpdkTask(asking, rules, headers, oracle));
  const measured = await interleave(alone, asking.full ? 9 : 5);
  asking.add({ size: `${size}, headers in memory`, at, unit: "packets", tasks: measured });
}

/** The rules are behind one that lets answers through. */
function aloneTask(asking: Asking, classifier: Classifier, oracle: readonly number[]): Task {
  classifier.run();
  const places = classifier.places();
  const off = oracle.filter((match, at) => places[at] !== (match < 0 ? classifier.end : match + 1));
  asking.checked("first matches by classification alone", oracle.length, off.length);
  return { name: ALONE, units: places.length, run: () => classifySeconds(classifier) };
}

function dpdkTask(
  asking: Asking,
  rules: readonly ClassRule[],
  headers: readonly PlainPacket[],
  oracle: readonly number[],
): Task {
  const set = dpdkSet(rules);
  const matches = dpdkMatches(set, dpdkHeaders(headers.slice(0, oracle.length)));
  const off = oracle.filter((match, at) => matches[at] !== (match < 0 ? rules.length : match));
  asking.checked(`first matches by dpdk-test-acl (${set.method})`, oracle.length, off.length);
  const file = dpdkHeaders(headers);
  return {
    name: DPDK,
    units: headers.length,
    run: () => timeDpdk(set, file, headers.length),
  };
}

/** How many packets each rule matches; what goes back and forth on a connection is not asked again. */
function countsOf(
  packets: readonly PlainPacket[],
  matches: readonly number[],
  rules: readonly ClassRule[],
): number[] {
  const counts = rules.map(() => 0);
  const answers = new Set<string>();
  for (const [index, packet] of packets.entries()) {
    const match = matches[index]!;
    const { source, destination, protocol, sourcePort, destinationPort } = packet;
    const tuple = `${source} ${sourcePort} ${destination} ${destinationPort} ${protocol}`;
    if (match < 0 || answers.has(tuple)) continue;
    counts[match]! += 1;
    const answer = `${destination} ${destinationPort} ${source} ${sourcePort} ${protocol}`;
    if (rules[match]!.accepts) answers.add(answer);
  }
  return counts;
}
