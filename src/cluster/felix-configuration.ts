/**
 * Calico's FelixConfiguration: what of it changes the tables that Felix makes. The fields that would
 * change them in ways that are not modelled are refused, others that have to do with them are named as not
 * read.
 * Sources: api/pkg/apis/projectcalico/v3 felixconfig.go; felix/config/config_params.go.
 */
import type { OnDiagnostic } from "../errors.ts";
import type { Prefix } from "../net/address.ts";
import { protocolNumber } from "../net/protocol.ts";
import {
  checkKnownFields,
  entriesOf,
  fieldOf,
  itemsOf,
  placeOfField,
  readBoolean,
  readText,
  recordOf,
  reportField,
  rootField,
  suggestionFor,
  type Field,
} from "./fields.ts";
import type { ManifestObject } from "./manifest-object.ts";
import { checkCalicoVersion, readNet, readPort, readWord } from "./read-network.ts";
import type { FailsafePort, FelixSettings, Snapshot } from "./snapshot.ts";

/** > SSH, DHCP, BGP, etcd, Typha and the Kubernetes API. */
const FAILSAFE_IN = "tcp:22,udp:68,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667";
const FAILSAFE_OUT = "udp:53,udp:67,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667";

/** Felix's own settings, but for the one that the shipped manifests give it: pods reach their node. */
export const FELIX_DEFAULTS: FelixSettings = {
  failsafeInbound: defaultPorts(FAILSAFE_IN),
  failsafeOutbound: defaultPorts(FAILSAFE_OUT),
  endpointToHost: "accept",
  dropsInvalid: true,
  vxlanPort: 4789,
  ipip: undefined,
  vxlan: undefined,
  wireguardPorts: { 4: undefined, 6: undefined },
  wireguardHosts: undefined,
  externalNodes: [],
  spareNodes: false,
  outgoingPorts: undefined,
  podsMayVxlan: false,
  podsMayIpip: false,
  floatingAddresses: false,
  policesIpv6: true,
};

/**
 * The settings on a node; of a whole cluster, those that all nodes have that have none of their own.
 *
 * > The environment of calico-node comes before any FelixConfiguration, a node's own before all nodes'.
 */
export function felixSettings({ felixByScope }: Snapshot, node: string | undefined): FelixSettings {
  const own = (scope: string): Partial<FelixSettings> =>
    (node === undefined ? undefined : felixByScope.get(`${scope}.${node}`)) ?? {};
  return {
    ...FELIX_DEFAULTS,
    ...felixByScope.get("default"),
    ...own("node"),
    ...felixByScope.get(ENVIRONMENT),
    ...own(ENVIRONMENT),
  };
}

/** The scope of what the environment says; with a node's name behind it, on that node. */
export const ENVIRONMENT = "environment";

/** Fields that are read. */
export const READ = [
  "failsafeInboundHostPorts",
  "failsafeOutboundHostPorts",
  "defaultEndpointToHostAction",
  "disableConntrackInvalidCheck",
  "vxlanPort",
  "allowVXLANPacketsFromWorkloads",
  "allowIPIPPacketsFromWorkloads",
  "ipv6Support",
  "ipipEnabled",
  "vxlanEnabled",
  "wireguardEnabled",
  "wireguardEnabledV6",
  "wireguardListeningPort",
  "wireguardListeningPortV6",
  "wireguardHostEncryptionEnabled",
  "externalNodesList",
  "natOutgoingExclusions",
  "natPortRange",
  "floatingIPs",
];

/** Fields that change tables or take them out of use, and the values that leave ours as they are. */
export const ONLY: ReadonlyMap<string, readonly (string | number | boolean)[]> = new Map([
  ["bpfEnabled", [false]],
  ["chainInsertMode", ["Insert", "insert"]],
  ["interfacePrefix", ["cali"]],
  ["iptablesFilterAllowAction", ["Accept", "ACCEPT"]],
  ["iptablesMangleAllowAction", ["Accept", "ACCEPT"]],
  ["iptablesFilterDenyAction", ["Drop", "DROP"]],
  ["iptablesMarkMask", [0xffff0000]],
  ["iptablesNATOutgoingInterfaceFilter", [""]],
  ["natOutgoingAddress", [""]],
  ["nftablesMode", ["Disabled", "Auto"]],
  ["workloadSourceSpoofing", ["Disabled"]],
] as const);

