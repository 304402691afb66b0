/**
 * The files that a node tells its state by, to what packets are judged by. What is not given is said,
 * with what becomes unknown by it; what follows from the rest is derived.
 */
import type { DiagnosticCode, OnDiagnostic } from "../errors.ts";
import type { Backend } from "../match/extension.ts";
import type { Family } from "../net/address.ts";
import { parsePrefix, sameAddress } from "../net/address.ts";
import type {
  Connection,
  IpSet,
  NodeInterface,
  Route,
  Ruleset,
  Topology,
} from "../tables/model.ts";
import type { NodeSwitches } from "../tables/switches.ts";
import { parseAddresses } from "./addresses.ts";
import { parseConnections } from "./conntrack.ts";
import { warnOfDataplanes } from "./dataplane.ts";
import { parseIpsets } from "./ipset-save.ts";
import { backendOf, parseIptablesSave } from "./iptables-save.ts";
import { refuseMistaken } from "./mistaken.ts";
import { parseSysctls } from "./sysctl.ts";
import type { NodeText, NodeTexts } from "./node-text.ts";
import { stackInterfaces } from "./stack.ts";
import { parseRoutes, routesOfAddresses } from "./routes.ts";

/** A node's rules, and where it sends packets. */
export interface NodeState {
  readonly rulesets: readonly Ruleset[];
  readonly topology: Topology;
  readonly connections: readonly Connection[];
  readonly switches: NodeSwitches | undefined;
}

/** Parses everything that a node told. */
export function parseNode(given: NodeTexts, onDiagnostic: OnDiagnostic): NodeState {
  const texts = refuseMistaken(given, onDiagnostic);
  const sets = parseSets(texts.ipset, onDiagnostic);
  const rulesets = [
    ...parseFamily(4, texts.iptables, { texts, sets }, onDiagnostic),
    ...parseFamily(6, texts.ip6tables, { texts, sets }, onDiagnostic),
  ];
  const warn = (message: string, code: DiagnosticCode = "INCOMPLETE_DUMP"): void => {
    onDiagnostic({ severity: "warning", code, message });
  };
  for (const [family, part, option] of FAMILIES) {
    if (given[part].length > 0) continue;
    warn(`no ${option}: every IPv${family} packet is unknown`);
  }
  const { sysctl = [] } = texts;
  const switches = sysctl.length === 0 ? undefined : parseSysctls(sysctl, onDiagnostic);
  const topology = buildTopology(texts, { rulesets, switches }, { onDiagnostic, warn });
  const interfaces = texts.addresses.length > 0 ? topology.interfaces : undefined;
  warnOfDataplanes({ rulesets, interfaces }, onDiagnostic);
  const connections = (texts.conntrack ?? []).flatMap(({ file, text }) =>
    parseConnections(text, file, onDiagnostic),
  );
  return { rulesets, topology, connections, switches };
}

const FAMILIES = [
  [4, "iptables", "--iptables"],
  [6, "ip6tables", "--ip6tables"],
] as const;

function parseSets(files: readonly NodeText[], onDiagnostic: OnDiagnostic): IpSet[] {
  const byName = new Map<string, IpSet>();
  for (const { file, text } of files) {
    const sets = parseIpsets(text, file, onDiagnostic);
    const timed = sets.filter(({ entries }) => entries.some((entry) => entry.timeoutSeconds));
    if (timed.length > 0) {
      const names = timed.map(({ name }) => name).join(", ");
      const message = `entries of ${names} time out: they are taken to have been listed when the first packet came`;
      onDiagnostic({ severity: "warning", code: "BAD_SET", message, place: { file } });
    }
    for (const set of sets) {
      if (byName.has(set.name)) {
        const message = `set ${set.name} is in two files`;
        onDiagnostic({ severity: "error", code: "BAD_SET", message, place: { file } });
      }
      byName.set(set.name, set);
    }
  }
  return [...byName.values()];
}

/** One ruleset for each backend; the tables of one backend may come in several files. */
function parseFamily(
  family: Family,
  files: readonly NodeText[],
  { texts, sets }: { readonly texts: NodeTexts; readonly sets: readonly IpSet[] },
  onDiagnostic: OnDiagnostic,
): Ruleset[] {
  const byBackend = new Map<Backend, Ruleset>();
  const dumps = files.map(({ file, text, backend }) => {
    return { file, text, family, backend: backend ?? texts.backend };
  });
  const besideLegacy = dumps.some(
    ({ text, backend }) => (backend ?? backendOf(text) ?? "legacy") === "legacy",
  );
  for (const each of dumps) {
    const dump = { ...each, besideLegacy };
    const { file } = each;
    const ruleset = parseIptablesSave(dump, sets, onDiagnostic);
    const before = byBackend.get(ruleset.backend)?.tables ?? [];
    for (const { name } of ruleset.tables) {
      if (!before.some((table) => table.name === name)) continue;
      const message = `table ${name} of the ${ruleset.backend} backend is in two files`;
      onDiagnostic({ severity: "error", code: "BAD_DUMP", message, place: { file } });
    }
    byBackend.set(ruleset.backend, { ...ruleset, tables: [...before, ...ruleset.tables] });
  }
  warnOfTwoBackends([...byBackend.values()], onDiagnostic);
  return [...byBackend.values()];
}

