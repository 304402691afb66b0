/** `-m bpf`: a program of the classic packet filter. */
import { MATCH_BPF } from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension, Module, OptionUse } from "./extension.ts";
import type { OpaqueMatch } from "./opaque.ts";
import { needUse, quoteWord, refuseInvert, useOf, wordOf } from "./words.ts";

export interface BpfMatch {
  readonly kind: "bpf";
  /** At least one; checked as the kernel checks it. */
  readonly program: readonly Instruction[];
}

interface Instruction {
  readonly code: number;
  /** How many instructions to skip when a comparison holds, and when not. */
  readonly jumpTrue: number;
  readonly jumpFalse: number;
  readonly constant: number;
}

/** > XT_BPF_MAX_NUM_INSTR */
const LONGEST = 64;

/** What is loaded by the path of an eBPF object cannot be known. */
export const bpfModule: Module<BpfMatch | OpaqueMatch> = {
  name: "bpf",
  options: { "--bytecode": 1, "--object-pinned": 1 },
  parse(options) {
    refuseInvert(...options);
    const pinned = useOf(options, "--object-pinned");
    if (pinned !== undefined) {
      return { kind: "opaque", name: "bpf", text: `--object-pinned ${quoteWord(wordOf(pinned))}` };
    }
    const use = needUse(options, "--bytecode");
    const program = parseProgram(use);
    checkProgram(program, use);
    return { kind: "bpf", program };
  },
};

/** `-m bpf --bytecode "COUNT,CODE JT JF K,..."`. */
export const bpfMatch: MatchExtension<BpfMatch> = {
  kind: "bpf",
  id: MATCH_BPF,
  modules: [],
  render({ program }) {
    const instructions = program.map(
      ({ code, jumpTrue, jumpFalse, constant }) => `${code} ${jumpTrue} ${jumpFalse} ${constant}`,
    );
    return `-m bpf --bytecode "${program.length},${instructions.join(",")}"`;
  },
  /** Count u32, then each: code u16, jump true u8, jump false u8, constant u32. */
  pack({ program }, writer) {
    writer.u32(program.length);
    for (const { code, jumpTrue, jumpFalse, constant } of program) {
      writer.u16(code);
      writer.u8(jumpTrue);
      writer.u8(jumpFalse);
      writer.u32(constant);
    }
  },
};

function parseProgram(use: OptionUse): Instruction[] {
  const [head = "", ...texts] = wordOf(use).split(",");
  if (texts.at(-1) === "") texts.pop();
  if (!/^\d+$/.test(head) || Number(head) !== texts.length) {
    throw new RuleError("--bytecode: expected the number of instructions first", use);
  }
  return texts.map((text) => {
    const parts = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*$/.exec(text);
    const [code = NaN, jumpTrue = NaN, jumpFalse = NaN, constant = NaN] =
      parts?.slice(1).map(Number) ?? [];
    if (!(code <= 0xffff && jumpTrue <= 0xff && jumpFalse <= 0xff && constant <= 0xffff_ffff)) {
      throw new RuleError(`--bytecode: ${text} is no instruction`, use);
    }
    return { code, jumpTrue, jumpFalse, constant };
  });
}

const RETURNS: ReadonlySet<number> = new Set([0x06, 0x16]);
const COMPARISONS: ReadonlySet<number> = new Set([0x15, 0x25, 0x35, 0x45, 0x1d, 0x2d, 0x3d, 0x4d]);
const BY_MEMORY: ReadonlySet<number> = new Set([0x60, 0x61, 0x02, 0x03]);
const JUMP = 0x05;

/** > bpf_check_classic() knows no others. */
const CODES: ReadonlySet<number> = new Set([
  ...RETURNS,
  ...COMPARISONS,
  ...BY_MEMORY,
  JUMP,
  // Loads of constants, lengths, bytes.
  ...[0x00, 0x01, 0x80, 0x81, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0xb1],
  // Calculations with the constant, then with X.
  ...[0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0x84, 0x94, 0xa4],
  ...[0x0c, 0x1c, 0x2c, 0x3c, 0x4c, 0x5c, 0x6c, 0x7c, 0x9c, 0xac],
  // Copies between A and X.
  ...[0x07, 0x87],
]);

/** Refuses what the kernel would not load. Source: Linux, bpf_check_classic(). */
function checkProgram(program: readonly Instruction[], use: OptionUse): void {
  const refuse = (why: string): never => {
    throw new RuleError(`--bytecode: ${why}`, use);
  };
  if (program.length === 0 || program.length > LONGEST) {
    refuse(`a program has 1 to ${LONGEST} instructions`);
  }
  program.forEach(({ code, jumpTrue, jumpFalse, constant }, index) => {
    const behind = program.length - index - 1;
    if (!CODES.has(code)) refuse(`there is no instruction ${code}`);
    if ((code === 0x34 || code === 0x94) && constant === 0) refuse("a division by zero");
    if ((code === 0x64 || code === 0x74) && constant > 31) refuse("a shift by more than 31");
    if (BY_MEMORY.has(code) && constant > 15) refuse("a program's memory has 16 numbers");
    const far = code === JUMP ? constant : Math.max(jumpTrue, jumpFalse);
    if ((code === JUMP || COMPARISONS.has(code)) && far >= behind) {
      refuse("a jump behind the program's end");
    }
  });
  if (!RETURNS.has(program.at(-1)?.code ?? 0)) refuse("a program ends in a return");
}
