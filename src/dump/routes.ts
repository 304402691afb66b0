/** `ip -j route show table all`: where the node sends what. */
import type { OnDiagnostic } from "../errors.ts";
import { hostPrefix, formatPrefix, parseAddress, parsePrefix, prefixOf } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import type { NodeInterface, Route } from "../tables/model.ts";
import { numberOf, objectsOf, parseJsonArrays, stringOf } from "./json.ts";
import type { JsonObject } from "./json.ts";

type RouteTable = NonNullable<Route["table"]>;

interface RankedRoute {
  readonly route: Route & { readonly table: RouteTable };
  readonly metric: number;
}

const KINDS: ReadonlyMap<string, Route["kind"]> = new Map([
  ["unicast", "unicast"],
  ["local", "local"],
  ["broadcast", "broadcast"],
  ["anycast", "anycast"],
  ["multicast", "multicast"],
  ["blackhole", "blackhole"],
  ["unreachable", "blackhole"],
  ["prohibit", "blackhole"],
]);

const ANY: Readonly<Record<Family, Address>> = {
  4: { family: 4, words: [0, 0, 0, 0] },
  6: { family: 6, words: [0, 0, 0, 0] },
};

export interface ParsedRoutes {
  readonly routes: readonly Route[];
  /** There are routes in tables that only `ip rule` leads to. */
  readonly otherTables: boolean;
}

/** Parses the file; of routes to one prefix in one table that of the lowest metric counts. */
export function parseRoutes(text: string, file: string, onDiagnostic: OnDiagnostic): ParsedRoutes {
  const objects = parseJsonArrays(text, file, onDiagnostic) ?? [];
  const bestByKey = new Map<string, RankedRoute>();
  const others = new Set<string>();
  for (const object of objects) {
    const ranked = readRoute(object, others);
    if (typeof ranked === "string") {
      onDiagnostic({ severity: "error", code: "BAD_ROUTE", message: ranked, place: { file } });
      continue;
    }
    if (ranked === undefined) continue;
    const key = `${ranked.route.table} ${formatPrefix(ranked.route.prefix)}`;
    const best = bestByKey.get(key);
    if (best === undefined || ranked.metric < best.metric) bestByKey.set(key, ranked);
  }
  if (others.size > 0) {
    const message = `routes of other tables (${[...others].join(", ")}) are left aside: ip rules are not modelled`;
    onDiagnostic({ severity: "warning", code: "UNSUPPORTED_FEATURE", message, place: { file } });
  }
  const routes = [...bestByKey.values()].map(({ route }) => route);
  return { routes, otherTables: others.size > 0 };
}

/**
 * The local routes that follow from the interfaces' addresses, as the kernel makes them, and the routes
 * to their subnets.
 */
