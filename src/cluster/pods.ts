/**
 * Pods, and the pods that workloads' templates would make: read, put under their top owner, and ordered.
 * Which of them are endpoints is decided in `build.ts`.
 */
import type { OnDiagnostic } from "../errors.ts";
import { parseAddress, sameAddress, type Address } from "../net/address.ts";
import {
  fieldOf,
  itemsOf,
  itemsOfList,
  neededOf,
  placeOfField,
  readBoolean,
  readInteger,
  readText,
  readTextMap,
  recordOf,
  recordsOf,
  reportField,
  rootField,
  thoseRead,
  type Field,
} from "./fields.ts";
import { givenLabels } from "./given-labels.ts";
import type { ManifestObject } from "./manifest-object.ts";
import { readAddress, readPort, readProtocol } from "./read-network.ts";
import type { Endpoint, HostPort, NamedPort, PodPower } from "./snapshot.ts";

/** A pod, or what stands for the pods of a workload that has none. */
export interface Pod {
  readonly endpoint: Endpoint;
  /** Shares its node's addresses: no endpoint of its own. */
  readonly hostNetwork: boolean;
  /** False only when the status says so; a manifest without a status is taken to run. */
  readonly ready: boolean;
  /** What lets it past policies. */
  readonly powers: readonly PodPower[];
  /** Marked for deletion; it keeps its address until it is gone. */
  readonly terminating: boolean;
}

/** What a pod belongs to. */
export interface Owner {
  readonly kind: string;
  readonly name: string;
}

/** Reads the pods that have not finished, then the workloads that no pod belongs to. */
export function readPods(objects: readonly ManifestObject[], onDiagnostic: OnDiagnostic): Pod[] {
  const workloads = new Map<string, ManifestObject>();
  for (const object of objects) {
    if (templatePath(object) !== undefined)
      workloads.set(ownerKey(object.metadata.namespace, asOwner(object)), object);
  }
  const owned = new Set<string>();
  const pods: Pod[] = [];
  for (const object of objects) {
    if (object.kind !== "Pod") continue;
    const root = rootField(object, onDiagnostic);
    const chain = ownersOf(object, { workloads, onDiagnostic });
    for (const owner of chain) owned.add(ownerKey(object.metadata.namespace, owner));
    const pod = readPod(root, chain.at(-1) ?? asOwner(object));
    if (pod !== undefined) pods.push(pod);
  }
  for (const object of workloads.values()) {
    const root = rootField(object, onDiagnostic);
    const chain = ownersOf(object, { workloads, onDiagnostic });
    // The owner stands for the pods of what it owns.
    const stoodFor = chain.some((owner) =>
      workloads.has(ownerKey(object.metadata.namespace, owner)),
    );
    if (stoodFor || owned.has(ownerKey(object.metadata.namespace, asOwner(object))) || isOver(root))
      continue;
    const pod = readTemplate(root, chain.at(-1) ?? asOwner(object));
    if (pod !== undefined) pods.push(pod);
  }
  return pods;
}

/** Reads a pod; undefined when it has finished: its address is no longer its own. */
function readPod(root: Field, workload: Owner): Pod | undefined {
  const status = recordOf(root, "status");
  const phase = readText(fieldOf(status, "phase"));
  const metadata = fieldOf(root, "metadata");
  const terminating = fieldOf(metadata, "deletionTimestamp").value !== undefined;
  const annotations = fieldOf(metadata, "annotations");
  const unplugged = terminating && POD_IPS.some((key) => fieldOf(annotations, key).value === "");
  if (phase === "Succeeded" || phase === "Failed" || unplugged) return undefined;
  const addresses = podAddresses(status);
  const hostAddress = readAddress(fieldOf(status, "hostIP"));
  const spec = recordOf(root, "spec");
  const onHost =
    hostAddress !== undefined && addresses.some((one) => sameAddress(one, hostAddress));
  const hostNetwork = (readBoolean(fieldOf(spec, "hostNetwork")) ?? false) || onHost;
  const { namespace, name, labels } = root.object.metadata;
  return {
    endpoint: {
      namespace,
      name,
      kind: "Pod",
      workload,
      labels,
      addresses,
      ...(hostNetwork ? {} : { ...readFloatingAddresses(root), ...readHostPorts(spec) }),
      ...readPodSpec(spec),
      place: root.object.place,
    },
    hostNetwork,
    powers: readPowers(spec, onHost),
    ready: isReady(status, phase),
    terminating,
  };
}

