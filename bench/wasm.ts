/** Wasm that only benches need: parts of the matcher by themselves, compiled as the matcher is, and C. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runTool } from "./rivals/tools.ts";
import { temporaryFile } from "./subject.ts";

/** Compiles a file of bench/assembly. */
export function compileWasm(name: string): Uint8Array<ArrayBuffer> {
  const wasm = temporaryFile(`${name}.wasm`);
  const source = fileURLToPath(new URL(`assembly/${name}.ts`, import.meta.url));
  const words = ["-O3", "--noAssert", "--converge", "--enable", "simd", "--outFile", wasm];
  runTool("npx", "asc", source, "--runtime", "stub", "--use", "abort=", ...words);
  return new Uint8Array(readFileSync(wasm));
}

/** Makes one of our C files into Wasm that exports its functions. @returns undefined without clang and lld */
export function compileCToWasm(name: string): Uint8Array<ArrayBuffer> | undefined {
  const wasm = temporaryFile(`${name}-c.wasm`);
  const source = fileURLToPath(new URL(`rivals/${name}.c`, import.meta.url));
  const linked = ["-nostdlib", "-Wl,--no-entry,--export-dynamic"];
  const words = ["--target=wasm32", "-O3", "-msimd128", "-fvisibility=default", ...linked];
  const { status } = spawnSync("clang", [...words, "-o", wasm, source], { stdio: "ignore" });
  return status === 0 ? new Uint8Array(readFileSync(wasm)) : undefined;
}