/** Fields of what Felix does beside tables: logs, metrics, how often it looks, and eBPF, which is refused. */
const BESIDE =
  /^(bpf|cgroup|dataplaneWatchdog|debug|endpointReporting|endpointStatus|flowLogs|genericXDP|goGC|goMaxProcs|goMemory|health|log(Debug|File|Severity)|metadata|mtu|prometheus|reporting|typha|usageReporting|windows|xdp)|(Interval|MTU|Timeout|Millis|Secs)$/;

/** Reads one object's settings; those that it does not give are absent. */
export function readFelixConfiguration(
  object: ManifestObject,
  onDiagnostic: OnDiagnostic,
): Partial<FelixSettings> {
  const root = rootField(object, onDiagnostic);
  checkCalicoVersion(root);
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec"]);
  const spec = recordOf(root, "spec");
  checkOthers(spec);
  return readFelixSettings((key) => fieldOf(spec, key));
}

/** Reads settings from wherever their fields are found. */
export function readFelixSettings(find: (key: string) => Field): Partial<FelixSettings> {
  const inbound = readPorts(find("failsafeInboundHostPorts"));
  const outbound = readPorts(find("failsafeOutboundHostPorts"));
  const toHost = readEndpointToHost(find("defaultEndpointToHostAction"));
  const ignoresInvalid = readBoolean(find("disableConntrackInvalidCheck"));
  const vxlanPort = readPort(find("vxlanPort"));
  const podsMayVxlan = readBoolean(find("allowVXLANPacketsFromWorkloads"));
  const podsMayIpip = readBoolean(find("allowIPIPPacketsFromWorkloads"));
  const policesIpv6 = readBoolean(find("ipv6Support"));
  const ipip = readBoolean(find("ipipEnabled"));
  const vxlan = readBoolean(find("vxlanEnabled"));
  const wireguardPorts = readWireguard(find);
  const hostEncryption = find("wireguardHostEncryptionEnabled");
  const wireguardHosts = readBoolean(hostEncryption);
  const external = find("externalNodesList");
  const exclusions = readWord(find("natOutgoingExclusions"), "exclusion", EXCLUSIONS);
  const outgoingPorts = readPortRange(find("natPortRange"));
  const floating = readWord(find("floatingIPs"), "setting", ["Enabled", "Disabled"]);
  return {
    ...(inbound === undefined ? {} : { failsafeInbound: inbound }),
    ...(outbound === undefined ? {} : { failsafeOutbound: outbound }),
    ...(toHost === undefined ? {} : { endpointToHost: toHost }),
    ...(ignoresInvalid === undefined ? {} : { dropsInvalid: !ignoresInvalid }),
    ...(vxlanPort === undefined ? {} : { vxlanPort }),
    ...(podsMayVxlan === undefined ? {} : { podsMayVxlan }),
    ...(podsMayIpip === undefined ? {} : { podsMayIpip }),
    ...(policesIpv6 === undefined ? {} : { policesIpv6 }),
    ...(ipip === undefined ? {} : { ipip }),
    ...(vxlan === undefined ? {} : { vxlan }),
    ...(wireguardPorts === undefined ? {} : { wireguardPorts }),
    ...(wireguardHosts === undefined
      ? {}
      : { wireguardHosts: wireguardHosts ? placeOfField(hostEncryption) : undefined }),
    ...(external.value === undefined ? {} : { externalNodes: readNets(external) }),
    ...(exclusions === undefined ? {} : { spareNodes: exclusions === "IPPoolsAndHostIPs" }),
    ...(outgoingPorts === undefined ? {} : { outgoingPorts }),
    ...(floating === undefined ? {} : { floatingAddresses: floating === "Enabled" }),
  };
}

const EXCLUSIONS = ["IPPoolsOnly", "IPPoolsAndHostIPs"] as const;

