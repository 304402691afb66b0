/** The GitHub action's own script, run as a workflow would. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";

const ROOT = join(import.meta.dirname, "..");
const EXAMPLE = "examples/dns-forgotten";

interface Action {
  readonly inputs: Readonly<Record<string, { readonly default?: string }>>;
  readonly runs: {
    readonly steps: readonly {
      readonly env?: Readonly<Record<string, string>>;
      readonly run: string;
    }[];
  };
}

const action = parse(readFileSync(join(ROOT, "action.yml"), "utf8")) as Action;
const [, compare] = action.runs.steps;
const summary = join(mkdtempSync(join(tmpdir(), "netverdict-")), "summary.md");

/** Runs the script with these inputs; others have their defaults. */
function runAction(inputs: Readonly<Record<string, string>>) {
  const env = Object.entries(compare?.env ?? {}).map(([variable, text]) => {
    const input = /^\$\{\{ inputs\.([a-z-]+) \}\}$/.exec(text)?.[1];
    if (input === undefined) return [variable, ROOT];
    return [variable, inputs[input] ?? action.inputs[input]?.default ?? ""];
  });
  const path = `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`;
  const { status, stdout, stderr } = spawnSync("bash", ["-eo", "pipefail", "-c", compare!.run], {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, ...Object.fromEntries(env), PATH: path, GITHUB_STEP_SUMMARY: summary },
  });
  return { status, stdout, stderr };
}

describe("action.yml", () => {
  const change = {
    capture: `${EXAMPLE}/traffic.pcapng`,
    cluster: `${EXAMPLE}/cluster.yaml`,
    proposed: `${EXAMPLE}/policies.yaml`,
  };

  it("annotates what is newly dropped, writes the summary and fails", () => {
    const { status, stdout } = runAction(change);
    expect(status).toBe(1);
    expect(stdout).toContain(`::error file=${EXAMPLE}/policies.yaml,line=`);
    expect(readFileSync(summary, "utf8")).toContain("| newly dropped | shop/checkout |");
  });

  it("fails on what it is told to, and takes no input for a command", () => {
    expect(runAction({ ...change, "fail-on": "new-allow\nunknown" }).status).toBe(0);
    const odd = runAction({ ...change, proposed: "$(touch /tmp/x); `id` file" });
    expect(odd.status).toBe(2);
    expect(odd.stderr).toContain("$(touch /tmp/x); `id` file: no such file or folder");
  });

  it("names each of its inputs in the script", () => {
    const used = Object.values(compare?.env ?? {}).join(" ");
    for (const input of Object.keys(action.inputs)) expect(used).toContain(`inputs.${input} `);
  });
});
