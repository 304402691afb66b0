/** Named ports: whoever is meant must have a port of the name, and of the protocol. */
import { suggestionFor } from "../cluster/fields.ts";
import type { Endpoint, NamedPort, PortProtocol } from "../cluster/snapshot.ts";
import { protocolName } from "../net/protocol.ts";
import type { Place } from "../errors.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { Direction, Policy, PolicyRule } from "../policy/model.ts";
import { DIRECTIONS } from "./context.ts";
import type { LintContext } from "./context.ts";
import type { Finding } from "./finding.ts";

/** Finds NAMED_PORT_UNKNOWN, NAMED_PORT_PARTIAL and NAMED_PORT_PROTOCOL. */
export function* lintNamedPorts(context: LintContext): Generator<Finding> {
  for (const policy of context.policies) {
    for (const direction of DIRECTIONS) {
      for (const rule of policy[direction] ?? []) {
        for (const port of namedPortsOf(rule)) {
          const holders = holdersOf(policy, direction, rule, context);
          // Whoever is meant is not there: another lint says so.
          if (holders.endpoints.length === 0) continue;
          const where = `${formatPolicyRef(policy.ref)} ${direction}[${rule.index}]`;
          const found = portFinding(where, port, holders);
          if (found !== undefined) yield found;
        }
      }
    }
  }
}

interface WrittenPort {
  readonly name: string;
  /** Undefined: of whatever protocol. */
  readonly protocol: PortProtocol | undefined;
  readonly place: Place;
}

function namedPortsOf(rule: PolicyRule): WrittenPort[] {
  if (rule.kind === "peers") return (rule.ports ?? []).filter((port) => port.kind === "named");
  const protocol = PROTOCOLS.find(
    (each) => rule.protocol !== undefined && protocolName(rule.protocol) === each.toLowerCase(),
  );
  return rule.destination.ports
    .filter((port) => port.kind === "named")
    .map((port) => ({ ...port, protocol }));
}

const PROTOCOLS: readonly PortProtocol[] = ["TCP", "UDP", "SCTP"];

interface Holders {
  readonly endpoints: readonly Endpoint[];
  /** In words. */
  readonly who: string;
  /** They were selected one by one: all of them should have the port. */
  readonly chosen: boolean;
}

/** > ingress: the port of the selected pod; egress: the port of the peer. */
function holdersOf(
  { subject }: Policy,
  direction: Direction,
  rule: PolicyRule,
  { index, snapshot }: LintContext,
): Holders {
  if (direction === "ingress") {
    const asked =
      subject.kind === "expression" || (subject.podSelector?.requirements ?? []).length > 0;
    return { endpoints: index.chosenBy(subject), who: "pod that it selects", chosen: asked };
  }
  if (rule.kind === "match") {
    const { selector } = rule.destination;
    return {
      endpoints: selector === undefined ? snapshot.endpoints : index.chosenBy(selector),
      who: selector === undefined ? "pod" : "pod that it means",
      chosen: false,
    };
  }
  const selectors = rule.peers?.flatMap((peer) => (peer.kind === "pods" ? [peer.selector] : []));
  const everybody = selectors === undefined || rule.peers?.some(({ kind }) => kind === "block");
  return {
    endpoints:
      everybody === true
        ? snapshot.endpoints
        : [...new Set((selectors ?? []).flatMap((selector) => index.chosenBy(selector)))],
    who: everybody === true ? "pod" : "pod that it means",
    chosen: false,
  };
}

function portFinding(
  where: string,
  { name, protocol, place }: WrittenPort,
  { endpoints, who, chosen }: Holders,
): Finding | undefined {
  const isMeant = (port: NamedPort): boolean =>
    port.name === name && (protocol === undefined || port.protocol === protocol);
  const having = endpoints.filter(({ ports }) => ports.some(isMeant));
  if (having.length === endpoints.length) return undefined;
  if (having.length > 0) {
    if (!chosen) return undefined;
    const without = endpoints.find((endpoint) => !having.includes(endpoint));
    const example = without === undefined ? "" : `: ${without.namespace}/${without.name} does not`;
    const message = `${where}: ${having.length} of ${endpoints.length} pods that it selects have a port named "${name}"${example}`;
    return { code: "NAMED_PORT_PARTIAL", severity: "note", message, place };
  }
  const ports = endpoints.flatMap((endpoint) => endpoint.ports);
  const other = ports.find((port) => port.name === name);
  if (other !== undefined) {
    const message = `${where}: port "${name}" is ${other.protocol}, and the rule asks for ${protocol ?? "another"}: it matches nothing`;
    const suggestion = `write protocol: ${other.protocol}`;
    return { code: "NAMED_PORT_PROTOCOL", severity: "warning", message, place, suggestion };
  }
  return {
    code: "NAMED_PORT_UNKNOWN",
    severity: "warning",
    message: `${where}: no ${who} has a port named "${name}": it matches nothing`,
    place,
    suggestion: suggestionFor(name, [...new Set(ports.map((port) => port.name))].sort()),
  };
}
