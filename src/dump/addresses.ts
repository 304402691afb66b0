/** `ip -d -j addr`, or without `-d`: the node's interfaces and their addresses. */
import type { OnDiagnostic } from "../errors.ts";
import { parseAddress } from "../net/address.ts";
import type { InterfaceAddress, NodeInterface } from "../tables/model.ts";
import type { LinkFacts, ToldInterface } from "./stack.ts";
import { numberOf, objectOf, objectsOf, parseJsonArrays, stringOf } from "./json.ts";
import type { JsonObject } from "./json.ts";

/** Parses the file; what is given twice (once for each family) is joined by name. */
export function parseAddresses(
  text: string,
  file: string,
  onDiagnostic: OnDiagnostic,
): ToldInterface[] {
  const objects = parseJsonArrays(text, file, onDiagnostic) ?? [];
  const byName = new Map<string, ToldInterface>();
  for (const object of objects) {
    const name = stringOf(object, "ifname");
    if (name === undefined) {
      const message = "an interface without a name: expected what ip -j addr prints";
      onDiagnostic({ severity: "error", code: "BAD_ROUTE", message, place: { file } });
      continue;
    }
    const before = byName.get(name);
    byName.set(name, {
      name,
      index: numberOf(object, "ifindex") ?? before?.index,
      mac: macOf(object) ?? before?.mac,
      loopback: flagsOf(object).includes("LOOPBACK"),
      ...groupOf(object, before),
      ...mtuOf(object, before),
      facts: before === undefined || isDetailed(object) ? factsOf(object) : before.facts,
      addresses: [
        ...(before?.addresses ?? []),
        ...objectsOf(object, "addr_info").flatMap(addressOf),
      ],
    });
  }
  return [...byName.values()];
}

function flagsOf(object: JsonObject): unknown[] {
  const flags = object["flags"];
  return Array.isArray(flags) ? flags : [];
}

/** > Physical interfaces have no kind, even with -d, which tells how often they are promiscuous. */
function isDetailed(object: JsonObject): boolean {
  return object["promiscuity"] !== undefined;
}

function factsOf(object: JsonObject): LinkFacts {
  const info = objectOf(object, "linkinfo");
  const data = objectOf(info, "info_data");
  const port = objectOf(info, "info_slave_data");
  const calls = (key: string): boolean => numberOf(data, key) === 1;
  return {
    master: stringOf(object, "master"),
    link: stringOf(object, "link"),
    kind: stringOf(info, "info_kind") ?? (isDetailed(object) ? "" : undefined),
    flags: flagsOf(object),
    vlanId: numberOf(data, "id"),
    filtersVlans: numberOf(data, "vlan_filtering") === 1,
    idle: stringOf(info, "info_slave_kind") === "bond" && stringOf(port, "state") === "BACKUP",
    calls: { 4: calls("nf_call_iptables"), 6: calls("nf_call_ip6tables") },
    ethernet: (stringOf(object, "link_type") ?? "ether") === "ether",
  };
}

/** > Groups have names in /etc/iproute2/group, of which everybody has one. */
function groupOf(object: JsonObject, before: NodeInterface | undefined): { group?: number } {
  const text = stringOf(object, "group") ?? "";
  if (text === "default") return { group: 0 };
  if (/^\d+$/.test(text)) return { group: Number(text) };
  return before?.group === undefined ? {} : { group: before.group };
}

function mtuOf(object: JsonObject, before: NodeInterface | undefined): { mtu?: number } {
  const mtu = numberOf(object, "mtu") ?? before?.mtu;
  return mtu === undefined ? {} : { mtu };
}

function macOf(object: JsonObject): number[] | undefined {
  const mac = stringOf(object, "address") ?? "";
  const ethernet = (stringOf(object, "link_type") ?? "ether") === "ether";
  if (!ethernet || !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) return undefined;
  return mac.split(":").map((byte) => parseInt(byte, 16));
}

const SCOPES = ["global", "link", "host", "site"] as const;

function addressOf(object: JsonObject): InterfaceAddress[] {
  const address = parseAddress(stringOf(object, "local") ?? "");
  if (address === undefined) return [];
  const scope = SCOPES.find((each) => each === object["scope"]) ?? "global";
  const bits = numberOf(object, "prefixlen") ?? (address.family === 4 ? 32 : 128);
  return [{ address, bits, scope, secondary: object["secondary"] === true }];
}
