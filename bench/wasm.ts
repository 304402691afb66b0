/** Wasm that only benches need: parts of the matcher by themselves, compiled as the matcher is. */
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
