/**
 * Where session affinity may have sent clients, world by world: every world is one story of what nodes drew and
 * remember that fits what was seen. Follows xt_recent as its manual page and kube-proxy's rules have it; shares no
 * code with what it checks.
 */
import type { Random } from "./random.ts";

export type Word = "allow" | "drop";

/** A node's choice for a client. */
export interface Chain {
  readonly node: string;
  readonly client: string;
  /** In the order of the rules. */
  readonly backends: readonly string[];
}

/** What may become of a connection on one way; without a chain nothing was drawn. */
export interface Way {
  readonly words: readonly Word[];
  readonly chain?: Chain;
  readonly backend?: string;
  /** Its backend sees the client itself. */
  readonly bare?: boolean;
}

/** When a node last sent a client to a backend; undefined: not within the time that counts. */
type Times = ReadonlyMap<string, number | undefined>;

interface Story {
  /** Which of the ways' places it is. */
  readonly place: number;
  readonly times: Times;
  /** Where connections that may yet show it were sent; undefined: dropped. */
  readonly sent: ReadonlyMap<number, string | undefined>;
}

/** One try of a connection. */
export interface Attempt {
  readonly flow: number;
  /** Microseconds. */
  readonly now: number;
  /** Every way that there is, for each place where pods may be. */
  readonly places: readonly (readonly Way[])[];
}

/** Clocks tick, and packets take their time. */
const SLACK = 11_000;
const STORIES_MAX = 400;

/** The stories of one client and one Service. */
export class AffinityWorlds {
  readonly #client: string;
  readonly #life: number;
  readonly #start: number;
  /** Undefined: too many. */
  #stories: readonly Story[] | undefined;

  constructor(
    client: string,
    seconds: number,
    { start, places }: { start: number; places: number },
  ) {
    this.#client = client;
    this.#life = seconds * 1_000_000;
    this.#start = start;
    this.#stories = Array.from({ length: places }, (_, place) => ({
      place,
      times: new Map(),
      sent: new Map(),
    }));
  }

  /** What may become of a connection; undefined: too much may have happened before. */
  follow(attempt: Attempt): ReadonlySet<Word> | undefined {
    const next = this.#stories?.flatMap((story) => this.#goOn(story, attempt));
    this.#stories = next === undefined ? undefined : this.#distinct(next, attempt.now);
    return next === undefined ? undefined : new Set(next.map(({ word }) => word));
  }

  /** A packet shows where a connection was sent; undefined: none will. */
  show(flow: number, backend: string | undefined): void {
    this.#stories = this.#stories
      ?.filter(({ sent }) => backend === undefined || sent.get(flow) === backend)
      .map((story) => ({
        ...story,
        sent: new Map([...story.sent].filter(([one]) => one !== flow)),
      }));
    if (this.#stories?.length === 0) throw new Error("bug: what was shown cannot be");
  }

  #goOn(story: Story, { flow, now, places }: Attempt): (Story & { readonly word: Word })[] {
    // It is there already.
    if (story.sent.get(flow) !== undefined) return [{ ...story, word: "allow" }];
    const ways = places[story.place]!;
    return ways.flatMap(({ words, chain, backend }) => {
      const after =
        chain === undefined || chain.client !== this.#client
          ? [story.times]
          : choices(chain, story.times, this.#clock(now))
              .filter((choice) => choice.backend === backend)
              .map(({ times }) => times);
      return after.flatMap((times) =>
        words.map((word) => {
          const sent = new Map(story.sent).set(flow, word === "allow" ? backend : undefined);
          return { place: story.place, times, sent, word };
        }),
      );
    });
  }

  #clock(now: number): Clock {
    return { now, start: this.#start, life: this.#life };
  }

  #distinct(stories: readonly Story[], now: number): readonly Story[] | undefined {
    const clock = this.#clock(now);
    const byText = new Map(
      stories.map((story) => {
        const times = [...story.times].filter(([key]) => isFresh(story.times, key, clock) !== "no");
        const kept =
          isFresh(new Map(), "", clock) === "no" ? times : [...story.times].map((each) => each);
        const text = JSON.stringify([story.place, kept.sort(), [...story.sent].sort()]);
        const { place, sent } = story;
        return [text, { place, sent, times: new Map(kept) }];
      }),
    );
    return byText.size > STORIES_MAX ? undefined : [...byText.values()];
  }
}

/** What really happens, in one story that is drawn. */
export class DrawnAffinity {
  readonly #random: Random;
  readonly #start: number;
  readonly #times = new Map<string, Times>();

  constructor(random: Random, start: number) {
    this.#random = random;
    this.#start = start;
  }

  /** Draws one of the ways. */
  draw(
    service: { readonly name: string; readonly affinitySeconds: number | undefined },
    ways: readonly Way[],
    now: number,
  ): { readonly word: Word; readonly way: Way } {
    const way = this.#random.pick(ways);
    const { chain } = way;
    if (chain === undefined || service.affinitySeconds === undefined) {
      return { word: this.#random.pick(way.words), way };
    }
    const key = `${service.name} ${chain.client}`;
    const life = service.affinitySeconds * 1_000_000;
    const clock = { now, start: this.#start, life };
    const { backend, times } = this.#random.pick(
      choices(chain, this.#times.get(key) ?? new Map(), clock),
    );
    this.#times.set(key, times);
    const taken = ways.filter(
      (one) =>
        one.backend === backend &&
        one.chain?.node === chain.node &&
        one.chain.client === chain.client,
    );
    const other = this.#random.pick(taken);
    return { word: this.#random.pick(other.words), way: other };
  }
}

interface Clock {
  readonly now: number;
  /** Before it anything may have happened. */
  readonly start: number;
  readonly life: number;
}

/** What a node may choose, and what it remembers then: the first that it remembers, or any. */
function choices(
  chain: Chain,
  times: Times,
  clock: Clock,
): { readonly backend: string; readonly times: Times }[] {
  const found: { readonly backend: string; readonly times: Times }[] = [];
  let before = times;
  for (const backend of chain.backends) {
    const key = `${chain.node} ${backend}`;
    const fresh = isFresh(before, key, clock);
    if (fresh !== "no") found.push({ backend, times: new Map(before).set(key, clock.now) });
    if (fresh === "yes") return found;
    before = new Map(before).set(key, undefined);
  }
  for (const backend of chain.backends) {
    found.push({ backend, times: new Map(before).set(`${chain.node} ${backend}`, clock.now) });
  }
  return found;
}

function isFresh(times: Times, key: string, { now, start, life }: Clock): "yes" | "no" | "maybe" {
  if (!times.has(key)) return now - start > life + SLACK ? "no" : "maybe";
  const time = times.get(key);
  if (time === undefined || now - time > life + SLACK) return "no";
  return now - time < life - SLACK ? "yes" : "maybe";
}
