/**
 * Asks all questions, or those that are named, and prints one table.
 *
 * npm run bench [-- --full] [-- --json] [-- --record] [-- QUESTION...]
 *
 * `--full` takes all sizes; `--json` prints the data; `--record` keeps the answers in docs/performance.json, and
 * writes the plots and the tables of docs/performance.md of all that is kept there.
 */
import { cpus, loadavg, release, totalmem, type } from "node:os";
import type { Asking, Check, Group, Missing, Note, Question, Results } from "./question.ts";
import { classify } from "./questions/classify.ts";
import { compile } from "./questions/compile.ts";
import { decode } from "./questions/decode.ts";
import { flows } from "./questions/flows.ts";
import { formats } from "./questions/formats.ts";
import { ipsets } from "./questions/ipsets.ts";
import { kernel } from "./questions/kernel.ts";
import { policies } from "./questions/policies.ts";
import { processes } from "./questions/process.ts";
import { replay } from "./questions/replay.ts";
import { rules } from "./questions/rules.ts";
import { whatIf } from "./questions/what-if.ts";
import { record } from "./record.ts";
import { resultsTable } from "./table.ts";

const QUESTIONS: readonly Question[] = [
  ...[rules, policies, ipsets, flows, decode, classify],
  ...[kernel, replay, whatIf, formats, compile, processes],
];

const words = process.argv.slice(2);
const named = words.filter((word) => !word.startsWith("--"));
const unknown = [
  ...named.filter((name) => !QUESTIONS.some((question) => question.name === name)),
  ...words.filter((word) => word.startsWith("--") && !/^--(full|json|record)$/.test(word)),
];
if (unknown.length > 0) {
  const names = QUESTIONS.map(({ name }) => name).join(", ");
  process.stderr.write(
    `bench: ${unknown.join(", ")}: expected --full, --json, --record, or of ${names}\n`,
  );
  process.exit(2);
}

const full = words.includes("--full");
const results = await askAll(
  QUESTIONS.filter(({ name }) => named.length === 0 || named.includes(name)),
);
const asked = new Map(QUESTIONS.map(({ name, asks }) => [name, asks]));
if (words.includes("--record")) record(results, asked);
console.log(
  words.includes("--json") ? JSON.stringify(results, null, 1) : resultsTable(results, asked),
);

async function askAll(questions: readonly Question[]): Promise<Results> {
  const machine = {
    processor: cpus()[0]!.model.trim(),
    cores: cpus().length,
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    node: process.version,
    loadAverage: Number(loadavg()[2]!.toFixed(1)),
  };
  const groups: Group[] = [];
  const notes: Note[] = [];
  const checks: Check[] = [];
  const missing = new Map<string, Missing>();
  for (const { name, answer } of questions) {
    const asking: Asking = {
      full,
      add: (group) => groups.push({ question: name, ...group }),
      note: (what, value, unit) => notes.push({ question: name, name: what, value, unit }),
      checked(what, compared, mismatches) {
        if (mismatches > 0) {
          throw new Error(
            `${name}: ${mismatches} mismatches with ${what} (of ${compared} compared)`,
          );
        }
        checks.push({ question: name, what, compared, mismatches });
      },
      missing: (rival, why) => missing.set(`${name} ${rival}`, { question: name, rival, why }),
      progress: (what) => process.stderr.write(`${name}: ${what}\n`),
    };
    await answer(asking);
  }
  return {
    date: new Date().toISOString(),
    command: ["npm run bench", ...(words.length > 0 ? ["--", ...words] : [])].join(" "),
    machine,
    ...{ groups, notes, checks, missing: [...missing.values()] },
  };
}
