/**
 * Random clusters with host endpoints on two nodes, made to be judged as one: what only a node's own point of view
 * tells is mostly left out, and of some pods on which node they are.
 */
import { compileObjects } from "./judge.ts";
import type { Random } from "./random.ts";
import { worldObjects, type RandomWorld } from "./random-cluster.ts";

/** Takes away of some pods on which node they are. */
export function unplaced(random: Random, world: RandomWorld): RandomWorld {
  if (random.chance(0.6)) return world;
  const pods = world.pods.map((pod) => {
    const { nodeName, ...spec } = pod.spec ?? {};
    return nodeName === undefined || random.chance(0.7) ? pod : { ...pod, spec };
  });
  return { ...world, pods };
}

/** Gives another node host endpoints like the first one's, mostly without what only one node's view tells. */
export function onTwoNodes(random: Random, world: RandomWorld): RandomWorld {
  const { calico, nodes } = world;
  if (calico === undefined || random.chance(0.1)) return world;
  const { hostEndpoints = [], felix = [], policies } = calico;
  const other = nodes.find(({ metadata }) => metadata.name === "node-2");
  const copies =
    other === undefined || random.chance(0.3)
      ? []
      : hostEndpoints.map(({ metadata, spec }) => ({
          metadata: { ...metadata, name: `${metadata.name}-2` },
          spec: {
            ...spec,
            node: "node-2",
            ...(spec.expectedIPs === undefined ? {} : { expectedIPs: addressesOf(other) }),
          },
        }));
  return {
    ...world,
    calico: {
      ...calico,
      policies: policies.filter(({ spec }) => spec.doNotTrack !== true),
      felix: felix.filter(({ metadata }) => metadata.name === "default"),
      hostEndpoints: [...hostEndpoints, ...copies],
    },
  };
}

/** All nodes seen as one. Undefined: refused, as only one node's point of view tells. */
export function compileSeveral(world: RandomWorld): ReturnType<typeof compileObjects> | undefined {
  try {
    return compileObjects(worldObjects(world));
  } catch (error) {
    if (error instanceof Error && REFUSED.test(error.message)) return undefined;
    throw error;
  }
}

/** A node's own. */
export function addressesOf({ status }: RandomWorld["nodes"][number]): string[] {
  return (status?.addresses ?? []).map(({ address }) => address).filter((one) => /[.:]/.test(one));
}

/** What only a node's own point of view tells. */
const REFUSED = /give that node's point of view/;
