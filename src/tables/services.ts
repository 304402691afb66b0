/**
 * ClusterIP Services as kube-proxy in iptables mode programs them: the nat table, and in filter the
 * refusal of Services without backends. Policies never see a ClusterIP: it is translated before.
 * Source: kube-proxy pkg/proxy/iptables/proxier.go.
 *
 * Left out until they are asked for: node ports, load balancer and external addresses, session affinity
 * (the first packet's backend is as open as without), and the masquerading of what comes from outside
 * the pods' ranges (no local detection is configured; it follows all filtering anyway).
 */
import type { Backend, Service, ServicePort, Snapshot } from "../cluster/snapshot.ts";
import type { Match } from "../match/index.ts";
import { hostPrefix } from "../net/address.ts";
import type { Address, Family } from "../net/address.ts";
import type { PortMatch } from "../match/port.ts";
import { NAT_NOTHING, natTo } from "../target/nat-range.ts";
import type { Chain, Rule, RuleOrigin, Table } from "./model.ts";
import {
  backendChainName,
  CHAIN_KUBE_FORWARD,
  CHAIN_KUBE_MARK_MASQ,
  CHAIN_KUBE_POSTROUTING,
  CHAIN_KUBE_SERVICES,
  formatSocket,
  serviceChainName,
  servicePortName,
} from "./names.ts";
import {
  ACCEPT,
  bitsSet,
  DROP,
  jump,
  makeRule,
  MARK_MASQUERADE,
  protocolIs,
  RETURN,
  setBits,
  stateIs,
} from "./rule.ts";
import { portProtocolNumber } from "./sets.ts";

/** kube-proxy's part of one family's tables. */
export interface ServiceTables {
  readonly nat: Table;
  /** User chains of the filter table. */
  readonly filterChains: readonly Chain[];
}

/** Compiles every Service's cluster addresses of one family. */
export function compileServices(snapshot: Snapshot, family: Family): ServiceTables {
  const ports = snapshot.services.flatMap((service) => servicePorts(service, family));
  ports.sort(comparePorts);
  const served = ports.filter((port) => port.backends.length > 0);
  const chains = [
    userChain(CHAIN_KUBE_SERVICES, served.flatMap(toService)),
    ...served.map(serviceChain),
    ...served.flatMap((port) => port.backends.map((backend) => backendChain(port, backend))),
    userChain(CHAIN_KUBE_MARK_MASQ, [makeRule({ target: setBits(MARK_MASQUERADE) })]),
    userChain(CHAIN_KUBE_POSTROUTING, postroutingRules()),
  ];
  return {
    nat: {
      name: "nat",
      chains: [
        builtinChain("PREROUTING", [toServices("kubernetes service portals")]),
        builtinChain("INPUT", []),
        builtinChain("OUTPUT", [toServices("kubernetes service portals")]),
        builtinChain("POSTROUTING", [
          makeRule({
            comment: "kubernetes postrouting rules",
            target: jump(CHAIN_KUBE_POSTROUTING),
          }),
        ]),
        ...uniqueChains(chains),
      ],
    },
    filterChains: [
      userChain(
        CHAIN_KUBE_SERVICES,
        ports.filter((port) => port.backends.length === 0).flatMap(refuse),
      ),
      userChain(CHAIN_KUBE_FORWARD, forwardRules()),
    ],
  };
}

/** The jumps to kube-proxy's filter chains, which stand behind Calico's. */
export function compileServiceJumps(hook: "FORWARD" | "OUTPUT"): Rule[] {
  const portals = toServices("kubernetes service portals", [stateIs("NEW")]);
  if (hook === "OUTPUT") return [portals];
  return [
    makeRule({ comment: "kubernetes forwarding rules", target: jump(CHAIN_KUBE_FORWARD) }),
    portals,
  ];
}

/** One port of a Service in one family. */
interface FamilyServicePort {
  readonly service: Service;
  readonly port: ServicePort;
  readonly portName: string;
  readonly addresses: readonly Address[];
  /** None: connections are refused. */
  readonly backends: readonly Backend[];
}

function servicePorts(service: Service, family: Family): FamilyServicePort[] {
  const addresses = service.clusterAddresses.filter((address) => address.family === family);
  // Headless and ExternalName: nothing to translate.
  if (addresses.length === 0) return [];
  // Backends that nobody knows make the address `untranslated` (topology.ts), not refused.
  const known = service.ports.filter((port) => port.missing === undefined);
  return known.map((port) => ({
    service,
    port,
    portName: servicePortName({ ...service, port: port.name }),
    addresses,
    backends: port.backends.filter((backend) => backend.address.family === family),
  }));
}

function toServices(comment: string, matches: readonly Match[] = []): Rule {
  return makeRule({ comment, matches, target: jump(CHAIN_KUBE_SERVICES) });
}

function toService(given: FamilyServicePort): Rule[] {
  return given.addresses.map((address) =>
    makeRule({
      comment: `${given.portName} cluster IP`,
      matches: serviceMatches(given, address),
      target: jump(serviceChainName(given.portName, given.port.protocol)),
    }),
  );
}

