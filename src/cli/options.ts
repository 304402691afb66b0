/**
 * The options that commands share, and how each one's value is read. A wrong value ends the command with
 * the option's name and what was expected.
 */
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import type { ManifestObject } from "../cluster/manifest-object.ts";
import type { Backend } from "../match/extension.ts";
import { parseAddress, parsePrefix } from "../net/address.ts";
import type { Address, Prefix } from "../net/address.ts";
import { DIALECT_NAMES } from "../policy/dialect.ts";
import type { DialectName } from "../policy/dialect.ts";
import { DEFAULT_DIALECT } from "../policy/dialects.ts";
import type { CalicoVersion } from "../policy/model.ts";
import type { Output } from "./output.ts";

/** Options of every command that reads manifests. */
export interface ClusterOptions {
  readonly filename: readonly string[];
  /** Manifests whose objects take the place of those in `filename`. */
  readonly overlay?: readonly string[];
  /** Those of `filename` that as an overlay could have objects that others have. */
  readonly overlayable?: readonly string[];
  /** What the cluster had before: pods become what workloads that changed make of them. */
  readonly rolledOutFrom?: readonly ManifestObject[];
  readonly node?: string;
  readonly clusterCidr: readonly Prefix[];
  readonly staged: "enforce" | "ignore";
  readonly dialect: DialectName;
  /** Undefined: the newest. */
  readonly calicoVersion?: CalicoVersion;
  readonly endpoint: readonly GivenAddress[];
  readonly dns?: string;
  readonly color?: boolean;
}

/** Options of every command that reads a node's dumps. */
export interface NodeOptions {
  readonly iptables: readonly string[];
  readonly ip6tables: readonly string[];
  readonly ipset: readonly string[];
  readonly addresses: readonly string[];
  readonly routes: readonly string[];
  readonly conntrack: readonly string[];
  /** Files, and single switches as KEY=VALUE. */
  readonly sysctl: readonly string[];
  readonly nodeState?: string;
  readonly backend?: Backend;
}

/** One `--endpoint ADDRESS=NAMESPACE/NAME`. */
export interface GivenAddress {
  readonly address: Address;
  readonly name: string;
}

/** Options of every command that reads captures. */
export interface CaptureOptions {
  readonly read: readonly string[];
  readonly inInterface?: string;
  readonly hosts?: string;
  /** False: what the capture's DNS answers tell of domain names does not count. */
  readonly dnsAnswers?: boolean;
  /** Undefined: `cold` by a node's dumps, `assume-established` by manifests. */
  readonly midstream?: "cold" | "assume-established";
  readonly conntrackMax: number;
}

const CONNTRACK_MAX = 262_144;

/** Adds the options of a command that reads manifests. */
export function addClusterOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "-f, --filename <path>",
        "manifests: a file, a folder (recursive) or - for standard input; repeatable",
      )
        .argParser(collect)
        .default([], "none"),
    )
    .option("--node <name>", "judge from this node's point of view (default: all nodes as one)")
    .addOption(
      new Option(
        "--cluster-cidr <cidr>",
        "range of the cluster: its addresses that no object has are unknown, not outside; repeatable",
      )
        .argParser(collectPrefix)
        .default([], "the nodes' pod CIDRs"),
    )
    .addOption(
      new Option(
        "--endpoint <address=namespace/name>",
        "address of a pod or workload whose manifest has none; repeatable",
      )
        .argParser(collectEndpoint)
        .default([], "none"),
    )
    .option("--dns <file>", 'addresses of domain names in policies: lines "ADDRESS NAME..."')
    .addOption(
      new Option(
        "--staged <mode>",
        "Calico's staged policies: as if they were enforced, or not at all",
      )
        .choices(["enforce", "ignore"])
        .default("ignore"),
    )
    .addOption(
      new Option(
        "--calico-version <release>",
        "whose tables: names, mark bits and denials differ (default: the newest)",
      ).argParser(parseCalicoVersion),
    )
    .addOption(
      new Option("--dialect <name>", "who enforces the policies: what the API leaves open differs")
        .choices(DIALECT_NAMES)
        .default(DEFAULT_DIALECT.name),
    )
    .option("--color", "colours, whatever standard output is")
    .option("--no-color", "no colours (NO_COLOR and FORCE_COLOR are heeded too)");
}

function parseCalicoVersion(text: string): CalicoVersion {
  const minor = /^v?3\.(\d{1,3})(?:\.\d+)?$/.exec(text)?.[1];
  if (minor === undefined)
    throw new InvalidArgumentError("Expected a release such as 3.28 or v3.30.1");
  return { minor: Number(minor) };
}

