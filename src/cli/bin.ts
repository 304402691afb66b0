#!/usr/bin/env node
/**
 * The entry of the `netverdict` and `kubectl-netverdict` commands. Checks the version of Node before
 * anything is loaded that an older one could not read.
 */

const NEEDED = [22, 12] as const;
/** After so long without work V8 has compiled what it was at. */
const QUIET_MS = 50;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  process.stderr.write(
    `netverdict: error: Node ${NEEDED.join(".")} or newer is needed, this is ${process.versions.node}\n`,
  );
  process.exitCode = 2;
} else {
  const { main } = await import("./main.ts");
  process.exitCode = await main(process.argv);
  // > process.exit() waits for threads that compile, and one of them perhaps for a garbage collection, which is never
  // > made any more: neither ends. Source: nodejs/node#54918. At the end of its events the process ends by itself. What
  // > still waits then (a live capture on standard input) is not wanted any more, and nothing is compiled any more.
  process.stdout.write("", () =>
    process.stderr.write("", () => setTimeout(() => process.exit(), QUIET_MS).unref()),
  );
}
