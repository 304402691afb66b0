/** What a what-if says, for every format of it. */
import type { Totals } from "../engine/verdict.ts";
import type { Diagnostic } from "../errors.ts";
import type { BlindSpot } from "./blind-spots.ts";
import type { Comparison, FlipGroup } from "./flips.ts";
import type { Hints } from "./hints.ts";
import type { CaptureNature } from "./reason.ts";
import type { FateGroup, Rollout } from "./rollout.ts";

/** What a what-if says. */
export interface WhatIfReport extends Comparison {
  /** Of the whole capture. */
  readonly totals: Totals;
  readonly groups: readonly FlipGroup[];
  /** Rules for what is newly dropped; undefined: not looked for. */
  readonly hints: Hints | undefined;
  readonly diagnostics: readonly Diagnostic[];
  readonly nature: CaptureNature;
  readonly partial: "interrupted" | "damaged" | undefined;
  /** Undefined: the proposed policies judge all of the capture. */
  readonly rollout: Rollout | undefined;
  /** Of the rollout. */
  readonly fates: readonly FateGroup[];
  /** Packets of flows that the list of flows had no room for: they are not compared. */
  readonly lost: number;
  /** False: no capture was given, and all that changes are `blindSpots`. */
  readonly captured: boolean;
  /** What changes beside the capture's flows; undefined: not looked for, or not known. */
  readonly blindSpots: readonly BlindSpot[] | undefined;
}
