/**
 * Calico's HostEndpoint, and those that its controller makes of Nodes.
 * Sources: api/pkg/apis/projectcalico/v3 hostendpoint.go, kubecontrollersconfig.go; libcalico-go
 * lib/validator/v3 validateHostEndpointSpec; kube-controllers pkg/controllers/node/hostendpoints.go.
 */
import type { OnDiagnostic } from "../errors.ts";
import {
  checkKnownFields,
  fieldOf,
  itemsOf,
  placeOfField,
  readText,
  readTextMap,
  recordOf,
  reportField,
  rootField,
  type Field,
} from "./fields.ts";
import type { ManifestObject } from "./manifest-object.ts";
import { isDnsSubdomain } from "./read-selector.ts";
import { checkCalicoVersion, readAddress, readPort, readProtocol } from "./read-network.ts";
import type { ClusterNode, HostEndpoint, Labels, NamedPort } from "./snapshot.ts";

/** The interface name that stands for all of a node's interfaces. */
export const ALL_INTERFACES = "*";

/** The profile that Calico has without an object: it lets everything through. */
export const DEFAULT_ALLOW_PROFILE = "projectcalico-default-allow";

/** Source: the kernel's IFNAMSIZ, the NUL included. */
const INTERFACE_NAME = /^[a-zA-Z0-9_.-]{1,15}$/;

/** Reads an endpoint; what is wrong with it was reported. */
export function readHostEndpoint(
  object: ManifestObject,
  labelsByProfile: ReadonlyMap<string, Labels>,
  onDiagnostic: OnDiagnostic,
): HostEndpoint {
  const root = rootField(object, onDiagnostic);
  checkCalicoVersion(root);
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec"]);
  const spec = recordOf(root, "spec");
  checkKnownFields(spec, ["node", "interfaceName", "expectedIPs", "profiles", "ports"]);
  const node = readText(fieldOf(spec, "node"));
  if (node === undefined || node === "") {
    reportField(fieldOf(spec, "node"), {
      severity: "warning",
      code: "MISSING_FIELD",
      message: "the host endpoint is on no node: it binds nothing",
    });
  } else {
    checkName(fieldOf(spec, "node"), node);
  }
  checkName(fieldOf(fieldOf(root, "metadata"), "name"), object.metadata.name);
  const interfaceName = readInterfaceName(fieldOf(spec, "interfaceName"));
  const expected = itemsOf(fieldOf(spec, "expectedIPs"));
  if (interfaceName === undefined && expected.length === 0) {
    reportField(spec, {
      code: "MISSING_FIELD",
      message: "neither interfaceName nor expectedIPs says which interface is meant",
    });
  }
  const profiles = itemsOf(fieldOf(spec, "profiles")).flatMap((item) => {
    const name = readText(item);
    if (name === undefined) return [];
    checkName(item, name);
    return [{ name, place: placeOfField(item) }];
  });
  return {
    name: object.metadata.name,
    labels: inherit(object.metadata.labels, profiles, labelsByProfile),
    node: node === "" ? undefined : node,
    interfaceName,
    addresses: expected.map(readAddress).filter((address) => address !== undefined),
    ports: itemsOf(fieldOf(spec, "ports")).flatMap(readEndpointPort),
    profiles,
    place: object.placeOf(["metadata", "name"]),
  };
}

function checkName(field: Field, name: string): void {
  if (isDnsSubdomain(name)) return;
  reportField(field, {
    code: "BAD_VALUE",
    message: `"${name}" is no name: lower-case letters, digits, "-" and ".", at most 253`,
  });
}

function readInterfaceName(field: Field): string | undefined {
  const name = readText(field);
  if (name === undefined || name === "") return undefined;
  if (name !== ALL_INTERFACES && !INTERFACE_NAME.test(name)) {
    reportField(field, {
      code: "BAD_VALUE",
      message: `"${name}" is no interface name: up to 15 letters, digits, "_", "." and "-", or "*"`,
    });
  }
  return name;
}

function readEndpointPort(field: Field): NamedPort[] {
  const keys = ["name", "protocol", "port"];
  checkKnownFields(field, keys);
  for (const missing of keys.map((key) => fieldOf(field, key))) {
    if (missing.value !== undefined) continue;
    reportField(missing, { code: "MISSING_FIELD", message: "is required" });
  }
  const name = readText(fieldOf(field, "name"));
  const protocol = readProtocol(fieldOf(field, "protocol"));
  const port = readPort(fieldOf(field, "port"));
  const whole = name !== undefined && protocol !== undefined && port !== undefined;
  return whole ? [{ name, protocol, port }] : [];
}

/** > Its own labels win over inherited ones, those of the first profile over later ones'. */
function inherit(
  own: Labels,
  profiles: HostEndpoint["profiles"],
  labelsByProfile: ReadonlyMap<string, Labels>,
): Labels {
  const inherited = profiles
    .toReversed()
    .flatMap(({ name }) => [...(labelsByProfile.get(name) ?? [])]);
  return inherited.length === 0 ? own : new Map([...inherited, ...own]);
}

/** The labels that profiles hand on, by the profiles' names. */
export function readProfileLabels(profiles: readonly ManifestObject[]): Map<string, Labels> {
  // What is wrong with them is said by whoever reads their rules.
  const quiet = (): void => undefined;
  return new Map(
    profiles.map((object) => {
      const spec = recordOf(rootField(object, quiet), "spec");
      return [object.metadata.name, readTextMap(fieldOf(spec, "labelsToApply"))];
    }),
  );
}

/**
 * Makes the endpoints that Calico's controller makes of nodes, if it is told to: one for all interfaces,
 * with the node's labels, and its addresses but external ones. One that is there already is left as it is.
 */
export function automaticHostEndpoints(
  configurations: readonly ManifestObject[],
  nodes: readonly ClusterNode[],
  existing: readonly HostEndpoint[],
  onDiagnostic: OnDiagnostic,
): HostEndpoint[] {
  const object = configurations.find(({ metadata }) => metadata.name === "default");
  if (object === undefined || !createsEndpoints(object, onDiagnostic)) return [];
  const names = new Set(existing.map(({ name }) => name));
  return nodes
    .map(({ name, labels, internalAddresses: addresses, place }): HostEndpoint => ({
      name: `${name}-auto-hep`,
      labels: new Map(labels).set("projectcalico.org/created-by", "calico-kube-controllers"),
      node: name,
      interfaceName: ALL_INTERFACES,
      addresses,
      ports: [],
      profiles: [{ name: DEFAULT_ALLOW_PROFILE, place: object.place }],
      place: place ?? object.place,
    }))
    .filter(({ name }) => !names.has(name));
}

function createsEndpoints(object: ManifestObject, onDiagnostic: OnDiagnostic): boolean {
  const root = rootField(object, onDiagnostic);
  checkCalicoVersion(root);
  const controllers = recordOf(recordOf(root, "spec"), "controllers");
  const settings = recordOf(recordOf(controllers, "node"), "hostEndpoint");
  if (readText(fieldOf(settings, "autoCreate")) !== "Enabled") return false;
  const templates = fieldOf(settings, "templates");
  if (itemsOf(templates).length > 0) {
    reportField(templates, {
      code: "UNSUPPORTED_FEATURE",
      message:
        "host endpoints made of templates are not read: give the HostEndpoint objects that they became",
    });
  }
  return readText(fieldOf(settings, "createDefaultHostEndpoint")) !== "Disabled";
}
