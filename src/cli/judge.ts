/**
 * What a command judges packets by: a node's dumps, or the tables that manifests become. Beside dumps,
 * manifests only give names.
 */
import { join } from "node:path";
import { endpointName } from "../cluster/snapshot.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import { parseNode } from "../dump/node.ts";
import { parseSysctls } from "../dump/sysctl.ts";
import type { Program } from "../engine/program.ts";
import { formatAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import type { Dialect } from "../policy/dialect.ts";
import { DEFAULT_DIALECT, DIALECTS } from "../policy/dialects.ts";
import type { Policy } from "../policy/model.ts";
import type { ConnectionSwitches } from "../tables/switches.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { Failure } from "./failure.ts";
import { loadCluster, loadManifests, stopOnErrors } from "./manifests.ts";
import type { Cluster, GiveAddresses, WrittenCluster } from "./manifests.ts";
import { isSwitch, NODE_FILES, readNodeFiles, readSysctls } from "./node-files.ts";
import type { CaptureOptions, ClusterOptions, NodeOptions } from "./options.ts";

/** Everything that verdicts and reports need. */
export interface Judge {
  /** Empty without manifests. */
  readonly snapshot: Snapshot;
  readonly policies: readonly Policy[];
  /** Who enforces them. */
  readonly dialect: Dialect;
  readonly program: Program;
  readonly midstream: "cold" | "assume-established";
  /** A real node's dumps are judged by, not manifests. */
  readonly realNode: boolean;
  /** Undefined: no manifests are judged by. */
  readonly written?: WrittenCluster;
  /** The same, with what DNS answers tell, too. Undefined: no manifests are judged by. */
  readonly withAnswers?: (answers: Snapshot["answersByDomain"]) => Judge;
  /** The same, with other Services. Undefined: no manifests are judged by. */
  readonly withServices?: (services: Snapshot["services"]) => Judge;
}

/** Options that name what packets are judged by, and what is judged. */
export type JudgeOptions = ClusterOptions & NodeOptions & CaptureOptions;

/** Loads what the options name; ends the command when any of it is wrong. */
export function loadJudge(options: JudgeOptions, log: DiagnosticLog, give?: GiveAddresses): Judge {
  if (inputFiles(options).filter((file) => file === "-").length > 1) {
    throw new Failure("- stands for several inputs: standard input can be read once only");
  }
  if (namesNode(options)) {
    reportVain(vainByDumps(options), "a node's dumps are judged by, and it is about policies", log);
    return judgeByNode(options, log, give);
  }
  if (options.filename.length === 0) {
    throw new Failure(
      "nothing to judge by: name policies and pods with -f PATH, or a node's dumps with --iptables FILE or --node-state FOLDER",
    );
  }
  const vain = options.backend === undefined ? [] : ["--backend"];
  reportVain(vain, "it is about a node's dumps, and none are named", log);
  return judgeByManifests(options, log, give);
}

/** The tables that manifests become; of switches that are told those count by which nodes follow connections. */
export function judgeByManifests(
  options: ClusterOptions & CaptureOptions & Pick<NodeOptions, "sysctl">,
  log: DiagnosticLog,
  give?: GiveAddresses,
): Judge {
  const dialect = DIALECTS[options.dialect];
  const midstream = options.midstream ?? "assume-established";
  const told = readConnectionSwitches(options, log);
  const judgeBy = ({ compiled, withAnswers, withServices, ...cluster }: Cluster): Judge => {
    const timeouts = new Map([...compiled.connectionSwitches.timeouts, ...told.timeouts]);
    const program = { ...compiled, connectionSwitches: { ...told, timeouts } };
    return {
      ...cluster,
      ...{ dialect, program, midstream, realNode: false },
      withAnswers: (answers) => judgeBy(withAnswers(answers)),
      withServices: (services) => judgeBy(withServices(services)),
    };
  };
  return judgeBy(loadCluster(options, log, give));
}

/** Reads what is told of how every node follows connections. */
export function readConnectionSwitches(
  { sysctl }: Pick<NodeOptions, "sysctl">,
  log: DiagnosticLog,
): ConnectionSwitches {
  const told = parseSysctls(readSysctls(sysctl, log), log.report);
  const others = sysctl.filter((word) => isSwitch(word) && !/^[^=]*nf_conntrack_/.test(word));
  const options = others.map((word) => `--sysctl ${word}`);
  reportVain(options, "it is about a node's dumps, and none are named", log);
  return told;
}

/** A node's dumps; manifests beside them give names. */
export function judgeByNode(
  options: JudgeOptions,
  log: DiagnosticLog,
  give?: GiveAddresses,
): Judge {
  const dialect = DIALECTS[options.dialect];
  const { snapshot, policies } = loadManifests(options, log, give);
  const state = parseNode(readNodeFiles(options, log), log.report);
  refuseTooMany(state.connections.length, options.conntrackMax, log);
  stopOnErrors(log);
  const program = { ...state, owners: ownersOf(snapshot) };
  const midstream = options.midstream ?? "cold";
  return { snapshot, policies, dialect, program, midstream, realNode: true };
}

/** Options that say how policies are judged. */
function vainByDumps(options: ClusterOptions): string[] {
  const { node, dns, clusterCidr, staged, calicoVersion, dialect } = options;
  const given: readonly (readonly [string, boolean])[] = [
    ["--node", node !== undefined],
    ["--cluster-cidr", clusterCidr.length > 0],
    ["--dns", dns !== undefined],
    ["--staged", staged !== "ignore"],
    ["--calico-version", calicoVersion !== undefined],
    ["--dialect", dialect !== DEFAULT_DIALECT.name],
  ];
  return given.flatMap(([name, isGiven]) => (isGiven ? [name] : []));
}

function reportVain(options: readonly string[], why: string, log: DiagnosticLog): void {
  for (const option of options) {
    const message = `${option} changes nothing: ${why}`;
    log.report({ severity: "warning", code: "VAIN_OPTION", message });
  }
}

function refuseTooMany(connections: number, most: number, log: DiagnosticLog): void {
  if (connections <= most) return;
  const message = `the node follows ${connections} connections, and there is room for ${most}`;
  const suggestion = `give --conntrack-max ${connections * 2} or more`;
  log.report({ severity: "error", code: "LIMIT_EXCEEDED", message, suggestion });
}

/** The files that the options name; none of them is overwritten. */
export function inputFiles(options: JudgeOptions): string[] {
  const {
    read,
    filename,
    iptables,
    ip6tables,
    ipset,
    addresses,
    routes,
    conntrack,
    sysctl,
    nodeState,
    hosts,
    dns,
  } = options;
  const state = nodeState === undefined ? [] : NODE_FILES.map(({ name }) => join(nodeState, name));
  const switchFiles = sysctl.filter((word) => !isSwitch(word));
  return [
    read,
    filename,
    iptables,
    ip6tables,
    ipset,
    addresses,
    routes,
    conntrack,
    switchFiles,
    state,
    hosts ?? [],
    dns ?? [],
  ].flat();
}

/** Whether a node's dumps are named. Its switches alone are those of every node, where there are manifests. */
export function namesNode(options: NodeOptions & Pick<ClusterOptions, "filename">): boolean {
  const { iptables, ip6tables, ipset, addresses, routes, conntrack, sysctl, nodeState } = options;
  const files = [iptables, ip6tables, ipset, addresses, routes, conntrack].flat();
  const only = options.filename.length === 0 && sysctl.length > 0;
  return nodeState !== undefined || files.length > 0 || only;
}

/** Names by address; of several objects with one address the pod counts. */
function ownersOf({ endpoints, nodeByName, services }: Snapshot): Map<string, string> {
  const owners = new Map<string, string>();
  const add = (addresses: readonly Address[], owner: string): void => {
    for (const address of addresses) {
      const text = formatAddress(address);
      if (!owners.has(text)) owners.set(text, owner);
    }
  };
  for (const endpoint of endpoints) add(endpoint.addresses, endpointName(endpoint));
  for (const { name, addresses } of nodeByName.values()) add(addresses, `node ${name}`);
  for (const service of services) {
    add(service.clusterAddresses, `service ${endpointName(service)}`);
  }
  return owners;
}
