/** What was aimed at, beside what was measured. A bar that nothing here measures says so. */
import { median } from "./measure.ts";
import { FRESH, NETVERDICT, OLD } from "./path.ts";
import { REPLAY, REPLAY_BY_TWO, WHAT_IF } from "./command.ts";
import type { Group, Results } from "./question.ts";
import { ALONE } from "./questions/classify.ts";
import { DECODE, DECODE_C, FRAMES } from "./questions/decode.ts";
import { REPEATED } from "./questions/kernel.ts";
import { SMALL_REPLAY, VERSION } from "./questions/process.ts";
import { TCPDUMP } from "./rivals/counters.ts";
import { DPDK } from "./rivals/dpdk.ts";
import { KERNEL } from "./rivals/kernel.ts";
import { ratioText } from "./table.ts";

/** One bar. */
export interface Bar {
  readonly what: string;
  readonly aim: string;
  /** Undefined: not measured, and why. */
  readonly measured: string | undefined;
  readonly why: string;
  readonly met: boolean;
}

const MILLION = 1e6;

type Answers = Pick<Results, "groups" | "notes">;

/** Holds the results against the bars. */
export function barsOf(results: Answers): Bar[] {
  const find = new Finder(results);
  return [
    ratio(
      "wall time of `replay -o json` against `tcpdump -r --count` of the same file, one worker",
      1,
      {
        value: find.slowness("replay", "1,000 policies, 10,000,000", REPLAY, TCPDUMP),
        better: "less",
      },
    ),
    ratio("the same, two workers", 0.7, {
      value: find.slowness("replay", "1,000 policies, 10,000,000", REPLAY_BY_TWO, TCPDUMP),
      better: "less",
    }),
    ratio("`what-if`, current against proposed, against one replay by one worker", 1.6, {
      value: find.slowness("what-if", "1,000 policies", WHAT_IF, REPLAY),
      better: "less",
    }),
    rate(
      "whole path in process, 10,000 rules, 10,000 connections",
      25,
      find.rate("flows", "10,000 connections, 3,000,000"),
    ),
    rate(
      "the same, 1 M connections",
      14.88,
      find.rate("flows", "1,000,000 connections, 3,000,000"),
    ),
    rate(
      "the same, every packet a new connection",
      8,
      find.rate("rules", `10,000 rules, ${FRESH}`),
    ),
    ratio("classification alone against `dpdk-test-acl`, geometric mean of six sets", 1.3, {
      value: geometricMean(find.classifications()),
      better: "more",
    }),
    ratio("the same, the worst of them", 0.8, {
      value: leastOf(find.classifications()),
      better: "more",
    }),
    note(
      "classification alone at 10,000 rules, mean of the slowest set",
      200,
      "ns",
      scaled(find.slowestClassification(), 1e9),
    ),
    rate(
      "Kubernetes-shaped, 10,000 policies, new connections",
      15,
      find.rate("policies", `10,000 policies, 100,000 pods, ${FRESH}`),
    ),
    ratio("time per packet at 100,000 rules against 10, established", 1.3, {
      value: find.growth("rules", `10 rules, ${OLD}`, `100,000 rules, ${OLD}`),
      better: "less",
    }),
    ratio(
      "packets that come again, a second, against the kernel's iptables at 1,000 linear rules, one core",
      20,
      {
        value: inverse(
          find.slowness("kernel", `1,000 linear rules, ${REPEATED}`, NETVERDICT, KERNEL),
        ),
        better: "more",
      },
    ),
    seconds(
      "compile 10,000 policies over 10,000 pods, by the clock",
      2,
      find.seconds("compile", "10,000 policies"),
    ),
    note("the same, memory", 500, "MB", scaled(find.note("peak memory, compile 10,000"), 1.048576)),
    note("packed tables of them", 16, "MB", find.note("packed tables, 10,000")),
    note("one policy of them edited", 10, "ms", find.note("one policy edited, of 10,000")),
    note("one pod added", 1, "ms", find.note("one pod added, to 10,000")),
    note(
      "matcher memory for each of 1 M connections",
      128,
      "bytes",
      find.note("matcher memory for each of 1,000,000"),
    ),
    ratio("peak memory, capture of 1 GB against 100 MB, same flows", 1.1, {
      value: quotient(
        find.note("peak memory, capture of 1000"),
        find.note("peak memory, capture of 100 "),
      ),
      better: "less",
    }),
    rate("tcpdump's text, lines", 1.5, find.rate("formats", "tcpdump's text, 3,000,000")),
    ratio("gzip: rate against `gzip -dc`", 0.9, {
      value: inverse(find.slowness("formats", "gzip, 5,000,000", REPLAY, "gzip -dc")),
      better: "more",
    }),
    ratio("zstd: rate against `zstd -dc`", 0.9, {
      value: inverse(find.slowness("formats", "zstd, 5,000,000", REPLAY, "zstd -dc")),
      better: "more",
    }),
    seconds("`netverdict --version`", 0.15, find.seconds("process", "", VERSION)),
    seconds("replay of the example", 0.4, find.seconds("process", "", SMALL_REPLAY)),
    ratio("decode against the same decode in C", 1.2, {
      value: find.slowness("decode", FRAMES, DECODE, DECODE_C),
      better: "less",
    }),
  ];
}

