/**
 * The commands, their options and their help; and the one place where what went wrong becomes an exit
 * code and a sentence. A command's code is loaded when it is run.
 */
import { basename } from "node:path";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { InputError, escapeControls, formatDiagnostic } from "../errors.ts";
import type { BenchOptions } from "./bench.ts";
import type { CollectOptions } from "./collect.ts";
import type { CompileOptions } from "./compile.ts";
import type { ExplainOptions } from "./explain.ts";
import { EXIT_BUG, EXIT_DONE, EXIT_USAGE, Failure } from "./failure.ts";
import {
  addAnswersOption,
  addCaptureOptions,
  addClusterOptions,
  addNodeOptions,
  collect,
  outputOption,
  positive,
  sysctlOption,
} from "./options.ts";
import { guardStandardOutput } from "./output.ts";
import type { LintOptions } from "./lint.ts";
import type { ReplayOptions } from "./replay.ts";
import { parseRolloutTime } from "./rollout-time.ts";
import type { TestOptions } from "./test.ts";
import type { VerifyOptions } from "./verify.ts";
import { readVersion } from "./version.ts";
import type { WhatIfOptions } from "./what-if.ts";

/** Runs the command line and gives its exit code; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  guardStandardOutput();
  let exitCode = EXIT_DONE;
  const program = makeProgram(commandName(argv[1] ?? ""), (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...argv]);
    return exitCode;
  } catch (error) {
    return failureCode(error);
  }
}

/** kubectl runs `kubectl-netverdict` for `kubectl netverdict`. */
function commandName(script: string): string {
  return basename(script).startsWith("kubectl-") ? "kubectl netverdict" : "netverdict";
}

