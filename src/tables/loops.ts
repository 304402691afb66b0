/** Chains that call themselves, directly or through others: the kernel refuses such tables. */
import type { OnDiagnostic, Place } from "../errors.ts";
import type { Chain, Rule, Ruleset } from "./model.ts";

/**
 * Reports a cycle of chains as CHAIN_LOOP, with the cycle.
 * Source: Linux, mark_source_chains().
 */
export function refuseLoops(ruleset: Ruleset, file: string, onDiagnostic: OnDiagnostic): void {
  for (const table of ruleset.tables) {
    const cycle = findCycle(table.chains);
    if (cycle === undefined) continue;
    const [first] = cycle;
    onDiagnostic({
      severity: "error",
      code: "CHAIN_LOOP",
      message: `chains of table ${table.name} call themselves: ${cycle.map(({ chain }) => chain).join(" -> ")}`,
      place: placeOf(first, file),
    });
  }
}

/** The jump's own place. */
function placeOf(call: Call | undefined, file: string): Place {
  const { place, targetColumn: column } = call?.rule ?? {};
  return { ...(place ?? { file }), ...(column === undefined ? {} : { column }) };
}

interface Call {
  readonly chain: string;
  readonly rule: Rule;
}

/** The calls of a cycle, its first chain again at the end; undefined when there is none. */
function findCycle(chains: readonly Chain[]): readonly Call[] | undefined {
  const chainByName = new Map(chains.map((chain) => [chain.name, chain]));
  const done = new Set<Chain>();
  for (const start of chains) {
    if (done.has(start)) continue;
    const stack: { readonly chain: Chain; next: number }[] = [{ chain: start, next: 0 }];
    const open = new Set<Chain>([start]);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const rule = top.chain.rules[top.next];
      top.next += 1;
      if (rule === undefined) {
        done.add(top.chain);
        open.delete(top.chain);
        stack.pop();
      } else if (rule.target?.kind === "JUMP" || rule.target?.kind === "GOTO") {
        const callee = chainByName.get(rule.target.chain);
        if (callee === undefined || done.has(callee)) continue;
        if (open.has(callee)) return cycleOf(stack, callee, rule);
        open.add(callee);
        stack.push({ chain: callee, next: 0 });
      }
    }
  }
  return undefined;
}

function cycleOf(
  stack: readonly { readonly chain: Chain; readonly next: number }[],
  callee: Chain,
  rule: Rule,
): Call[] {
  const from = stack.findIndex(({ chain }) => chain === callee);
  const calls = stack.slice(from).map(({ chain, next }): Call => {
    return { chain: chain.name, rule: chain.rules[next - 1] ?? rule };
  });
  return [...calls, { chain: callee.name, rule }];
}
