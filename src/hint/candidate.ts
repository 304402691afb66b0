/** What hints are made from, and what the kinds of policies make of it. */
import type { ManifestObject } from "../cluster/manifest-object.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import type { Judgement, Tuple } from "../engine/verdict.ts";
import type { Policy, PolicyRef } from "../policy/model.ts";
import { kindWord } from "../policy/model.ts";
import type { FlipContext } from "../report/flips.ts";
import type { Edit } from "./edit.ts";

/** The proposed set, as it is written and as it is read. */
export interface World {
  readonly objects: readonly ManifestObject[];
  readonly policies: readonly Policy[];
  readonly snapshot: Snapshot;
  /** The current set, too. */
  readonly context: FlipContext;
}

/** A flow as the current policies judge it, which no hint changes. */
export type FlowBefore = Tuple & Judgement;

/** A change that would let what is stopped pass this policy. */
export interface Candidate {
  readonly edit: Edit;
  /** It is only taken if nothing else passes again by it, whatever today's policies say. */
  readonly strict: boolean;
}

/** The ways that a kind of policy has, the smallest first, or why it has none. */
export type Candidates = readonly Candidate[] | { readonly why: string };

/** Finds the object that a policy was read from. */
export function objectOf(ref: PolicyRef, { objects }: World): ManifestObject | undefined {
  return objects.find((object) => {
    const { metadata, kind } = object;
    if (metadata.name !== ref.name || metadata.namespace !== (ref.namespace ?? "")) return false;
    if (kind !== kindWord(ref)) return false;
    const place = object.placeOf(["metadata", "name"]);
    return (
      place.file === ref.place.file &&
      place.line === ref.place.line &&
      place.column === ref.place.column
    );
  });
}

/** A name that no object of the kind has. */
export function freeName(
  wanted: string,
  kind: string,
  namespace: string | undefined,
  { objects }: World,
): string {
  const taken = new Set(
    objects
      .filter((each) => each.kind === kind && each.metadata.namespace === (namespace ?? ""))
      .map(({ metadata }) => metadata.name),
  );
  // Of a workload's name anything may be left over that no name ends with.
  const base = wanted.slice(0, 60).replace(/[^a-z0-9]+$/, "");
  for (let number = 1; ; number++) {
    const name = number === 1 ? base : `${base}-${number}`;
    if (!taken.has(name)) return name;
  }
}