export function routesOfAddresses(interfaces: readonly NodeInterface[]): Route[] {
  const routes = interfaces.flatMap(({ name, addresses }) =>
    addresses.flatMap(({ address, bits }): Route[] => {
      const base = { interface: name, node: undefined, owner: undefined };
      const own: Route = { ...base, prefix: hostPrefix(address), kind: "local", table: "local" };
      const subnet: Route = {
        ...base,
        prefix: prefixOf(address, bits),
        kind: "unicast",
        table: "main",
      };
      if (address.family === 6) return [own, subnet];
      const all = broadcastOf(prefixOf(address, bits));
      const wide = bits < 31;
      return [
        own,
        ...(name === "lo" ? [{ ...subnet, kind: "local", table: "local" } as const] : [subnet]),
        ...(wide ? [{ ...own, prefix: hostPrefix(all), kind: "broadcast" } as const] : []),
      ];
    }),
  );
  const seen = new Set<string>();
  return routes.filter(({ prefix, table }) => {
    const key = `${table ?? ""} ${formatPrefix(prefix)}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** A sentence for what cannot be read; undefined for what is left aside. */
function readRoute(object: JsonObject, others: Set<string>): RankedRoute | string | undefined {
  const dst = stringOf(object, "dst");
  if (dst === undefined) return "a route without dst: expected what ip -j route prints";
  const tableName = stringOf(object, "table") ?? "main";
  const table = (["local", "main", "default"] as const).find((each) => each === tableName);
  if (table === undefined) {
    others.add(tableName);
    return undefined;
  }
  const type = stringOf(object, "type") ?? "unicast";
  const kind = KINDS.get(type);
  if (kind === undefined) return `a route of type ${type} to ${dst} is not modelled`;
  // By the packet's source or its type of service.
  const only = ["from", "tos"].find((key) => object[key] !== undefined);
  if (only !== undefined)
    return `a route to ${dst} for some packets only (${only}) is not modelled`;
  const all = objectsOf(object, "nexthops");
  const hops = all.filter((hop) => !isDead(hop));
  // > A next hop whose interface is down is passed over, and a route that has no other.
  if (isDead(object) || (all.length > 0 && hops.length === 0)) return undefined;
  const via = hops[0] ?? object;
  const gateway = gatewayOf(via);
  const prefix = prefixOfText(dst, object, gateway);
  if (prefix === undefined) return `a route to ${dst}, which is no prefix`;
  const device = stringOf(via, "dev") ?? "";
  if (device === "" && kind === "unicast") return `the route to ${dst} names no interface`;
  const source = parseAddress(stringOf(object, "prefsrc") ?? "");
  const metric = numberOf(object, "metric") ?? 0;
  return {
    metric,
    route: {
      prefix,
      kind,
      interface: device,
      node: undefined,
      owner: undefined,
      table,
      ...(gateway === undefined ? {} : { gateway }),
      ...(source === undefined ? {} : { source }),
      ...realmOf(via),
      ...mtuOf(object),
      ...(hops.length > 1 ? { multipath: true } : {}),
    },
  };
}

/** Source: Linux, net/ipv4/fib_trie.c, fib_lookup_good_nhc(): RTNH_F_DEAD; `linkdown` alone does not count. */
function isDead(object: JsonObject): boolean {
  const flags = object["flags"];
  return Array.isArray(flags) && flags.includes("dead");
}

/** `"flow": {"from": "3", "to": "5"}`; names are those of /etc/iproute2/rt_realms. */
function realmOf(object: JsonObject): { realm?: number | undefined } {
  const flow = object["flow"];
  if (typeof flow !== "object" || flow === null) return {};
  const [from = "0", to = "0"] = ["from", "to"].map((key) =>
    key in flow ? String((flow as JsonObject)[key]) : undefined,
  );
  const numbers = [from, to].map((text) => (text === "cosmos" ? 0 : Number(text)));
  const [source = NaN, destination = NaN] = numbers;
  const known = !Number.isNaN(source + destination);
  return { realm: known ? source * 0x10000 + destination : undefined };
}

/** `"metrics": [{"mtu": 1400}]`. */
function mtuOf(object: JsonObject): { mtu?: number } {
  const [mtu] = objectsOf(object, "metrics").flatMap((each) => numberOf(each, "mtu") ?? []);
  return mtu === undefined ? {} : { mtu };
}

function gatewayOf(object: JsonObject): Address | undefined {
  const via = object["via"];
  const inner = typeof via === "object" && via !== null && "host" in via ? String(via.host) : "";
  return parseAddress(stringOf(object, "gateway") ?? inner);
}

/** `default` is of the family that the next hop, or the preference that only IPv6 has, shows. */
function prefixOfText(
  text: string,
  object: JsonObject,
  gateway: Address | undefined,
): Prefix | undefined {
  if (text === "default") {
    const family = object["pref"] !== undefined ? 6 : (gateway?.family ?? 4);
    return { address: ANY[family], bits: 0 };
  }
  const address = parseAddress(text);
  return address === undefined ? parsePrefix(text)?.prefix : hostPrefix(address);
}

function broadcastOf({ address, bits }: Prefix): Address {
  const host = bits === 0 ? 0xffffffff : bits === 32 ? 0 : (1 << (32 - bits)) - 1;
  return { family: 4, words: [(address.words[0] | host) >>> 0, 0, 0, 0] };
}