/** Finds numbers among the results. */
class Finder {
  readonly #results: Answers;

  constructor(results: Answers) {
    this.#results = results;
  }

  /** Units a second of the first task of the group whose size begins so. */
  rate(question: string, size: string): number | undefined {
    return inverse(this.seconds(question, size));
  }

  /** Seconds for one unit. */
  seconds(question: string, size: string, task?: string): number | undefined {
    for (const group of this.#groups(question, size)) {
      const found = group.tasks.find((each) => task === undefined || each.task === task);
      if (found !== undefined) return median(found.seconds) / found.units;
    }
    return undefined;
  }

  /** How many times the other task's time the first one takes. */
  slowness(question: string, size: string, task: string, other: string): number | undefined {
    return quotient(this.seconds(question, size, task), this.seconds(question, size, other));
  }

  growth(question: string, small: string, large: string): number | undefined {
    return quotient(this.seconds(question, large), this.seconds(question, small));
  }

  note(name: string): number | undefined {
    return this.#results.notes.find((each) => each.name.startsWith(name))?.value;
  }

  /** Of each set, how many times as fast as DPDK's classifier. */
  classifications(): number[] {
    return this.#groups("classify", "").flatMap(({ size }) => {
      const times = this.slowness("classify", size, DPDK, ALONE);
      return times === undefined ? [] : [times];
    });
  }

  /** Seconds for a packet, of the set of 10,000 rules that takes longest. */
  slowestClassification(): number | undefined {
    const seconds = this.#groups("classify", "").flatMap(({ size, at }) =>
      at === 10_000 ? [this.seconds("classify", size, ALONE) ?? Number.NaN] : [],
    );
    return seconds.length === 0 ? undefined : Math.max(...seconds);
  }

  #groups(question: string, size: string): readonly Group[] {
    return this.#results.groups.filter(
      (group) => group.question === question && group.size.startsWith(size),
    );
  }
}

function rate(what: string, millions: number, value: number | undefined): Bar {
  return bar(what, `at least ${millions} M/s`, value, {
    text: (measured) => `${(measured / MILLION).toFixed(2)} M/s`,
    met: (measured) => measured >= millions * MILLION,
  });
}

function ratio(
  what: string,
  aim: number,
  { value, better }: { readonly value: number | undefined; readonly better: "less" | "more" },
): Bar {
  return bar(what, `at ${better === "less" ? "most" : "least"} ${aim}x`, value, {
    text: (measured) => `${ratioText(measured)}x`,
    met: (measured) => (better === "less" ? measured <= aim : measured >= aim),
  });
}

function seconds(what: string, aim: number, value: number | undefined): Bar {
  return bar(what, `at most ${aim} s`, value, {
    text: (measured) => `${measured.toFixed(2)} s`,
    met: (measured) => measured <= aim,
  });
}

function note(what: string, aim: number, unit: string, value: number | undefined): Bar {
  return bar(what, `at most ${aim} ${unit}`, value, {
    text: (measured) => `${measured.toFixed(0)} ${unit}`,
    met: (measured) => measured <= aim,
  });
}

function bar(
  what: string,
  aim: string,
  value: number | undefined,
  {
    text,
    met,
  }: { readonly text: (value: number) => string; readonly met: (value: number) => boolean },
): Bar {
  const measured = value === undefined || Number.isNaN(value) ? undefined : value;
  return {
    ...{ what, aim, why: "not measured" },
    measured: measured === undefined ? undefined : text(measured),
    met: measured !== undefined && met(measured),
  };
}

function geometricMean(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

function leastOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : Math.min(...values);
}

function inverse(value: number | undefined): number | undefined {
  return value === undefined ? undefined : 1 / value;
}

function scaled(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}

function quotient(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one / other;
}