/** Adds the options of a command that reads a node's dumps. */
export function addNodeOptions(command: Command): Command {
  const files = (flag: string, what: string): Option =>
    new Option(`${flag} <file>`, `${what}; repeatable`).argParser(collect).default([], "none");
  return command
    .addOption(files("--iptables", "a node's rules: output of iptables-save"))
    .addOption(files("--ip6tables", "output of ip6tables-save"))
    .addOption(files("--ipset", "output of ipset save"))
    .addOption(files("--addresses", "output of ip -d -j addr"))
    .addOption(files("--routes", "output of ip -j route show table all, IPv4 and IPv6"))
    .addOption(
      files("--conntrack", "connections that are there: /proc/net/nf_conntrack or conntrack -L"),
    )
    .addOption(sysctlOption())
    .option("--node-state <folder>", "all of these under the names that netverdict collect gives")
    .addOption(
      new Option(
        "--backend <name>",
        "which tables the dumps are of (default: as they say)",
      ).choices(["legacy", "nft"]),
    );
}

/** The option for a node's switches; by manifests, for those by which every node follows connections. */
export function sysctlOption(): Option {
  return new Option(
    "--sysctl <file or key=value>",
    "the kernel's switches: output of sysctl -a, or one of them; repeatable; beside -f alone, how every node follows connections",
  )
    .argParser(collect)
    .default([], "none");
}

/** Adds the options of a command that reads captures. */
export function addCaptureOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "-r, --read <file>",
        "capture: pcap, pcapng or tcpdump's text, also compressed; - for standard input; repeatable: merged by time",
      )
        .argParser(collect)
        .default([], "none"),
    )
    .option(
      "--in-interface <name>",
      "interface of a capture that names none: packets arrive by it, unless they leave by it",
    )
    .option("--hosts <file>", 'addresses of host names in text captures: lines "ADDRESS NAME..."')
    .addOption(
      new Option(
        "--midstream <mode>",
        "flows that were under way when the capture began (default: cold by a node's dumps, assume-established by manifests)",
      ).choices(["cold", "assume-established"]),
    )
    .addOption(
      new Option(
        "--conntrack-max <n>",
        "most flows that are followed at a time; once there are more, what may be one of them is unknown",
      )
        .argParser(flowCount)
        .default(CONNTRACK_MAX),
    );
}

/** Adds the switch of a command that takes addresses of domain names from captures. */
export function addAnswersOption(command: Command): Command {
  return command.option(
    "--no-dns-answers",
    "take no addresses of domain names in policies from the capture's DNS answers",
  );
}

/** Makes the `-o` option of a command from the formats it has; the first is the default. */
export function outputOption<F extends string>(formats: readonly F[], help: string): Option {
  const parse = (text: string, before: readonly Output<F>[] | undefined): Output<F>[] => {
    const split = text.indexOf("=");
    const name = split < 0 ? text : text.slice(0, split);
    const format = formats.find((each) => each === name);
    if (format === undefined) {
      throw new InvalidArgumentError(`Allowed formats are ${formats.join(", ")}.`);
    }
    const file = split < 0 ? undefined : text.slice(split + 1);
    if (file === "") throw new InvalidArgumentError("The file's name is missing behind =.");
    const outputs = [...(before ?? []), { format, file }];
    if (outputs.filter((output) => output.file === undefined).length > 1) {
      throw new InvalidArgumentError("Only one output can go to standard output: use FORMAT=FILE.");
    }
    return outputs;
  };
  return new Option("-o, --output <format[=file]>", `${help}; repeatable`).argParser(parse);
}

/** Appends one value of a repeatable option. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** Reads a whole number above zero that has 31 bits. */
export function positive(text: string): number {
  const value = Number(text);
  if (!/^\d{1,10}$/.test(text) || value < 1 || value > 0x7fffffff) {
    throw new InvalidArgumentError("Expected a whole number from 1 to 2147483647.");
  }
  return value;
}

/** More flows than this do not fit into the matcher's memory. */
export const CONNTRACK_LIMIT = 4_194_304;

function flowCount(text: string): number {
  const value = positive(text);
  if (value > CONNTRACK_LIMIT) {
    throw new InvalidArgumentError(`Expected at most ${CONNTRACK_LIMIT}.`);
  }
  return value;
}

function collectPrefix(text: string, before: readonly Prefix[]): Prefix[] {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new InvalidArgumentError("Expected ADDRESS/BITS.");
  return [...before, parsed.prefix];
}

function collectEndpoint(text: string, before: readonly GivenAddress[]): GivenAddress[] {
  const [addressText = "", name = "", ...rest] = text.split("=");
  const address = parseAddress(addressText);
  if (address === undefined || rest.length > 0 || !/^[^/]+\/[^/]+$/.test(name)) {
    throw new InvalidArgumentError("Expected ADDRESS=NAMESPACE/NAME.");
  }
  return [...before, { address, name }];
}