/** A port, or two with a colon between them. Reports BAD_PORT. */
function readPortRange(field: Field): FelixSettings["outgoingPorts"] {
  const text = typeof field.value === "number" ? String(field.value) : readText(field);
  if (text === undefined || text === "") return undefined;
  const [, from = "", to = from] = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (from === "" || first > last || last > 0xffff) {
    reportField(field, { code: "BAD_PORT", message: `"${text}" is no range of ports: FIRST:LAST` });
    return undefined;
  }
  // > No port but 0 is none.
  return last === 0 ? undefined : { first, last };
}

/** > Each family is switched on by itself, and has a port of its own. */
function readWireguard(find: (key: string) => Field): FelixSettings["wireguardPorts"] | undefined {
  const four = readBoolean(find("wireguardEnabled"));
  const six = readBoolean(find("wireguardEnabledV6"));
  const port = readPort(find("wireguardListeningPort")) ?? 51820;
  const port6 = readPort(find("wireguardListeningPortV6")) ?? 51821;
  if (four === undefined && six === undefined) return undefined;
  return { 4: four === true ? port : undefined, 6: six === true ? port6 : undefined };
}

function readNets(field: Field): Prefix[] {
  return itemsOf(field).flatMap((item) => readNet(item) ?? []);
}

function checkOthers(spec: Field): void {
  const unread: string[] = [];
  for (const [key, field] of entriesOf(spec)) {
    if (READ.includes(key) || field.value === undefined) continue;
    if (ONLY.has(key)) {
      checkOnly(key, field);
      continue;
    }
    if (BESIDE.test(key)) continue;
    const meant = suggestionFor(key, [...READ, ...ONLY.keys()]);
    if (meant === undefined) {
      unread.push(key);
    } else {
      const message = `there is no field "${key}" that is read`;
      reportField(field, {
        severity: "warning",
        code: "UNKNOWN_FIELD",
        message,
        suggestion: meant,
      });
    }
  }
  if (unread.length === 0) return;
  reportField(spec, {
    severity: "warning",
    code: "UNSUPPORTED_FEATURE",
    message: `not read: ${unread.join(", ")}`,
  });
}

/** Reports a value other than those that leave the tables as they are. */
export function checkOnly(key: string, field: Field): void {
  const ours = ONLY.get(key) ?? [];
  if (ours.some((value) => value === field.value)) return;
  reportField(field, {
    code: "UNSUPPORTED_FEATURE",
    message: `the tables are those of ${ours[0] === "" ? "none" : String(ours[0])}, and of no other value`,
  });
}

function readEndpointToHost(field: Field): FelixSettings["endpointToHost"] | undefined {
  const written = readText(field);
  switch (written?.toLowerCase()) {
    case undefined:
      return undefined;
    case "accept":
      return "accept";
    case "drop":
      return "drop";
    case "return":
      return "return";
    default: {
      const message = `"${written}" is no action: Drop, Accept or Return`;
      reportField(field, { code: "BAD_VALUE", message });
      return undefined;
    }
  }
}

/** Undefined: not given. An empty list closes all. */
function readPorts(field: Field): FailsafePort[] | undefined {
  if (field.value === undefined) return undefined;
  return itemsOf(field).flatMap((item) => {
    checkKnownFields(item, ["protocol", "port", "net"]);
    const port = readPort(fieldOf(item, "port"));
    const protocolField = fieldOf(item, "protocol");
    const written = readText(protocolField);
    const protocol = PROTOCOLS.get(written?.toLowerCase() ?? "");
    if (protocol === undefined) {
      const message = `"${written ?? ""}" is no protocol of a failsafe port: TCP or UDP`;
      reportField(protocolField, { code: "BAD_VALUE", message });
    }
    const net = fieldOf(item, "net");
    const prefix = net.value === undefined || net.value === "" ? undefined : readNet(net);
    if (port === undefined || protocol === undefined) return [];
    return [{ protocol, port, prefix, place: placeOfField(item) }];
  });
}

const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ["tcp", 6],
  ["udp", 17],
]);

function defaultPorts(text: string): FailsafePort[] {
  return text.split(",").map((item) => {
    const [name = "", port = ""] = item.split(":");
    const protocol = protocolNumber(name);
    if (protocol === undefined) throw new Error(`bug: no protocol ${name}`);
    return { protocol, port: Number(port), prefix: undefined, place: undefined };
  });
}
