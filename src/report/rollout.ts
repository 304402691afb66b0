/**
 * What becomes of the connections that are under way when the proposed policies take over: those that policies
 * let through once go on by connection tracking, unless something looks at each packet, but may not be opened again.
 */
import type { Judgement, Tuple } from "../engine/verdict.ts";
import type { Change } from "./blind-spots.ts";
import type { ChangeName, FlipContext } from "./flips.ts";
import { ruleKey } from "./grouping.ts";
import { destinationEnd, portText, sourceEnd } from "./workload.ts";

/**
 * `cut`: its next packet is dropped. `lost-on-reconnect`: it goes on, and a new one like it would be dropped.
 * `kept`: it goes on, and could be opened again.
 */
export type Fate = "cut" | "lost-on-reconnect" | "unknown" | "kept";

/** Those that are reported one by one, in their order. */
export const FATES = ["cut", "lost-on-reconnect", "unknown"] as const;
export type ReportedFate = (typeof FATES)[number];

/** A connection that is not simply kept. */
export interface LiveConnection {
  readonly fate: ReportedFate;
  /** Its first packet, as the current policies judge it. */
  readonly opening: Tuple & Judgement;
  /** The packet that makes the difference, by both: a later one, or of `lost-on-reconnect` the first. */
  readonly before: Tuple & Judgement;
  readonly after: Tuple & Judgement;
}

/** A rollout in mid-capture. */
export interface Rollout {
  readonly atNs: bigint;
  /** The time has no date. */
  readonly timeOfDay: boolean;
  /** Number of the first packet that the proposed policies judge. */
  readonly firstPacket: number;
  readonly counts: Readonly<Record<Fate, number>>;
  readonly connections: readonly LiveConnection[];
}

/** Connections of one workload pair and port that fare alike by the same rules. */
export interface FateGroup extends ChangeName {
  readonly fate: ReportedFate;
  readonly connections: readonly LiveConnection[];
  /** The first, which reasons are about. */
  readonly first: LiveConnection;
  readonly accepted: boolean;
}

/** What a gate counts a connection as. */
function changeOfFate(fate: ReportedFate): Change {
  return fate === "unknown" ? "unknown" : "new-drop";
}

/** Gathers connections, the fates in their order, most connections first. */
export function groupConnections(
  connections: readonly LiveConnection[],
  context: FlipContext,
  isAccepted: (name: ChangeName) => boolean,
): FateGroup[] {
  const groups = new Map<string, { readonly name: ChangeName; readonly some: LiveConnection[] }>();
  for (const connection of connections) {
    const { fate, opening, before, after } = connection;
    const { find } = context.before;
    const ends = [sourceEnd(opening, find), destinationEnd(opening, find)].map(({ key, name }) =>
      key === "outside" ? key : name,
    );
    const name = {
      change: changeOfFate(fate),
      ...{ from: ends[0] ?? "", to: ends[1] ?? "", port: portText(opening) },
    };
    const rules = [ruleKey(before, find), ruleKey(after, context.after.find)];
    const key = JSON.stringify([fate, name, rules]);
    const group = groups.get(key) ?? { name, some: [] };
    groups.set(key, group);
    group.some.push(connection);
  }
  const gathered = [...groups.values()].flatMap(({ name, some }) => {
    const [first] = some;
    if (first === undefined) return [];
    const accepted = isAccepted(name);
    return [{ ...name, fate: first.fate, connections: some, first, accepted }];
  });
  return gathered.sort(
    (one, other) =>
      FATES.indexOf(one.fate) - FATES.indexOf(other.fate) ||
      other.connections.length - one.connections.length,
  );
}
