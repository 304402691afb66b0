/**
 * The port and protocol that `explain` asks about: what `--port` says, else the only one there can be,
 * else a refusal that names what depends on it.
 */
import { formatPlace } from "../errors.ts";
import type { Endpoint } from "../cluster/snapshot.ts";
import type { Address, Family } from "../net/address.ts";
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  protocolName,
  protocolNumber,
} from "../net/protocol.ts";
import { formatPolicyName } from "../policy/model.ts";
import type { Direction, Policy, PolicyRule } from "../policy/model.ts";
import { policySelects } from "../policy/selects.ts";
import { pairEnds, type NamedEnd } from "./explain-ends.ts";
import { Failure } from "./failure.ts";
import type { Manifests } from "./manifests.ts";
import { portsToAsk } from "./port-probe.ts";
import type { AskedPort, PortAnswer, PortProbe } from "./port-probe.ts";

/** Taken when no policy and no Service asks for a port. */
const ANY_PORT: AskedPort = { protocol: PROTOCOL_TCP, port: 80 };

/** Reads the port that is asked at an end; throws a Failure where nothing tells whose it is. */
export function portAt(text: string, { family }: Address, end: NamedEnd): AskedPort {
  const asked = parsePort(text, family);
  const { endpoint, namesake } = end;
  const own = namesake?.ports.find(
    ({ protocol, port }) => port === asked.port && protocolNumber(protocol) === asked.protocol,
  );
  if (endpoint === undefined || own === undefined) return asked;
  const targets = [...new Set(own.backends.map(({ port }) => port))];
  if (targets.length === 1 && targets[0] === own.port) return asked;
  const { kind } = endpoint.workload;
  const lead = targets.length === 0 ? "" : `, which leads to ${targets.join(" or ")}`;
  throw new Failure(
    `${end.text}: a ${kind} and a Service have this name, and ${text} is the Service's port${lead}: say service/${end.text}, or ${kind.toLowerCase()}/${end.text} for its pods`,
  );
}

/** Reads `8443/tcp`, `53/udp` or `icmp`; a port alone is one of TCP. */
export function parsePort(text: string, family: Family): AskedPort {
  const match = /^(?:(\d{1,5})(?:\/([a-z]\w*))?|(icmp6?))$/i.exec(text);
  const name = (match?.[2] ?? match?.[3] ?? "tcp").toLowerCase();
  if (match?.[3] !== undefined) {
    return { protocol: family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6, port: undefined };
  }
  const port = Number(match?.[1]);
  const protocol = protocolNumber(name);
  if (!["tcp", "udp", "sctp"].includes(name) || protocol === undefined || !isPort(port)) {
    throw new Failure(
      `--port ${text}: expected PORT/PROTOCOL with tcp, udp or sctp (8443/tcp, 53/udp), or icmp`,
    );
  }
  return { protocol, port };
}

/**
 * Chooses a port where none is given and it does not matter, or can only be one. Where rules name ports, all
 * that may make a difference are asked for.
 */
export function defaultPort(
  from: NamedEnd,
  to: NamedEnd,
  { manifests, probe }: { readonly manifests: Manifests; readonly probe: PortProbe },
): AskedPort {
  if (to.service !== undefined) {
    const [only, ...others] = to.service.ports;
    if (only !== undefined && others.length === 0) {
      return { protocol: protocolNumber(only.protocol) ?? PROTOCOL_TCP, port: only.port };
    }
    const ports = to.service.ports.map(({ port, protocol }) => `${port}/${protocol.toLowerCase()}`);
    throw new Failure(
      `--port is missing: Service ${to.text} has ${ports.length === 0 ? "no port" : ports.join(", ")}`,
    );
  }
  const asking = [
    ...rulesNamingPorts(manifests, "egress", from.endpoint),
    ...rulesNamingPorts(manifests, "ingress", to.endpoint),
  ];
  const [first] = asking;
  if (first === undefined) return ANY_PORT;
  const ends = pairEnds(from, to);
  const other = ends.source.family === 4 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;
  const ports = portsToAsk(
    asking.map(({ rule }) => rule),
    to.endpoint,
  ).filter(({ protocol }) => protocol !== other);
  const answers = probe(ends, ports);
  const [one, ...others] = answers;
  const different = others.find(({ verdict }) => verdict !== one?.verdict);
  if (one === undefined || different === undefined) return ANY_PORT;
  const { policy, direction, rule } = first;
  const { file, line } = rule.place;
  const place = formatPlace(line === undefined ? { file } : { file, line });
  throw new Failure(
    `--port is missing: ${answerText(one)}, ${answerText(different)} (${formatPolicyName(policy.ref)} ${direction}[${rule.index}] at ${place} names ports)`,
  );
}

function answerText({ asked: { protocol, port }, verdict }: PortAnswer): string {
  const name = protocolName(protocol).replace("ipv6-icmp", "icmp");
  return `${port === undefined ? "" : `${port}/`}${name} is ${VERDICT_WORDS[verdict]}`;
}

const VERDICT_WORDS: Readonly<Record<PortAnswer["verdict"], string>> = {
  allow: "allowed",
  drop: "dropped",
  unknown: "unknown",
  unfiltered: "unfiltered",
};

interface AskingRule {
  readonly policy: Policy;
  readonly direction: Direction;
  readonly rule: PolicyRule;
}

function rulesNamingPorts(
  { policies, snapshot }: Manifests,
  direction: Direction,
  endpoint: Endpoint | undefined,
): AskingRule[] {
  if (endpoint === undefined) return [];
  return policies
    .filter((policy) => policySelects(policy, endpoint, snapshot))
    .flatMap((policy) =>
      // No ports: any port. Only rules that name some make the answer depend on one.
      (policy[direction] ?? []).filter(asksForPort).map((rule) => ({ policy, direction, rule })),
    );
}

function asksForPort(rule: PolicyRule): boolean {
  if (rule.kind === "peers") return rule.ports !== undefined;
  const protocols = [rule.protocol, rule.notProtocol];
  return (
    protocols.some((protocol) => protocol !== undefined) ||
    [rule.source, rule.destination].some(
      ({ ports, notPorts, service }) =>
        ports.length > 0 || notPorts.length > 0 || service !== undefined,
    )
  );
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65535;
}