function readTemplate(root: Field, workload: Owner): Pod | undefined {
  const kind = templateKind(root.object.kind);
  const path = templatePath(root.object);
  if (kind === undefined || path === undefined) return undefined;
  const template = path.reduce(recordOf, root);
  const spec = recordOf(template, "spec");
  const hostNetwork = readBoolean(fieldOf(spec, "hostNetwork")) ?? false;
  const { namespace, name } = root.object.metadata;
  return {
    endpoint: {
      namespace,
      name,
      kind,
      workload,
      ...givenLabels(root, readTextMap(fieldOf(recordOf(template, "metadata"), "labels"))),
      addresses: [],
      ...(hostNetwork ? {} : readHostPorts(spec)),
      ...readPodSpec(spec),
      place: root.object.place,
    },
    hostNetwork,
    powers: readPowers(spec),
    ready: true,
    terminating: false,
  };
}

function readPodSpec(spec: Field): Pick<Endpoint, "serviceAccount" | "node" | "ports"> {
  const named = readText(fieldOf(spec, "serviceAccountName"));
  const account = named ?? readText(fieldOf(spec, "serviceAccount"));
  const node = readText(fieldOf(spec, "nodeName"));
  const portsOf = (container: Field): NamedPort[] =>
    recordsOf(fieldOf(container, "ports")).flatMap(readNamed);
  return {
    serviceAccount: account === undefined || account === "" ? "default" : account,
    node: node === "" ? undefined : node,
    ports: [
      ...recordsOf(fieldOf(spec, "containers")).flatMap(portsOf),
      ...recordsOf(fieldOf(spec, "initContainers")).flatMap((container) => {
        const init = isSidecar(container) ? "sidecar" : "ends";
        return portsOf(container).map((port) => ({ ...port, init }) as const);
      }),
    ],
  };
}

/**
 * Reads the ports of its node that a pod asks for; those of init containers that end are never given.
 * Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_sandbox.go, generatePodSandboxConfig().
 */
function readHostPorts(spec: Field): Pick<Endpoint, "hostPorts"> {
  const portsOf = (container: Field): HostPort[] =>
    itemsOfList(fieldOf(container, "ports")).flatMap(readHostPort);
  const own = itemsOfList(fieldOf(spec, "containers")).flatMap(portsOf);
  const ofSidecars = itemsOfList(fieldOf(spec, "initContainers"))
    .filter(isSidecar)
    .flatMap(portsOf)
    .map((port): HostPort => ({ ...port, sidecar: true }));
  const hostPorts = [...own, ...ofSidecars];
  return hostPorts.length === 0 ? {} : { hostPorts };
}

/** Tells whether an init container goes on running. */
function isSidecar(container: Field): boolean {
  return fieldOf(container, "restartPolicy").value === "Always";
}

function readHostPort(field: Field): HostPort[] {
  const hostPort = fieldOf(field, "hostPort");
  // > 0, too, means that none is asked for.
  if (hostPort.value === undefined || hostPort.value === 0) return [];
  const port = readPort(hostPort);
  const address = readAddress(fieldOf(field, "hostIP"));
  // What is wrong with these is reported where their names are read.
  const target = fieldOf(field, "containerPort").value;
  const protocol = PROTOCOLS.find((one) => one === (fieldOf(field, "protocol").value ?? "TCP"));
  if (port === undefined || protocol === undefined || typeof target !== "number") return [];
  return [{ protocol, port, target, address, place: placeOfField(hostPort) }];
}

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

const CAPABILITIES = ["ALL", "NET_ADMIN", "NET_RAW"] as const;

/** Reads what lets a pod past policies. What is misspelt here is the API server's to refuse. */
function readPowers(spec: Field, onHost = false): PodPower[] {
  const powers = new Set<PodPower>();
  if (onHost || fieldOf(spec, "hostNetwork").value === true) powers.add("hostNetwork");
  if (fieldOf(spec, "hostPID").value === true) powers.add("hostPID");
  for (const key of ["containers", "initContainers", "ephemeralContainers"]) {
    for (const container of itemsOfList(fieldOf(spec, key))) {
      const context = fieldOf(container, "securityContext");
      if (fieldOf(context, "privileged").value === true) powers.add("privileged");
      for (const { value } of itemsOfList(fieldOf(fieldOf(context, "capabilities"), "add"))) {
        // > Runtimes take the name with and without its prefix, in either case.
        const name = String(value).toUpperCase().replace(/^CAP_/, "");
        const power = CAPABILITIES.find((known) => known === name);
        if (power !== undefined) powers.add(power);
      }
    }
  }
  return [...powers];
}

/** Reads a container port; checked even when it has no name and so nobody can mean it. */
function readNamed(field: Field): NamedPort[] {
  const port = readPort(neededOf(field, "containerPort"));
  const protocol = readProtocol(fieldOf(field, "protocol"));
  const name = readText(fieldOf(field, "name"));
  const whole = port !== undefined && protocol !== undefined && name !== undefined && name !== "";
  return whole ? [{ name, protocol, port }] : [];
}

/** > podIPs holds the IP addresses allocated to the pod. If specified, the 0th entry must match podIP. */
function podAddresses(status: Field): readonly Address[] {
  const items = recordsOf(fieldOf(status, "podIPs")).map((item) => neededOf(item, "ip"));
  const fields = items.length > 0 ? items : [fieldOf(status, "podIP")];
  return thoseRead(fields.map(readAddress));
}