/** Any of the backends, each as likely: 1/n of all, then 1/(n-1) of the rest, the last what remains. */
function serviceChain(given: FamilyServicePort): Chain {
  const { portName, port, backends } = given;
  const rules = backends.map((backend, index) => {
    const rest = backends.length - index;
    // kube-proxy writes ten digits, which decides the last bit of what the kernel keeps.
    const probability = Number((1 / rest).toFixed(10));
    return makeRule({
      comment: `${portName} -> ${formatSocket(backend)}`,
      matches: rest === 1 ? [] : [{ kind: "random", probability, invert: false }],
      target: jump(backendChainName(portName, port.protocol, backend)),
    });
  });
  return userChain(serviceChainName(portName, port.protocol), rules);
}

function backendChain(given: FamilyServicePort, backend: Backend): Chain {
  const { portName, port } = given;
  return userChain(backendChainName(portName, port.protocol, backend), [
    // Hairpin: a pod that reaches itself through its Service must not see itself as the source.
    makeRule({
      comment: portName,
      matches: [
        { kind: "address", side: "src", prefix: hostPrefix(backend.address), invert: false },
      ],
      target: jump(CHAIN_KUBE_MARK_MASQ),
    }),
    makeRule({
      comment: portName,
      matches: [protocolIs(portProtocolNumber(port.protocol)), portIs(given, undefined)],
      target: { kind: "DNAT", range: natTo(backend.address, backend.port) },
      origin: { ...originOf(given), kind: "service" },
    }),
  ]);
}

function refuse(given: FamilyServicePort): Rule[] {
  return given.addresses.map((address) =>
    makeRule({
      comment: `${given.portName} has no endpoints`,
      matches: serviceMatches(given, address),
      target: {
        kind: "REJECT",
        with: address.family === 4 ? "icmp-port-unreachable" : "icmp6-port-unreachable",
      },
      origin: { ...originOf(given), kind: "service-refused" },
    }),
  );
}

function serviceMatches(given: FamilyServicePort, address: Address): Match[] {
  return [
    { kind: "address", side: "dst", prefix: hostPrefix(address), invert: false },
    protocolIs(portProtocolNumber(given.port.protocol)),
    portIs(given, given.port.port),
  ];
}

/** Undefined port: `-m tcp` without a port, which kube-proxy has in front of DNAT. */
function portIs({ port }: FamilyServicePort, dport: number | undefined): PortMatch {
  return {
    kind: "port",
    protocol: PORT_EXTENSION[port.protocol],
    sport: undefined,
    dport: dport === undefined ? undefined : { first: dport, last: dport, invert: false },
  };
}

const PORT_EXTENSION = { TCP: "tcp", UDP: "udp", SCTP: "sctp" } as const;

function originOf({
  service,
  port,
}: FamilyServicePort): Omit<Extract<RuleOrigin, { kind: "service" }>, "kind"> {
  return { service: `${service.namespace}/${service.name}:${port.port}`, place: service.place };
}

function forwardRules(): Rule[] {
  return [
    // A packet that conntrack cannot place would leave untranslated.
    makeRule({ matches: [stateIs("INVALID")], target: DROP }),
    makeRule({
      comment: "kubernetes forwarding rules",
      matches: [bitsSet(MARK_MASQUERADE)],
      target: ACCEPT,
    }),
    makeRule({
      comment: "kubernetes forwarding conntrack rule",
      matches: [stateIs("RELATED", "ESTABLISHED")],
      target: ACCEPT,
    }),
  ];
}

function postroutingRules(): Rule[] {
  return [
    makeRule({
      matches: [{ kind: "mark", value: MARK_MASQUERADE, mask: MARK_MASQUERADE, invert: true }],
      target: RETURN,
    }),
    // Exclusive or: the bit is set, and goes, so that a second passage does not see it.
    makeRule({ target: { kind: "MARK", value: MARK_MASQUERADE, mask: 0 } }),
    makeRule({
      comment: "kubernetes service traffic requiring SNAT",
      target: { kind: "MASQUERADE", range: { ...NAT_NOTHING, random: "fully" } },
    }),
  ];
}

/** kube-proxy goes through a map; by name, the text is the same every time. */
function comparePorts(one: FamilyServicePort, other: FamilyServicePort): number {
  if (one.portName !== other.portName) return one.portName < other.portName ? -1 : 1;
  if (one.port.port !== other.port.port) return one.port.port - other.port.port;
  return one.port.protocol < other.port.protocol ? -1 : 1;
}

/** A Service that lists a port twice would give the same chain twice: same name, same rules. */
function uniqueChains(chains: readonly Chain[]): Chain[] {
  const byName = new Map<string, Chain>();
  for (const chain of chains) if (!byName.has(chain.name)) byName.set(chain.name, chain);
  return [...byName.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

function builtinChain(name: string, rules: readonly Rule[]): Chain {
  return { name, policy: "ACCEPT", rules };
}

function userChain(name: string, rules: readonly Rule[]): Chain {
  return { name, policy: undefined, rules };
}
