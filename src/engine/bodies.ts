/**
 * Which chains have their records in common. An endpoint's chain is its own by name and by whom its rules stand
 * for; what the walk does in it is the same for every endpoint that the same policies select, and in both
 * families. The records say where a jump leads by the chain's place in its table, so that also chains of
 * several tables can have the same: chains of one name have one place in all tables of a name.
 */
import type { Chain, TableName } from "../tables/model.ts";
import type { PlacedChain } from "./rule-list.ts";

/** Consecutive records. */
export interface Body {
  /** One of the chains whose rules they are. */
  readonly chain: Chain;
  /** Index of the first. */
  readonly record: number;
  /** Places of the chains that its jumps lead to, in their order. */
  readonly calls: readonly number[];
}

/** A chain with its body. */
export interface PackedChain extends PlacedChain {
  readonly place: number;
  readonly body: Body;
}

/** A table's chains, and how many places all tables of its name have. */
export interface PackedTable {
  readonly chains: readonly PackedChain[];
  readonly places: ReadonlyMap<string, number>;
}

/** Finds the bodies of all chains. */
export class BodyList {
  readonly all: Body[] = [];
  readonly tables: readonly PackedTable[];
  /** Records, chain ends included. */
  recordCount = 0;
  readonly #apart: boolean;
  readonly #bodiesByLikeness = new Map<object, Body[]>();
  readonly #placesByTable = new Map<TableName, Map<string, number>>();

  /**
   * @param apart every chain has a body of its own
   * @throws Error for loops and unknown chains
   */
  constructor(chains: readonly PlacedChain[], apart: boolean) {
    this.#apart = apart;
    this.tables = tablesOf(chains).map((own) => this.#placeTable(own));
  }

  /** What a table's chains jump to is in it. */
  #placeTable(chains: readonly PlacedChain[]): PackedTable {
    const table = chains[0]?.table ?? "filter";
    const places = this.#placesByTable.get(table) ?? new Map<string, number>();
    this.#placesByTable.set(table, places);
    for (const { chain } of chains) {
      if (!places.has(chain.name)) places.set(chain.name, places.size);
    }
    const here = new Set(chains.map(({ chain }) => chain.name));
    const ofTable = new Map<object, Body>();
    const packed = chains.map((placed): PackedChain => {
      const { chain } = placed;
      const place = places.get(chain.name) ?? 0;
      const likeness = this.#apart ? chain : (chain.likeness ?? chain.rules);
      const known = ofTable.get(likeness);
      const body =
        known?.chain.policy === chain.policy && known !== undefined
          ? known
          : this.#bodyLike(likeness, chain, callsOf(chain, here, places));
      ofTable.set(likeness, body);
      return { ...placed, place, body };
    });
    refuseCycle(packed, places.size);
    return { chains: packed, places };
  }

  #bodyLike(likeness: object, chain: Chain, calls: readonly number[]): Body {
    const alike = this.#bodiesByLikeness.get(likeness) ?? [];
    const before = alike.find(
      (body) =>
        body.chain.policy === chain.policy &&
        body.calls.every((place, index) => place === calls[index]),
    );
    if (before !== undefined) return before;
    const body = { chain, record: this.recordCount, calls };
    this.recordCount += chain.rules.length + 1;
    this.all.push(body);
    this.#bodiesByLikeness.set(likeness, [...alike, body]);
    return body;
  }
}

/** The chains of each table, which are behind each other. */
function tablesOf(chains: readonly PlacedChain[]): PlacedChain[][] {
  const tables: PlacedChain[][] = [];
  for (const placed of chains) {
    const [first] = tables.at(-1) ?? [];
    if (first?.ruleset === placed.ruleset && first.table === placed.table) {
      tables.at(-1)?.push(placed);
    } else {
      tables.push([placed]);
    }
  }
  return tables;
}

function callsOf(
  { name, rules }: Chain,
  here: ReadonlySet<string>,
  places: ReadonlyMap<string, number>,
): number[] {
  const calls: number[] = [];
  for (const { target } of rules) {
    if (target?.kind !== "JUMP" && target?.kind !== "GOTO") continue;
    const place = here.has(target.chain) ? places.get(target.chain) : undefined;
    if (place === undefined) throw new Error(`bug: no chain ${target.chain} for ${name}`);
    calls.push(place);
  }
  return calls;
}

/** Whoever makes tables tells people of loops; here one would be walked for ever. */
function refuseCycle(chains: readonly PackedChain[], placeCount: number): void {
  const state = new Uint8Array(placeCount);
  const bodies: Body[] = [];
  for (const { place, body } of chains) bodies[place] = body;
  for (const { place: start } of chains) {
    const stack = [{ place: start, next: 0 }];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { place } = top;
      if (top.next === 0 && state[place] === DONE) {
        stack.pop();
        continue;
      }
      state[place] = OPEN;
      const callee = bodies[place]?.calls[top.next];
      top.next += 1;
      if (callee === undefined) {
        state[place] = DONE;
        stack.pop();
      } else if (state[callee] === OPEN) {
        throw new Error(`bug: chains loop at ${bodies[callee]?.chain.name ?? ""}`);
      } else if (state[callee] !== DONE) {
        stack.push({ place: callee, next: 0 });
      }
    }
  }
}

const OPEN = 1;
const DONE = 2;