/** > Empty once the CNI plugin has taken the network away. Source: libcalico-go conversion.go, IsFinished(). */
const POD_IPS = ["cni.projectcalico.org/podIP", "vpc.amazonaws.com/pod-ips"];
const FLOATING = "cni.projectcalico.org/floatingIPs";

/**
 * Reads the annotation that is a list of addresses in JSON.
 * Source: libcalico-go conversion workload_endpoint_default.go.
 */
function readFloatingAddresses(root: Field): Pick<Endpoint, "floatingAddresses"> {
  const field = fieldOf(fieldOf(fieldOf(root, "metadata"), "annotations"), FLOATING);
  if (typeof field.value !== "string") return {};
  const texts = readJson(field.value);
  // Go reads it as a list of none.
  if (texts === null) return {};
  if (!Array.isArray(texts)) {
    reportField(field, { code: "BAD_VALUE", message: "is no list of addresses in JSON" });
    return {};
  }
  const addresses = texts.flatMap((text) => {
    const address = typeof text === "string" ? parseAddress(text) : undefined;
    if (address !== undefined) return [address];
    reportField(field, {
      code: "BAD_ADDRESS",
      message: `${JSON.stringify(text)} is no IPv4 or IPv6 address`,
    });
    return [];
  });
  return addresses.length === 0 ? {} : { floatingAddresses: addresses };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isReady(status: Field, phase: string | undefined): boolean {
  const conditions = itemsOf(fieldOf(status, "conditions"));
  const ready = conditions.find((item) => fieldOf(item, "type").value === "Ready");
  if (ready !== undefined) return fieldOf(ready, "status").value === "True";
  return phase === undefined || phase === "Running";
}

/**
 * The owners of an object, the nearest first, up to the workload that people know. A ReplicaSet that is
 * not in the snapshot leads to its Deployment only if the pod's own label proves the name.
 */
export function ownersOf(
  object: ManifestObject,
  context: {
    readonly workloads: ReadonlyMap<string, ManifestObject>;
    readonly onDiagnostic: OnDiagnostic;
  },
): Owner[] {
  const owner = controllerOf(rootField(object, context.onDiagnostic));
  // A static pod's mirror is owned by its node, which is no workload.
  if (owner === undefined || owner.kind === "Node") return [];
  if (owner.kind !== "ReplicaSet" && owner.kind !== "Job") return [owner];
  const found = context.workloads.get(ownerKey(object.metadata.namespace, owner));
  // A Job cannot own a Job, nor a ReplicaSet a ReplicaSet; input that says so ends here.
  if (found !== undefined && found.kind !== object.kind)
    return [owner, ...ownersOf(found, context)];
  const hash = object.metadata.labels.get("pod-template-hash");
  if (owner.kind === "ReplicaSet" && hash !== undefined && owner.name.endsWith(`-${hash}`)) {
    return [owner, { kind: "Deployment", name: owner.name.slice(0, -hash.length - 1) }];
  }
  return [owner];
}

/** The owner that controls an object; the first one when none says so. */
function controllerOf(root: Field): Owner | undefined {
  const references = itemsOf(fieldOf(fieldOf(root, "metadata"), "ownerReferences"));
  const reference =
    references.find((item) => fieldOf(item, "controller").value === true) ?? references[0];
  if (reference === undefined) return undefined;
  const kind = readText(fieldOf(reference, "kind"));
  const name = readText(fieldOf(reference, "name"));
  return kind === undefined || name === undefined ? undefined : { kind, name };
}

/** Tells whether a workload will make no pods: a finished Job, an old revision of a Deployment. */
function isOver(root: Field): boolean {
  if (root.object.kind === "ReplicaSet") {
    return readInteger(fieldOf(recordOf(root, "spec"), "replicas")) === 0;
  }
  return fieldOf(recordOf(root, "status"), "completionTime").value !== undefined;
}

/** Where a workload has its pods' template; undefined: it has none. */
export function templatePath(object: ManifestObject): readonly string[] | undefined {
  if (templateKind(object.kind) === undefined) return undefined;
  return object.kind === "CronJob"
    ? ["spec", "jobTemplate", "spec", "template"]
    : ["spec", "template"];
}

function templateKind(kind: string): Exclude<Endpoint["kind"], "Pod"> | undefined {
  switch (kind) {
    case "Deployment":
    case "StatefulSet":
    case "DaemonSet":
    case "ReplicaSet":
    case "Job":
    case "CronJob":
      return kind;
    default:
      return undefined;
  }
}

/** What no two owners have in common. */
export function ownerKey(namespace: string, { kind, name }: Owner): string {
  return JSON.stringify([namespace, kind, name]);
}

/** The workload as an owner. */
export function asOwner({ kind, metadata }: ManifestObject): Owner {
  return { kind, name: metadata.name };
}