/** > At equal priority the order is that of registration, which no dump shows. */
function warnOfTwoBackends(rulesets: readonly Ruleset[], onDiagnostic: OnDiagnostic): void {
  const [one, other] = rulesets;
  if (one === undefined || other === undefined) return;
  const both = one.tables.flatMap(({ name, chains }) =>
    chains.some(({ rules }) => rules.length > 0) &&
    other.tables.some(
      (table) => table.name === name && table.chains.some(({ rules }) => rules.length > 0),
    )
      ? [name]
      : [],
  );
  if (both.length === 0) return;
  const message = `both backends have rules in IPv${one.family} table ${both.join(", ")}: which comes first is not in the dumps, so packets for which that matters are unknown`;
  onDiagnostic({ severity: "warning", code: "INCOMPLETE_DUMP", message });
}

interface Reporting {
  readonly onDiagnostic: OnDiagnostic;
  readonly warn: (message: string) => void;
}

function buildTopology(
  texts: NodeTexts,
  {
    rulesets,
    switches,
  }: { readonly rulesets: readonly Ruleset[]; readonly switches: NodeSwitches | undefined },
  { onDiagnostic, warn }: Reporting,
): Topology {
  const told = stackInterfaces(
    texts.addresses.flatMap(({ file, text }) => parseAddresses(text, file, onDiagnostic)),
    switches,
  ).map((each) => switched(each, switches));
  const files = texts.routes.map(({ file, text }) => parseRoutes(text, file, onDiagnostic));
  const given = files.flatMap(({ routes }) => routes);
  const hasAddresses = texts.addresses.length > 0;
  if (!hasAddresses) {
    warn(
      "no --addresses: MAC and interface addresses are not known, so packets that need them (MASQUERADE, REDIRECT, direction by MAC) are unknown",
    );
  }
  const derived = routesOfAddresses(told);
  const routes = FAMILIES.flatMap(([family]) => {
    const ofFamily = (route: Route): boolean => route.prefix.address.family === family;
    const own = given.filter(ofFamily);
    const hasLocal = own.some(({ kind }) => kind === "local");
    if (own.length === 0 && rulesets.some((ruleset) => ruleset.family === family)) {
      warn(
        `no --routes of IPv${family}: where the node sends what is not for itself is not known, so that is unknown unless its rules drop it either way`,
      );
    } else if (own.length > 0 && !hasLocal && !hasAddresses) {
      const message = `the IPv${family} routes have none of table local, so the node's own addresses are not known: give ip -j route show table all, or --addresses`;
      onDiagnostic({ severity: "error", code: "INCOMPLETE_DUMP", message });
    }
    const isLocal = ({ table }: Route): boolean => table === "local";
    return [
      ...own,
      ...(hasLocal ? [] : [...LOOPBACK_ROUTES, ...derived.filter(isLocal)].filter(ofFamily)),
      ...(own.length > 0 ? [] : derived.filter((route) => ofFamily(route) && !isLocal(route))),
      ...(own.length > 0 ? [] : UNTOLD_ROUTES.filter(ofFamily)),
    ];
  });
  const interfaces = hasAddresses ? told : namedInterfaces(routes, rulesets);
  const sourceLookUp = {
    always: given.some((route) => route.prefix.address.family === 4 && "realm" in route),
    unlessAccepted:
      files.some(({ otherTables }) => otherTables) || given.some((route) => isCustom(route, told)),
  };
  return { routes: uniqueRoutes(routes), wholeCluster: false, sourceLookUp, interfaces };
}

/** An interface with what only its switches tell. */
function switched(one: NodeInterface, switches: NodeSwitches | undefined): NodeInterface {
  const mtu6 = switches?.mtus6.get(one.name);
  return mtu6 === undefined ? one : { ...one, mtu6 };
}

/** A route that makes local what no interface has. Source: Linux, fib_validate_source(). */
function isCustom(route: Route, told: readonly NodeInterface[]): boolean {
  const { address, bits } = route.prefix;
  if (address.family !== 4) return false;
  if (route.kind !== "local" || address.words[0] >>> 24 === 127) return false;
  const own = told.flatMap(({ addresses }) => addresses);
  return own.length > 0 && (bits < 32 || !own.some((each) => sameAddress(each.address, address)));
}

const AROUND = { node: undefined, owner: undefined } as const;

/** What leads where nobody told. */
const UNTOLD_ROUTES: readonly Route[] = ["0.0.0.0/0", "::/0"].map((text) => ({
  ...AROUND,
  prefix: prefix(text),
  kind: "missing",
  interface: "",
  table: "default",
}));

const LOOPBACK_ROUTES: readonly Route[] = ["127.0.0.0/8", "::1/128"].map((text) => ({
  ...AROUND,
  prefix: prefix(text),
  kind: "local",
  interface: "lo",
  table: "local",
}));

function prefix(text: string): Route["prefix"] {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`bug: ${text} is no prefix`);
  return parsed.prefix;
}

function uniqueRoutes(routes: readonly Route[]): Route[] {
  const byKey = new Map<string, Route>();
  for (const route of routes) {
    const { address, bits } = route.prefix;
    const key = [route.table, address.family, ...address.words, bits].join(" ");
    if (!byKey.has(key)) byKey.set(key, route);
  }
  return [...byKey.values()];
}

/** The interfaces that routes and rules name. */
function namedInterfaces(routes: readonly Route[], rulesets: readonly Ruleset[]): NodeInterface[] {
  const names = new Set(routes.map((route) => route.interface));
  for (const { tables } of rulesets) {
    for (const { chains } of tables) {
      for (const { rules } of chains) {
        for (const { matches } of rules) {
          for (const match of matches) {
            if (match.kind === "interface" && !match.wildcard) names.add(match.name);
          }
        }
      }
    }
  }
  names.delete("");
  names.add("lo");
  return [...names].map((name) => ({
    name,
    index: undefined,
    mac: undefined,
    loopback: name === "lo",
    addresses: [],
  }));
}
