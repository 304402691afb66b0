/**
 * How the environment of calico-node sets Felix up: `FELIX_` and the name of a field of FelixConfiguration,
 * with values written as in a configuration file. It is read from the DaemonSet and from the pods that run,
 * which say what their nodes really have.
 * Source: felix/config/env_var_loader.go, config_params.go, param_types.go.
 */
import type { OnDiagnostic } from "../errors.ts";
import {
  checkOnly,
  ENVIRONMENT,
  ONLY,
  READ,
  readFelixConfiguration,
  readFelixSettings,
} from "./felix-configuration.ts";
import {
  fieldOf,
  itemsOf,
  readText,
  recordOf,
  reportField,
  rootField,
  withValue,
  type Field,
} from "./fields.ts";
import type { ManifestObject } from "./manifest-object.ts";
import type { FelixSettings } from "./snapshot.ts";

/** The container that Felix runs in. */
const CONTAINER = "calico-node";
/** By which its pods are known among many: Calico's manifests, its operator and canal's name them so. */
const APP_LABEL = "k8s-app";
const APPS: ReadonlySet<string | undefined> = new Set(["calico-node", "canal"]);

/** Reads how Felix is set up, by scope: FelixConfigurations, and the environments that win over them. */
export function readFelixScopes(
  objects: readonly ManifestObject[],
  onDiagnostic: OnDiagnostic,
): Map<string, Partial<FelixSettings>> {
  const environments = readEnvironments(objects, onDiagnostic);
  const byScope = new Map<string, Partial<FelixSettings>>();
  for (const object of objects.filter(({ kind }) => kind === "FelixConfiguration")) {
    const settings = readFelixConfiguration(object, onDiagnostic);
    byScope.set(object.metadata.name, settings);
    const { endpointToHost = "accept" } = settings;
    if (endpointToHost === "accept" || environments.size > 0) continue;
    const spec = recordOf(rootField(object, onDiagnostic), "spec");
    reportField(fieldOf(spec, "defaultEndpointToHostAction"), {
      severity: "warning",
      code: "UNSUPPORTED_FEATURE",
      message:
        "taken as it is, though calico-node's environment would win, which Calico's manifests set to ACCEPT: give its DaemonSet, too",
    });
  }
  return new Map([...byScope, ...environments]);
}

/** What environments say: all nodes', and each node's own that a pod tells. */
function readEnvironments(
  objects: readonly ManifestObject[],
  onDiagnostic: OnDiagnostic,
): Map<string, Partial<FelixSettings>> {
  const byScope = new Map<string, Partial<FelixSettings>>();
  const sets = objects.filter(({ kind }) => kind === "DaemonSet");
  const pods = objects.filter(
    ({ kind, metadata }) => kind === "Pod" && APPS.has(metadata.labels.get(APP_LABEL)),
  );
  for (const object of [...sets, ...pods]) {
    const own = recordOf(rootField(object, onDiagnostic), "spec");
    const spec = object.kind === "Pod" ? own : recordOf(recordOf(own, "template"), "spec");
    const container = itemsOf(fieldOf(spec, "containers")).find(
      (each) => fieldOf(each, "name").value === CONTAINER,
    );
    if (container === undefined) continue;
    const settings = readVariables(itemsOf(fieldOf(container, "env")));
    const node = object.kind === "Pod" ? readText(fieldOf(spec, "nodeName")) : undefined;
    // Without the DaemonSet its pods tell, which are all alike.
    if (!byScope.has(ENVIRONMENT)) byScope.set(ENVIRONMENT, settings);
    if (node !== undefined) byScope.set(`${ENVIRONMENT}.${node}`, settings);
  }
  return byScope;
}

/** > Names of variables and of settings are compared in lower case. */
const FIELD_BY_VARIABLE: ReadonlyMap<string, string> = new Map(
  [...READ, ...ONLY.keys()].map((key) => [`felix_${parameterOf(key).toLowerCase()}`, key]),
);

/** Felix's own name of what a field of the API sets. */
function parameterOf(key: string): string {
  switch (key) {
    case "ipipEnabled":
      return "IpInIpEnabled";
    case "externalNodesList":
      return "ExternalNodesCIDRList";
    default:
      return key;
  }
}

function readVariables(variables: readonly Field[]): Partial<FelixSettings> {
  const fieldByKey = new Map<string, Field>();
  for (const variable of variables) {
    const key = FIELD_BY_VARIABLE.get((readText(fieldOf(variable, "name")) ?? "").toLowerCase());
    if (key === undefined) continue;
    if (fieldOf(variable, "valueFrom").value !== undefined) {
      reportField(variable, {
        code: "UNSUPPORTED_FEATURE",
        message: `what ${key} is stands elsewhere, and tables hang on it`,
      });
      continue;
    }
    const value = fieldOf(variable, "value");
    const text = readText(value) ?? "";
    // > An empty value is none.
    if (text !== "") fieldByKey.set(key, withValue(value, valueOf(key, text)));
  }
  for (const [key, field] of fieldByKey) if (ONLY.has(key)) checkOnly(key, field);
  const [first] = variables;
  if (first === undefined) return {};
  return readFelixSettings((key) => fieldByKey.get(key) ?? withValue(first, undefined));
}

/** A variable's text as the field of the API has it; text that is no such value stays, and is reported. */
function valueOf(key: string, text: string): unknown {
  if (key.startsWith("failsafe")) return portsOf(text);
  if (key === "externalNodesList") return text.split(",").map((item) => item.trim());
  if (NUMBERS.has(key)) return /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : text;
  if (BOOLEANS.has(key)) return TRUTH.get(text.toLowerCase()) ?? text;
  // Words are told apart whatever their case.
  const word = ONLY.get(key)?.find((known) => String(known).toLowerCase() === text.toLowerCase());
  return word ?? text;
}

const NUMBERS: ReadonlySet<string> = new Set([
  "vxlanPort",
  "iptablesMarkMask",
  "wireguardListeningPort",
  "wireguardListeningPortV6",
]);
const BOOLEANS: ReadonlySet<string> = new Set([
  "allowIPIPPacketsFromWorkloads",
  "allowVXLANPacketsFromWorkloads",
  "bpfEnabled",
  "disableConntrackInvalidCheck",
  "ipipEnabled",
  "ipv6Support",
  "vxlanEnabled",
  "wireguardEnabled",
  "wireguardEnabledV6",
  "wireguardHostEncryptionEnabled",
]);
const TRUTH: ReadonlyMap<string, boolean> = new Map([
  ...["true", "1", "yes", "y", "t"].map((word) => [word, true] as const),
  ...["false", "0", "no", "n", "f"].map((word) => [word, false] as const),
]);

/** `tcp:22`, `udp:10.0.0.0/8:53`, `tcp:[fd00::/64]:22`, and of TCP the number alone; `none` closes all. */
function portsOf(text: string): unknown[] {
  if (text.toLowerCase() === "none") return [];
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "")
    .map((item) => {
      const match = /^(?:(\w+):(?:\[?([^\]]*?)\]?:)?)?(\w+)$/.exec(item);
      const [, protocol = "tcp", net = "", port = item] = match ?? [];
      return { protocol, net, port: /^\d+$/.test(port) ? Number(port) : port };
    });
}
