/**
 * Services, where kube-proxy would send their connections, and whom policies mean by them. EndpointSlices
 * win over Endpoints, and both over the Service's own selector, which is what makes them in a cluster.
 */
import { formatPlace, type OnDiagnostic } from "../errors.ts";
import { formatAddress } from "../net/address.ts";
import {
  fieldOf,
  itemsOfList,
  placeOfField,
  reportField,
  rootField,
  type Field,
} from "./fields.ts";
import type { ManifestObject } from "./manifest-object.ts";
import type { Pod } from "./pods.ts";
import {
  backendsOf,
  contradictionOf,
  endpointsOfSelector,
  hasSelector,
  mirrored,
  membersOf,
  nodesOfPods,
  readEndpoints,
  readSlice,
  type EndpointGroup,
  type Found,
} from "./service-endpoints.ts";
import { isUnseen, readServicePorts, readServiceSpec } from "./service-spec.ts";
import type { Service, ServiceBackend, ServicePort, Snapshot } from "./snapshot.ts";

/** Reads the Services among the objects, with their backends and members. */
export function readServices(
  objects: readonly ManifestObject[],
  pods: readonly Pod[],
  onDiagnostic: OnDiagnostic,
): Pick<Snapshot, "services" | "membersByService"> {
  const slices = new Map<string, EndpointGroup[]>();
  const endpoints = new Map<string, EndpointGroup[]>();
  for (const object of objects) {
    const { namespace, name, labels } = object.metadata;
    if (object.kind === "EndpointSlice") {
      const service = labels.get("kubernetes.io/service-name");
      if (service === undefined) continue;
      const key = `${namespace}/${service}`;
      const read = readSlice(rootField(object, onDiagnostic));
      const groups = isUnseen(labels)
        ? read.map((group) => ({ ...group, unseen: true as const }))
        : read;
      slices.set(key, [...(slices.get(key) ?? []), ...groups]);
    } else if (object.kind === "Endpoints") {
      endpoints.set(`${namespace}/${name}`, readEndpoints(rootField(object, onDiagnostic)));
    }
  }
  const foundByService = new Map(
    [...endpoints, ...slices].map(([key, groups]): [string, Found] => [key, { groups }]),
  );
  const nodeOf = nodesOfPods(pods);
  const services = objects
    .filter((object) => object.kind === "Service")
    .map((object): Service => {
      const key = `${object.metadata.namespace}/${object.metadata.name}`;
      const root = rootField(object, onDiagnostic);
      const wanted = readServicePorts(root);
      const told = foundByService.get(key) ?? endpointsOfSelector(root, wanted, pods);
      const found = slices.has(key) || hasSelector(root) ? told : mirrored(told);
      foundByService.set(key, found);
      const service = { ...readServiceSpec(root), ports: [] };
      const ports = wanted.map((port): ServicePort => {
        const { name, protocol, nodePort } = port;
        const own = {
          name: name === "" ? undefined : name,
          protocol,
          port: port.port,
          nodePort,
          backends: backendsOf(found.groups, port, nodeOf),
        };
        // Nobody translates what is labelled as headless.
        const translated = service.families.length > 0 || service.clusterAddresses.length === 0;
        const unsaid = found.missing ?? contradictionOf(found.groups, port);
        const missing = (translated ? unsaid : undefined) ?? missingOf(service);
        if (missing !== undefined) return { ...own, backends: [], missing };
        const unplaced = unplacedOf(service, own);
        return unplaced === undefined ? own : { ...own, unplaced };
      });
      return { ...service, ports };
    });
  checkNodePorts(
    objects.filter(({ kind }) => kind === "Service"),
    onDiagnostic,
  );
  const membersByService = new Map(
    [...foundByService].map(([key, found]) => [key, membersOf(found)]),
  );
  return { services, membersByService };
}

/** Reports node ports that two Services have; of one Service its own fields' reader reports them. */
function checkNodePorts(services: readonly ManifestObject[], onDiagnostic: OnDiagnostic): void {
  const holders = new Map<string, Field>();
  for (const object of services) {
    const root = rootField(object, onDiagnostic);
    for (const port of itemsOfList(fieldOf(fieldOf(root, "spec"), "ports"))) {
      const field = fieldOf(port, "nodePort");
      const { value: protocol = "TCP" } = fieldOf(port, "protocol");
      if (typeof field.value !== "number" || field.value === 0) continue;
      const words = `${String(protocol)} ${field.value}`;
      const holder = holders.get(words);
      if (holder === undefined) holders.set(words, field);
      if (holder === undefined || holder.object === object) continue;
      const { metadata } = holder.object;
      const who = `Service ${metadata.namespace}/${metadata.name}`;
      reportField(field, {
        code: "BAD_VALUE",
        message: `${words} is the node port of ${who} at ${formatPlace(placeOfField(holder))}, too`,
      });
    }
  }
}

/** Who serves it, and is not modelled. */
function missingOf({ proxy }: Service): string | undefined {
  return proxy === undefined ? undefined : `it is left to ${proxy}, which is not kube-proxy`;
}

/** What kube-proxy knows of a port that the objects do not tell. */
function unplacedOf(service: Service, port: ServicePort): string | undefined {
  const internal = service.internalTraffic === "Local";
  if (!internal && !(service.externalTraffic === "Local" && isReachedFromOutside(service, port))) {
    return undefined;
  }
  const unplaced = port.backends.find(isUnplaced);
  if (unplaced === undefined) return undefined;
  const policy = internal ? "internalTrafficPolicy" : "externalTrafficPolicy";
  return `${policy} is Local, and nothing tells on which node ${formatAddress(unplaced.address)} is`;
}

/** Tells whether kube-proxy knows on which node a backend is, and the objects do not tell. */
export function isUnplaced({ node, nowhere }: ServiceBackend): boolean {
  return node === undefined && nowhere !== true;
}

/** Tells whether a node's kube-proxy can be said to choose from the backends; of all nodes seen as one each may. */
export function knowsBackends(
  { missing, unplaced }: ServicePort,
  node: string | undefined,
): boolean {
  return missing === undefined && (unplaced === undefined || node === undefined);
}

/** Tells whether a port is reached by more than the Service's cluster addresses. */
export function isReachedFromOutside(
  { externalAddresses, balancerAddresses }: Service,
  { nodePort }: Pick<ServicePort, "nodePort">,
): boolean {
  return nodePort !== undefined || externalAddresses.length > 0 || balancerAddresses.length > 0;
}