function makeProgram(name: string, finish: (exitCode: number) => void): Command {
  const program = new Command(name)
    .description(
      "Replays captures against network policies and says for every packet why it passes.",
    )
    .version(readVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .configureOutput({ writeErr: printUsageError })
    .addHelpText(
      "after",
      `
Examples:
  ${name} replay -r traffic.pcapng -f policies/ -f cluster.yaml
  ${name} what-if -r traffic.pcapng -f cluster.yaml --current policies/ --proposed policies-new/
  ${name} lint -f policies/ -f cluster.yaml
  ${name} test expectations.yaml -f policies/ -f cluster.yaml
  ${name} explain -f cluster.yaml shop/web payments/api --port 8443/tcp
  ${name} compile -f cluster.yaml --node worker-1 -o iptables-save

Exit codes: 0 done, 1 a gate tripped, 2 wrong usage or input, 3 partial result`,
    )
    .exitOverride();
  addReplay(program, name, finish);
  addWhatIf(program, name, finish);
  addLint(program, name, finish);
  addTest(program, name, finish);
  addExplain(program, name, finish);
  addCompile(program, name, finish);
  addCollect(program, name, finish);
  addBench(program, name, finish);
  addVerify(program, name, finish);
  return program;
}

function addReplay(program: Command, name: string, finish: (exitCode: number) => void): void {
  const command = program
    .command("replay")
    .description("judge every packet of a capture")
    .argument("[expression...]", "report only packets that match a tcpdump-style expression");
  addClusterOptions(addNodeOptions(addAnswersOption(addCaptureOptions(command))))
    .addOption(
      outputOption(["text", "json", "ndjson", "html"], "text (default), json, ndjson or html"),
    )
    .addOption(new Option("-c <n>", "stop after n packets").argParser(positive))
    .option(
      "-w, --write <file>",
      "write the packets as pcapng, each with its verdict as a comment; - for standard output",
    )
    .option("--write-dropped <file>", "write those that are dropped")
    .option("--write-allowed <file>", "write those that are allowed")
    .option("--write-unknown <file>", "write those that cannot be decided")
    .addOption(
      new Option("--fail-on <verdict>", "exit 1 when a packet gets this verdict; repeatable")
        .argParser(oneOf(["drop", "unknown"]))
        .default([], "none"),
    )
    .option("--compare-dialects", "judge by every dialect, and say only where they differ")
    .addOption(
      new Option(
        "--workers <n>",
        "threads that decide packets; what is said is the same (default: the cores, where the capture is large)",
      ).argParser(positive),
    )
    .addHelpText(
      "after",
      `
Expressions: host A, net A/BITS, port N, portrange N-M, each with src or dst; tcp, udp, sctp, icmp, icmp6,
ip, ip6; and, or, not, parentheses. Every packet is judged, so that flows are followed; the expression
chooses which are reported (rule counts stay those of all packets).

Several captures are merged by time; packets of equal time come in the order in which their files are named.
In ndjson "packet" counts the merged packets, "file" and "filePacket" say where each comes from.

Examples:
  ${name} replay -r traffic.pcapng -f policies/ -f cluster.yaml
  ${name} replay -r traffic.pcap.gz -f cluster.yaml -o json --fail-on drop port 53 and not host 10.0.0.1
  ${name} replay -r traffic.pcap --node-state worker-1/
  tcpdump -i any -w - | ${name} replay -r - -f cluster.yaml -o ndjson
  ${name} replay -r traffic.pcapng -f cluster.yaml -w annotated.pcapng --write-dropped dropped.pcapng`,
    )
    .action(async (expression: readonly string[], options: ReplayOptions) => {
      if (options.compareDialects === true) {
        const { replayDialects } = await import("./compare-dialects.ts");
        finish(await replayDialects(expression, options));
        return;
      }
      const { replay } = await import("./replay.ts");
      finish(await replay(expression, options));
    });
}

function addWhatIf(program: Command, name: string, finish: (exitCode: number) => void): void {
  const paths = (flag: string, what: string): Option =>
    new Option(`${flag} <path>`, `${what}; repeatable`).argParser(collect).default([], "none");
  const command = program
    .command("what-if")
    .description("judge a capture by current and by proposed policies, and say what changes")
    .argument("[expression...]", "compare only flows that match a tcpdump-style expression");
  addClusterOptions(addAnswersOption(addCaptureOptions(command)))
    .addOption(paths("--current", "policies of today beside -f, or the folder of a node's dumps"))
    .addOption(paths("--proposed", "what would be rolled out instead"))
    .option("--overlay", "--proposed holds only the objects that change")
    .addOption(sysctlOption())
    .addOption(
      outputOption(
        ["text", "json", "md", "github", "sarif", "junit", "html"],
        "text (default), json, md, github, sarif, junit or html",
      ),
    )
    .addOption(new Option("-c <n>", "stop after n packets").argParser(positive))
    .addOption(
      new Option("--fail-on <change>", "exit 1 when there is such a change; repeatable")
        .argParser(oneOf(["new-drop", "new-allow", "any-change", "unknown"]))
        .default([], "new-drop"),
    )
    .addOption(
      new Option(
        "--rollout-at <time>",
        "the proposed policies take over then, and connections go on: RFC 3339, seconds since 1970, or +30s after the first packet",
      ).argParser(parseRolloutTime),
    )
    .option("--no-blind-spots", "leave out what changes beside the capture's traffic")
    .option("--no-hints", "look for no rules that let pass what is newly dropped")
    .option("--accept <file>", "changes that are wanted: not reported, no gate trips on them")
    .option("--update-accept", "write the changes of this run to that file")
    .option(
      "-w, --write <file>",
      "write the packets as pcapng, each with its verdicts as a comment; - for standard output",
    )
    .option("--write-new-drops <file>", "write those that are newly dropped")
    .option("--write-new-allows <file>", "write those that are newly allowed")
    .addOption(
      new Option("--workers <n>", "1: one thread judges by both sides; what is said is the same")
        .argParser(positive)
        .default(undefined, "2, where the captures are large files"),
    )
    .addHelpText(
      "after",
      `
Every path may be git:REF:PATH. Without -r, all traffic that changes is listed. Packets are compared one by one; a flow is reported with the rule, policy and
line that decide it before and after. The text names packets for ${name} explain --packet N.

Examples:
  ${name} what-if -r traffic.pcapng -f cluster.yaml --current policies/ --proposed policies-new/
  ${name} what-if -r traffic.pcapng -f cluster.yaml --proposed changed.yaml --overlay
  ${name} what-if -r traffic.pcapng -f cluster.yaml --current git:main:policies --proposed policies -o github
  ${name} what-if -r traffic.pcapng --current worker-1/ --proposed worker-1-new/ --fail-on any-change`,
    )
    .action(
      async (
        expression: readonly string[],
        { overlay, ...options }: Omit<WhatIfOptions, "overlay"> & { readonly overlay?: boolean },
      ) => {
        const { whatIf } = await import("./what-if.ts");
        finish(await whatIf(expression, { ...options, overlaid: overlay ?? false }));
      },
    );
}

function addLint(program: Command, name: string, finish: (exitCode: number) => void): void {
  const command = program
    .command("lint")
    .description(
      "find traps in policies and in a node's rules; with a capture also what nothing in it meets",
    );
  addClusterOptions(addNodeOptions(addAnswersOption(addCaptureOptions(command))))
    .addOption(
      outputOption(
        ["text", "json", "md", "github", "sarif", "junit"],
        "text (default), json, md, github, sarif or junit",
      ),
    )
    .addOption(
      new Option("--fail-on <what>", "exit 1 at warning, note, none or a CODE; repeatable")
        .argParser(collect)
        .default([], "warning"),
    )
    .addHelpText(
      "after",
      `
Give the pods, namespaces and Services as well where you can: more can be told then. Every code has an
example in docs/lint.md.

Examples:
  ${name} lint -f policies/ -f cluster.yaml
  ${name} lint -f policies/ -f cluster.yaml -r traffic.pcapng
  ${name} lint --node-state worker-1/ -r traffic.pcap
  ${name} lint -f policies/ --fail-on DNS_FORGOTTEN --fail-on SHADOWED_RULE -o github`,
    )
    .action(async (options: LintOptions) => {
      const { lint } = await import("./lint.ts");
      finish(await lint(options));
    });
}

function addTest(program: Command, name: string, finish: (exitCode: number) => void): void {
  const command = program
    .command("test")
    .description("compare verdicts with those that files expect")
    .argument("<expectations...>", "files of expectations, or folders of them");
  addClusterOptions(addNodeOptions(command))
    .option("--in-interface <name>", "interface by which the connections arrive at the node")
    .addOption(
      outputOption(["text", "json", "junit", "github"], "text (default), json, junit or github"),
    )
    .addHelpText(
      "after",
      `
A file is a list of entries; from, to and port may be lists, which mean every combination:

  - from: shop/web                  # namespace/pod, namespace/workload or an address
    to: [payments/api, 10.1.2.3]    # also namespace/service
    port: [8443/tcp, 53/udp]        # or icmp; may be left out where no policy names ports
    expect: allow                   # or drop, unknown
    policy: payments/api-ingress    # optional: one that must decide
    reason: ingress                 # optional: words that the reason must have

Each is about the first packet of a new connection. Of a workload all pods must get the verdict. A name that
nobody has and a list without entries fail. Exit code 1 when an expectation fails, 2 when a file is wrong.

Examples:
  ${name} test expectations.yaml -f policies/ -f cluster.yaml
  ${name} test expectations/ -f cluster.yaml -o junit=report.xml -o github
  ${name} test expectations.yaml --node-state worker-1/`,
    )
    .action(async (paths: readonly string[], options: TestOptions) => {
      const { test } = await import("./test.ts");
      finish(await test(paths, options));
    });
}

function addExplain(program: Command, name: string, finish: (exitCode: number) => void): void {
  const command = program
    .command("explain")
    .description(
      "show the way of one packet, rule by rule, and the policy each rule comes from; or a pod's policies, or one policy",
    )
    .argument("[from]", "namespace/pod, namespace/workload or an address; alone: its policies")
    .argument(
      "[to]",
      "namespace/pod, namespace/workload, namespace/service or an address; kind/namespace/name where several have a name",
    );
  addClusterOptions(addNodeOptions(addAnswersOption(addCaptureOptions(command))))
    .option(
      "--port <port/protocol>",
      "8443/tcp, 53/udp, 9/sctp or icmp; may be left out where no policy names ports",
    )
    .addOption(
      new Option(
        "--packet <n>",
        "the n-th packet of the capture, or of all that are merged",
      ).argParser(positive),
    )
    .option(
      "--policy <name>",
      "[KIND/]namespace/name: whom it selects, what its rules mean, and with -r which of them are hit",
    )
    .addOption(outputOption(["text", "json"], "text (default) or json"))
    .addHelpText(
      "after",
      `
A workload without pods gets a stand-in address of 192.0.2.0/24 (RFC 5737).

Examples:
  ${name} explain -f cluster.yaml shop/web payments/api --port 8443/tcp
  ${name} explain -f cluster.yaml 203.0.113.9 shop/web --port 80/tcp
  ${name} explain -f cluster.yaml shop/cart service/shop/web --port 80/tcp
  ${name} explain -f cluster.yaml -r traffic.pcapng --packet 17
  ${name} explain -f cluster.yaml shop/web
  ${name} explain -f cluster.yaml --policy shop/web-egress -r traffic.pcapng
  ${name} explain --node-state worker-1/ 10.0.0.7 10.0.0.9 --port 22/tcp --in-interface eth0`,
    )
    .action(async (from: string | undefined, to: string | undefined, options: ExplainOptions) => {
      const { explain } = await import("./explain.ts");
      finish(await explain(from, to, options));
    });
}

function addCompile(program: Command, name: string, finish: (exitCode: number) => void): void {
  addClusterOptions(
    program.command("compile").description("print the tables that the policies become"),
  )
    .addOption(
      outputOption(
        ["iptables-save", "ip6tables-save", "ipset-save", "json"],
        "iptables-save (default), ip6tables-save, ipset-save or json",
      ),
    )
    .addHelpText(
      "after",
      `
Example:
  ${name} compile -f cluster.yaml --node worker-1 -o ipset-save=sets -o iptables-save=rules`,
    )
    .action(async (options: CompileOptions) => {
      const { compile } = await import("./compile.ts");
      finish(await compile(options));
    });
}

function addCollect(program: Command, name: string, finish: (exitCode: number) => void): void {
  program
    .command("collect")
    .description("print the read-only shell script that gathers a node's state for --node-state")
    .option("--conntrack", "gather the connections that conntrack follows, too")
    .addHelpText(
      "after",
      `
Example:
  ${name} collect | ssh root@worker-1 sh -s -- /tmp/worker-1
  scp -r root@worker-1:/tmp/worker-1 .
  ${name} replay -r traffic.pcap --node-state worker-1/`,
    )
    .action(async (options: CollectOptions) => {
      const { collect } = await import("./collect.ts");
      finish(await collect(options));
    });
}

function addBench(program: Command, name: string, finish: (exitCode: number) => void): void {
  const command = program
    .command("bench")
    .description("measure how fast these rules decide this traffic, and which of them are hit");
  addClusterOptions(addNodeOptions(addAnswersOption(addCaptureOptions(command))))
    .addOption(outputOption(["text", "json"], "text (default) or json"))
    .addOption(
      new Option("-c <n>", "stop after n packets, or generate so many").argParser(positive),
    )
    .addOption(
      new Option("--repeats <n>", "rounds that are measured; their median is reported")
        .argParser(positive)
        .default(5),
    )
    .addOption(
      new Option("--flows <n>", "flows of generated traffic (default: 10000)").argParser(positive),
    )
    .addOption(new Option("--seed <n>", "of generated traffic (default: 1)").argParser(positive))
    .addOption(
      new Option("--workers <n>", "threads that decide packets").argParser(positive).default(1),
    )
    .option("--save <file>", "keep the result, for --compare")
    .option("--compare <file>", "say how much faster this is than a result that was kept")
    .addHelpText(
      "after",
      `
Without -r, traffic is generated that suits the rules: connections between the addresses, to the ports and
from the sets that they name, with handshakes and data both ways; what is dropped is tried again.

The time is that of the whole path: reading, decompressing, decoding, connections, verdicts, counts; of several
workers their start and loading their tables, too. In the end one thread decides the packets, or as many as there is
time for, twice: by walking the rules for each, and as above. Both must report the same, or there is no result.

Examples:
  ${name} bench -f policies/ -f cluster.yaml
  ${name} bench -r traffic.pcapng --node-state worker-1/ --save before.json
  ${name} bench -r traffic.pcapng --node-state worker-1/ --compare before.json`,
    )
    .action(async (options: BenchOptions) => {
      const { bench } = await import("./bench.ts");
      finish(await bench(options));
    });
}

function addVerify(program: Command, name: string, finish: (exitCode: number) => void): void {
  const command = program
    .command("verify")
    .description("compare every verdict with this machine's own kernel");
  addClusterOptions(addNodeOptions(addAnswersOption(addCaptureOptions(command))))
    .addOption(outputOption(["text", "json"], "text (default) or json"))
    .addOption(new Option("-c <n>", "stop after n packets").argParser(positive))
    .addHelpText(
      "after",
      `
Loads the tables into the kernel in network namespaces of their own, sends the capture through, each packet
by the interface it arrived by, and reports every packet that fares otherwise there. Nothing is left behind.
Needs Linux, python3, iptables, ipset and iproute2, and root or user namespaces. Exit code 1 on a difference.

The capture's pauses are left out: packets are sent one after another and judged by the times they were sent.

Examples:
  ${name} verify -r traffic.pcapng --node-state worker-1/
  ${name} verify -r traffic.pcapng -f policies/ -f cluster.yaml --node worker-1`,
    )
    .action(async (options: VerifyOptions) => {
      const { verify } = await import("./verify.ts");
      finish(await verify(options));
    });
}

/** Collects words of a repeatable option that has few: `choices` of commander's takes one word only. */
function oneOf(words: readonly string[]): (value: string, before: readonly string[]) => string[] {
  return (value, before) => {
    if (words.includes(value)) return [...before, value];
    throw new InvalidArgumentError(`Allowed choices are ${words.join(", ")}.`);
  };
}

/** commander writes `error: ...`, and its suggestion on a line of its own. */
function printUsageError(text: string): void {
  const joined = text.replace(/\n\((Did you mean .*\?)\)/, (_, hint: string) => ` (${hint})`);
  const sentence = joined.split("\n").map(escapeControls).join("\n");
  process.stderr.write(sentence.startsWith("error:") ? `netverdict: ${sentence}` : sentence);
}

function failureCode(error: unknown): number {
  if (error instanceof CommanderError) {
    // Help and version end with 0; every usage error with 1, which means a finding here.
    return error.exitCode === 0 ? EXIT_DONE : EXIT_USAGE;
  }
  if (error instanceof Failure) {
    if (error.message !== "") {
      const lines = error.message.split("\n").map(escapeControls).join("\n");
      process.stderr.write(`netverdict: error: ${lines}\n`);
    }
    return error.exitCode;
  }
  if (error instanceof InputError) {
    for (const diagnostic of error.diagnostics) {
      process.stderr.write(`${formatDiagnostic(diagnostic)}\n`);
    }
    return EXIT_USAGE;
  }
  const what = error instanceof Error ? error.message : String(error);
  const sentence = escapeControls(what.replace(/^bug: /, ""));
  process.stderr.write(
    `netverdict: bug: ${sentence}; please report it with the command and its input\n`,
  );
  if (process.env["NETVERDICT_TRACE"] !== undefined && error instanceof Error) {
    process.stderr.write(`${error.stack ?? ""}\n`);
  }
  return EXIT_BUG;
}
